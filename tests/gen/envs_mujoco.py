# SPDX-License-Identifier: MIT
"""Writes tests/fixtures/envs/{ant,humanoid,half_cheetah,inverted_double_pendulum}.txt: episodes of Gymnasium's own v5
environments under random actions, with the versions that scripts/get-mujoco installs.

    pip install mujoco==3.3.7 gymnasium==1.4.0 imageio packaging
    python3 tests/gen/envs_mujoco.py tests/fixtures/envs
"""
import pathlib
import sys

import gymnasium
import mujoco
import numpy

# environment, file, steps to record, seeds, scale of the actions
CASES = [
    ("Ant-v5", "ant", 40, (1, 12), 1.0),
    ("Humanoid-v5", "humanoid", 30, (1,), 1.0),
    ("HalfCheetah-v5", "half_cheetah", 60, (1, 2), 1.0),
    ("InvertedDoublePendulum-v5", "inverted_double_pendulum", 60, (1, 2, 3), 0.02),
]


def numbers(values, digits):
    return " ".join(f"{value:.{digits}g}" for value in numpy.ravel(values))


def floats(values):
    return numbers(numpy.float32(values), 9)


def record(name, seed, steps, scale, out):
    env = gymnasium.make(name)
    raw = env.unwrapped
    placed = []
    set_state = raw.set_state
    raw.set_state = lambda qpos, qvel: (placed.append((qpos, qvel)), set_state(qpos, qvel))
    observation, _ = env.reset(seed=seed)
    print("episode", numbers(placed[0][0], 17), numbers(placed[0][1], 17), file=out)
    print("observation", floats(observation), file=out)
    random = numpy.random.default_rng(seed)
    low, high = env.action_space.low, env.action_space.high
    for _ in range(steps):
        action = numpy.float32(scale * random.uniform(low, high))
        observation, reward, terminated, _, info = env.step(action)
        print("action", floats(action), file=out)
        print("result", floats(reward), int(terminated), file=out)
        print("observation", floats(observation), file=out)
        if terminated:
            break


folder = pathlib.Path(sys.argv[1])
for name, file, steps, seeds, scale in CASES:
    with open(folder / f"{file}.txt", "w") as out:
        print(f"# {name} of Gymnasium {gymnasium.__version__}; made by tests/gen/envs_mujoco.py", file=out)
        print("mujoco", mujoco.__version__, file=out)
        for seed in seeds:
            record(name, seed, steps, scale, out)
