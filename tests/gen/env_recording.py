# SPDX-License-Identifier: MIT
"""Writes what an original environment did to tests/fixtures/envs/NAME.txt, to be replayed by tests/env_replay.c.

    R s 0=... o 0=...                      an episode begins: state and observation
    S a ... r REWARD d 0|1 s ... o ...     a step: action, reward, whether the episode terminated, state and observation
    H WHAT LOW HIGH COUNTS...              how often WHAT fell into equal parts of [LOW, HIGH)

States and observations are vectors; i=v is an element that differs from the line before (at R: from zero).
"""
import os

import numpy as np

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "fixtures", "envs")


def number(value):
    if isinstance(value, np.float32):
        return np.format_float_scientific(value, unique=True, trim="-") if value != int(value) else str(int(value))
    return str(int(value)) if value == int(value) else repr(float(value))


class Recording:
    def __init__(self, name, made_by):
        os.makedirs(FOLDER, exist_ok=True)
        self.path = os.path.join(FOLDER, name + ".txt")
        self.lines = [f"# {made_by}"]

    def _changes(self, kind, values):
        values = np.asarray(values).ravel()
        before = self.last.get(kind, np.zeros(len(values)))
        self.last[kind] = values
        return [kind] + [f"{i}={number(v)}" for i, v in enumerate(values) if v != before[i]]

    def reset(self, state, observation):
        self.last = {}
        self.lines.append(" ".join(["R"] + self._changes("s", state) + self._changes("o", observation)))

    def step(self, action, reward, done, state, observation):
        action = [number(a) for a in np.asarray(action).ravel()]
        head = ["S", "a"] + action + ["r", number(np.float64(reward)), "d", str(int(done))]
        self.lines.append(" ".join(head + self._changes("s", state) + self._changes("o", observation)))

    def histogram(self, what, low, high, bins, values):
        place = np.floor((np.asarray(values, np.float64) - low) / (high - low) * bins).astype(int)
        counts = np.bincount(np.clip(place, 0, bins - 1), minlength=bins)
        self.lines.append(" ".join(["H", what, str(low), str(high)] + [str(c) for c in counts]))

    def write(self):
        with open(self.path, "w") as file:
            file.write("\n".join(self.lines) + "\n")
        print(self.path, os.path.getsize(self.path), "bytes")
