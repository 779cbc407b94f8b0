# SPDX-License-Identifier: MIT
"""Records the classic control environments of Gymnasium (pip install gymnasium==1.4.0): tests/gen/envs_gymnasium.py"""
import math

import gymnasium
import numpy as np

from env_recording import Recording

RESETS = 20000


def record(recording, name, episodes, dtype=np.float64):
    """Each episode is (state to begin from, number of steps, policy of (state, step) -> action)."""
    env = gymnasium.make(name).unwrapped
    for start, steps, policy in episodes:
        env.reset(seed=1)
        env.state = np.array(start, dtype)
        env.steps_beyond_terminated = None
        recording.reset(env.state, observe(env))
        for t in range(steps):
            action = policy(env.state, t)
            observation, reward, done, _, _ = env.step(action)
            recording.step(action, reward, done, env.state, observation)
            if done:
                break


def observe(env):
    for method in ("_get_ob", "_get_obs"):
        if hasattr(env, method):
            return getattr(env, method)()
    return np.array(env.state, np.float32)


def starts(name):
    env = gymnasium.make(name).unwrapped
    env.reset(seed=7)
    return np.array([(env.reset(), np.array(env.state, np.float64))[1] for _ in range(RESETS)])


def made(name):
    return Recording(name, f"{name} of Gymnasium {gymnasium.__version__}, by tests/gen/envs_gymnasium.py")


def cartpole():
    rng = np.random.default_rng(1)
    random = lambda s, t: int(rng.integers(2))
    balance = lambda s, t: int(s[2] + 0.2 * s[3] + 0.05 * s[0] + 0.1 * s[1] > 0)
    out = made("CartPole-v1")
    record(out, "CartPole-v1", [([0.01, -0.02, 0.03, 0.04], 100, random), ([-0.05, 0.05, 0.05, -0.05], 120, balance),
                                ([2.3, 1.5, 0.1, -0.3], 20, balance), ([-2.3, -1.5, 0.0, 0.3], 20, balance),
                                ([0, 0, 0.2, 1.0], 20, random), ([0, 0, -0.2, -2.0], 20, random)])
    for i, state in enumerate(starts("CartPole-v1").T):
        out.histogram(f"state{i}", -0.05, 0.05, 20, state)
    out.write()


def acrobot():
    rng = np.random.default_rng(2)
    random = lambda s, t: int(rng.integers(3))
    pump = lambda s, t: 2 if s[3] > 0 else 0
    out = made("Acrobot-v1")
    record(out, "Acrobot-v1", [([0.05, -0.08, 0.01, 0.1], 60, random), ([0.1, 0.1, -0.1, -0.1], 200, pump),
                               ([3.0, -3.1, 12.5, -28.0], 30, random), ([-3.1, 3.1, -12.5, 28.0], 30, random),
                               ([1.5, 2.5, 6.0, 20.0], 30, pump)])
    for i, state in enumerate(starts("Acrobot-v1").T):
        out.histogram(f"state{i}", -0.1, 0.1, 20, state)
    out.write()


def pendulum():
    rng = np.random.default_rng(3)
    random = lambda s, t: rng.uniform(-2, 2, 1).astype(np.float32)
    pump = lambda s, t: np.array([2 if s[1] > 0 else -2], np.float32)
    out = made("Pendulum-v1")
    record(out, "Pendulum-v1", [([math.pi - 0.1, 0.5], 200, random), ([-3.0, -1.0], 100, pump),
                                ([0.01, 0.0], 60, random),
                                ([40.0, 7.9], 60, random), ([-31.0, -7.9], 60, pump)])
    angle, velocity = starts("Pendulum-v1").T
    out.histogram("angle", -math.pi, math.pi, 20, angle)
    out.histogram("velocity", -1, 1, 20, velocity)
    out.write()


def mountain_car():
    rng = np.random.default_rng(4)
    random = lambda s, t: rng.uniform(-1, 1, 1).astype(np.float32)
    pump = lambda s, t: np.array([1 if s[1] >= 0 else -1], np.float32)
    left = lambda s, t: np.array([-1], np.float32)
    out = made("MountainCarContinuous-v0")
    # From the first step on the state is float32; the recorded episodes begin so.
    record(out, "MountainCarContinuous-v0", [([-0.5, 0], 200, random), ([-0.45, 0], 300, pump),
                                             ([-1.1, -0.06], 60, left),
                                             ([0.4, 0.069], 5, pump), ([0.44, 0.012], 5, pump),
                                             ([0.47, -0.01], 20, left), ([-0.2, -0.07], 60, random)], np.float32)
    out.histogram("position", -0.6, -0.4, 20, starts("MountainCarContinuous-v0").T[0])
    out.write()


for make in (cartpole, acrobot, pendulum, mountain_car):
    make()
