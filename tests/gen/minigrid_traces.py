# SPDX-License-Identifier: MIT
"""Writes tests/fixtures/envs/minigrid_*.txt: episodes of MiniGrid's own environments, and how its random choices fall.

    python3 -m venv build/venv && build/venv/bin/pip install minigrid==3.2.0
    build/venv/bin/python tests/gen/minigrid_traces.py tests/fixtures/envs

Lines of a fixture:

    env NAME
    tile C OBJECT COLOR STATE       what the character C stands for below
    grid CCC...                     all tiles row by row but balls, when they are other than before
    balls X Y X Y X Y
    view CCC...                     image[0][0], image[0][1], ... of the observation
    start X Y DIRECTION CARRIED     reset left the agent there and all else as the lines before tell
    step ACTION REWARD TERMINATED X Y DIRECTION CARRIED     so did this step
    moves X Y DIRECTION X Y X Y X Y the agent and three balls of which the histograms below tell the next moves
    histogram NAME BIN COUNT BIN COUNT ...
"""
import os
import sys
from collections import Counter, deque

import gymnasium
import minigrid
import numpy

SAMPLES = 20000
TILES = {".": (1, 0, 0), "#": (2, 5, 0), "G": (8, 1, 0), "k": (5, 4, 0), "o": (6, 2, 0), "?": (0, 0, 0),
         "/": (4, 4, 0), "d": (4, 4, 1), "D": (4, 4, 2)}
CHARACTER = {code: character for character, code in TILES.items()}
AHEAD = [(1, 0), (0, 1), (-1, 0), (0, -1)]
LEFT, RIGHT, FORWARD, PICK_UP, DROP, TOGGLE = range(6)


def tile_at(env, x, y):
    tile = env.grid.get(x, y)
    return CHARACTER[tuple(tile.encode()) if tile else (1, 0, 0)]


def find(env, character):
    return next(((x, y) for y in range(env.height) for x in range(env.width) if tile_at(env, x, y) == character), None)


def way(env, target, onto):
    """The first action of a shortest way until the agent faces 'target', or stands on it; None when it does."""
    start = (int(env.agent_pos[0]), int(env.agent_pos[1]), int(env.agent_dir))
    queue, first = deque([start]), {start: None}
    while queue:
        place = queue.popleft()
        x, y, direction = place
        ahead = (x + AHEAD[direction][0], y + AHEAD[direction][1])
        if (onto and (x, y) == target) or (not onto and ahead == target):
            return first[place]
        steps = [(LEFT, (x, y, (direction + 3) % 4)), (RIGHT, (x, y, (direction + 1) % 4))]
        if tile_at(env, *ahead) in "./G":
            steps.append((FORWARD, (*ahead, direction)))
        for action, after in steps:
            if after not in first:
                first[after] = action if first[place] is None else first[place]
                queue.append(after)
    return LEFT


def sensible(env, tries_the_door):
    """What a player would do who sees the whole grid; one who tries the door first finds it locked."""
    locked, closed = find(env, "D"), find(env, "d")
    if locked and not env.carrying and not tries_the_door:
        action = way(env, find(env, "k"), False)
        return PICK_UP if action is None else action
    if locked or closed:
        action = way(env, locked or closed, False)
        return TOGGLE if action is None else action
    return way(env, find(env, "G"), True)


class Recorder:
    def __init__(self, folder, name, file):
        self.env = gymnasium.make(name).unwrapped
        self.out = open(os.path.join(folder, file), "w")
        self.summary = Counter()
        self.line(f"# made by tests/gen/minigrid_traces.py with minigrid {minigrid.__version__}")
        self.line(f"env {name}")
        for character, code in TILES.items():
            self.line("tile", character, *code)

    def line(self, *words):
        print(*words, file=self.out)

    def agent(self):
        env = self.env
        carried = CHARACTER[tuple(env.carrying.encode())] if env.carrying else "."
        return int(env.agent_pos[0]), int(env.agent_pos[1]), int(env.agent_dir), carried

    def balls(self):
        return [int(v) for ball in getattr(self.env, "obstacles", []) for v in ball.cur_pos]

    def surroundings(self, observation):
        env = self.env
        grid = "".join(tile_at(env, x, y) for y in range(env.height) for x in range(env.width)).replace("o", ".")
        if grid != self.grid:
            self.line("grid", grid)
        self.grid = grid
        if self.balls():
            self.line("balls", *self.balls())
        self.line("view", "".join(CHARACTER[tuple(map(int, code))] for code in observation["image"].reshape(-1, 3)))
        assert observation["direction"] == env.agent_dir

    def episode(self, seed, steps, luck, at_the_door=0):
        """'luck' is the share of actions that are random; the player tries a locked door 'at_the_door' times."""
        env, random, self.grid = self.env, numpy.random.default_rng(seed), None
        observation, _ = env.reset(seed=seed)
        self.surroundings(observation)
        self.line("start", *self.agent())
        for _ in range(steps):
            action = int(random.integers(env.action_space.n))
            if random.random() >= luck:
                action = sensible(env, at_the_door > 0)
                at_the_door -= action == TOGGLE
            observation, reward, terminated, truncated, _ = env.step(action)
            self.surroundings(observation)
            self.line("step", action, repr(float(reward)), int(terminated), *self.agent())
            self.summary["steps"] += 1
            if terminated or truncated:
                self.summary["goal" if reward > 0 else "collision" if reward < 0 else "out of time"] += 1
                return

    def histogram(self, name, values):
        counts = Counter(int(v) for v in values)
        self.line("histogram", name, *[f"{bin} {counts[bin]}" for bin in sorted(counts)])

    def starts(self, features, seed):
        """'features' maps the environment after a reset to {name: bin}."""
        self.env.reset(seed=seed)
        samples = []
        for _ in range(SAMPLES):
            self.env._gen_grid(self.env.width, self.env.height)
            samples.append(features(self.env))
        for name in samples[0]:
            self.histogram(name, [sample[name] for sample in samples])

    def moves(self, agent, direction, balls):
        """Where the three balls go in one step: each one's shift, and the shifts of the first two together."""
        env, shifts = self.env, []
        self.line("moves", *agent, direction, *[v for ball in balls for v in ball])
        for _ in range(SAMPLES):
            for ball in env.obstacles:
                env.grid.set(*ball.cur_pos, None)
            for ball, position in zip(env.obstacles, balls):
                env.put_obj(ball, *position)
            env.agent_pos, env.agent_dir, env.step_count = agent, direction, 0
            env.step(LEFT)
            shifts.append([int(4 + ball.cur_pos[0] - x + 3 * (ball.cur_pos[1] - y))
                           for ball, (x, y) in zip(env.obstacles, balls)])
        for i in range(3):
            self.histogram(f"shift_{i}", [shift[i] for shift in shifts])
        self.histogram("shift_0_1", [9 * shift[0] + shift[1] for shift in shifts])


def place(env, position):
    return int(position[1]) * env.width + int(position[0])


def door_key_features(env):
    wall, door = find(env, "D")
    key, agent = find(env, "k"), env.agent_pos
    return {
        "wall_and_door": 8 * wall + door,
        "wall_and_agent": 64 * wall + place(env, agent),
        "wall_and_key": 64 * wall + place(env, key),
        "agent_to_key": 16 * (8 + key[0] - agent[0]) + 8 + key[1] - agent[1],
        "direction": env.agent_dir,
    }


def four_rooms_features(env):
    goal, agent = find(env, "G"), env.agent_pos
    gaps = {"gap_up": [(9, i) for i in range(1, 9)], "gap_down": [(9, i) for i in range(10, 18)],
            "gap_left": [(i, 9) for i in range(1, 9)], "gap_right": [(i, 9) for i in range(10, 18)]}
    room = lambda at: int(at[0] > 9) + 2 * int(at[1] > 9)
    features = {name: next(i for i, cell in enumerate(cells) if tile_at(env, *cell) != "#")
                for name, cells in gaps.items()}
    return features | {"agent": place(env, agent), "goal": place(env, goal),
                       "rooms": 4 * room(agent) + room(goal), "direction": env.agent_dir}


def dynamic_obstacles_features(env):
    balls = [ball.cur_pos for ball in env.obstacles]
    features = {f"ball_{i}": place(env, ball) for i, ball in enumerate(balls)}
    shift = lambda a, b: 16 * (8 + b[0] - a[0]) + 8 + b[1] - a[1]
    return features | {"agent": place(env, env.agent_pos), "direction": env.agent_dir,
                       "ball_to_ball": shift(balls[0], balls[1]), "agent_to_ball": shift(env.agent_pos, balls[2])}


folder = sys.argv[1]

recorder = Recorder(folder, "MiniGrid-DoorKey-8x8-v0", "minigrid_door_key.txt")
for seed in range(10):
    recorder.episode(seed, 80, 0.35)
for seed in range(10, 16):
    recorder.episode(seed, 100, 0.6, at_the_door=2)
recorder.starts(door_key_features, 1)
print(recorder.env, dict(recorder.summary))

recorder = Recorder(folder, "MiniGrid-FourRooms-v0", "minigrid_four_rooms.txt")
for seed in range(10):
    recorder.episode(seed, 100, 0.25)
recorder.episode(10, 100, 1)
recorder.starts(four_rooms_features, 2)
print(recorder.env, dict(recorder.summary))

recorder = Recorder(folder, "MiniGrid-Dynamic-Obstacles-Random-6x6-v0", "minigrid_dynamic_obstacles.txt")
for seed in range(40):
    recorder.episode(seed, 40, 0.2)
for seed in range(40, 50):
    recorder.episode(seed, 40, 1)
recorder.starts(dynamic_obstacles_features, 3)
recorder.moves((1, 1), 0, [(2, 3), (3, 3), (3, 2)])
recorder.moves((2, 2), 1, [(1, 1), (2, 1), (1, 2)])
recorder.moves((1, 4), 3, [(4, 3), (3, 4), (3, 3)])
print(recorder.env, dict(recorder.summary))
