# SPDX-License-Identifier: MIT
"""Records the puzzles of Jumanji (pip install jumanji==1.1.2): tests/gen/envs_jumanji.py

Observations are laid out as the comments at the top of src/envs/game2048.c, knapsack.c and snake.c say.
"""
import jax
import jax.numpy as jnp
import jumanji
import numpy as np

from env_recording import Recording

KEYS = 40000


def made(name):
    return Recording(name, f"{name} of Jumanji {jumanji.__version__}, by tests/gen/envs_jumanji.py")


class Original:
    def __init__(self, name, state_of, observation_of):
        self.env = jumanji.make(name)
        self.step = jax.jit(self.env.step)
        self.state_of, self.observation_of = state_of, observation_of
        self.out = made(name)
        self.states, self.steps = jax.jit(jax.vmap(self.env.reset))(jax.random.split(jax.random.PRNGKey(7), KEYS))

    def start(self, index):
        return jax.tree_util.tree_map(lambda x: x[index], (self.states, self.steps))

    def record(self, state, observation, steps, policy):
        self.out.reset(self.state_of(state), self.observation_of(observation))
        for _ in range(steps):
            action = policy(state, observation)
            state, timestep = self.step(state, jnp.asarray(action, jnp.int32))
            observation = timestep.observation
            done = bool(timestep.last())
            self.out.step(action, timestep.reward, done, self.state_of(state), self.observation_of(observation))
            if done:
                return

    def many(self, state, action):
        """The same step with KEYS different keys."""
        keys = jax.random.split(jax.random.PRNGKey(8), KEYS)
        return jax.jit(jax.vmap(lambda key: self.env.step(state.replace(key=key), action)[0]))(keys)


def any_valid(rng):
    return lambda state, observation: int(rng.choice(np.flatnonzero(np.asarray(observation.action_mask))))


# --------------------------------------------------------------------------------------------------------------- 2048

BOARD_TO_SPAWN_ON = [[1, 2, 1, 2], [2, 1, 2, 1], [1, 2, 1, 0], [1, 0, 0, 3]]   # to the left: 3 cells stay empty


def game2048():
    def state_of(state):
        return np.asarray(state.board).ravel()

    def observation_of(observation):
        board = np.asarray(observation.board).ravel().astype(np.float32) / np.float32(16)
        return np.concatenate([board, np.asarray(observation.action_mask, np.float32)])

    game = Original("Game2048-v1", state_of, observation_of)
    rng = np.random.default_rng(5)

    def with_board(board):
        board = jnp.array(board, jnp.int32)
        state, timestep = game.start(0)
        mask = game.env._get_action_mask(board)
        observation = timestep.observation._replace(board=board, action_mask=mask)
        return state.replace(board=board, action_mask=mask), observation

    for index in range(2):
        state, timestep = game.start(index)
        game.record(state, timestep.observation, 1000, any_valid(rng))
    state, timestep = game.start(2)
    game.record(state, timestep.observation, 200, lambda s, o: int(rng.integers(4)))   # with moves that move nothing
    for _ in range(60):   # any board, the large tiles too
        board = rng.integers(1, 17, (4, 4)) if rng.integers(2) else rng.integers(1, 4, (4, 4))
        board = np.where(rng.random((4, 4)) < 0.3, 0, board)
        game.record(*with_board(board), 4, lambda s, o: int(rng.integers(4)))

    first = np.asarray(game.states.board).reshape(KEYS, 16)
    game.out.histogram("first-cell", 0, 16, 16, first.argmax(1))
    game.out.histogram("first-tile", 1, 3, 2, first.max(1))
    state, _ = with_board(BOARD_TO_SPAWN_ON)
    moved, _ = jumanji.environments.logic.game_2048.utils.move(state.board, 3)
    boards = np.asarray(game.many(state, 3).board).reshape(KEYS, 16)
    new = boards - np.asarray(moved).ravel()
    game.out.histogram("next-cell", 0, 16, 16, new.argmax(1))
    game.out.histogram("next-tile", 1, 3, 2, new.max(1))
    game.out.write()


# ----------------------------------------------------------------------------------------------------------- knapsack

def knapsack():
    def state_of(state):
        return np.concatenate([np.asarray(state.weights), np.asarray(state.values),
                               np.asarray(state.packed_items, np.float32), np.asarray(state.remaining_budget)[None]])

    def observation_of(observation):
        return np.concatenate([np.asarray(part, np.float32) for part in observation])

    bag = Original("Knapsack-v1", state_of, observation_of)
    rng = np.random.default_rng(6)
    greedy = lambda s, o: int(np.argmax(np.where(o.action_mask, o.values / (o.weights + 1e-6), -1)))
    valid = any_valid(rng)

    def until_full(state, observation):   # then an item that is too heavy, if there is one
        mask, packed = np.asarray(observation.action_mask), np.asarray(observation.packed_items)
        heavy = np.flatnonzero(~mask & ~packed)
        return int(heavy[0]) if len(heavy) else valid(state, observation)

    for index, policy in enumerate([greedy, valid, valid, until_full, until_full, lambda s, o: int(rng.integers(50))]):
        state, timestep = bag.start(index)
        bag.record(state, timestep.observation, 60, policy)
    bag.out.histogram("weight", 0, 1, 20, np.asarray(bag.states.weights[:400]).ravel())
    bag.out.histogram("value", 0, 1, 20, np.asarray(bag.states.values[:400]).ravel())
    bag.out.write()


# -------------------------------------------------------------------------------------------------------------- snake

def winding(length):
    """A snake of this length that lies in rows, to and fro, from the upper left; its head is the last part."""
    body = np.zeros((12, 12), np.int32)
    cells = [(row, column if row % 2 == 0 else 11 - column) for row in range(12) for column in range(12)]
    for place, cell in enumerate(cells[:length]):
        body[cell] = place + 1
    return body, cells[length - 1], cells


def snake():
    def state_of(state):
        head, fruit = state.head_position, state.fruit_position
        rest = [int(head.row), int(head.col), 12 * int(fruit.row) + int(fruit.col), int(state.length),
                int(state.step_count)]
        return np.concatenate([np.asarray(state.body_state).ravel(), rest])

    def observation_of(observation):
        steps = np.float32(observation.step_count) / np.float32(4000)
        return np.concatenate([np.asarray(observation.grid).ravel(), [steps],
                               np.asarray(observation.action_mask, np.float32)]).astype(np.float32)

    game = Original("Snake-v1", state_of, observation_of)
    rng = np.random.default_rng(7)
    moves = np.array([[-1, 0], [0, 1], [1, 0], [0, -1]])
    position = type(game.start(0)[0].head_position)

    def hungry(state, observation):
        mask = np.asarray(observation.action_mask)
        if not mask.any():
            return int(rng.integers(4))
        head = np.array([int(state.head_position.row), int(state.head_position.col)])
        fruit = np.array([int(state.fruit_position.row), int(state.fruit_position.col)])
        distance = np.abs(head + moves - fruit).sum(1)
        return int(np.argmin(np.where(mask, distance, 99)))

    def with_body(body, head, fruit, steps):
        state, _ = game.start(0)
        body, head = jnp.array(body), position(*[jnp.int32(x) for x in head])
        state = state.replace(
            body=body > 0, tail=body == 1, body_state=body, head_position=head, length=jnp.int32(body.max()),
            fruit_position=position(*[jnp.int32(x) for x in fruit]), step_count=jnp.int32(steps),
            action_mask=game.env._get_action_mask(head, body))
        return state, game.env._state_to_observation(state)

    for index in range(2):
        state, timestep = game.start(index)
        game.record(state, timestep.observation, 110, hungry)
    for action in range(4):   # into each wall
        state, timestep = game.start(2 + action)
        game.record(state, timestep.observation, 12, lambda s, o: action)
    for index in range(6, 10):
        state, timestep = game.start(index)
        game.record(state, timestep.observation, 30, lambda s, o: int(rng.integers(4)))
    for length in (20, 60, 143):   # eat, or go on, or bump into the body
        body, head, cells = winding(length)
        following = cells[length]
        action = int(np.flatnonzero((moves == np.subtract(following, head)).all(1))[0])
        game.record(*with_body(body, head, following, 500), 1, lambda s, o: action)
        game.record(*with_body(body, head, (11, 0), 500), 2, lambda s, o: (action + 2) % 4)
    ring = np.array([[2, 3, 4], [1, 0, 5], [8, 7, 6]])   # the head is next to the tail, which moves away
    body = np.zeros((12, 12), np.int32)
    body[4:7, 4:7] = ring
    game.record(*with_body(body, (6, 4), (0, 0), 40), 8, lambda s, o: [0, 0, 1, 1, 2, 2, 3, 3][int(s.step_count) - 40])
    body, head, cells = winding(5)
    game.record(*with_body(body, head, (11, 11), 3997), 9, lambda s, o: 1)   # the end of time

    heads, fruits = game.states.head_position, game.states.fruit_position
    game.out.histogram("head", 0, 144, 144, 12 * np.asarray(heads.row) + np.asarray(heads.col))
    game.out.histogram("fruit", 0, 144, 144, 12 * np.asarray(fruits.row) + np.asarray(fruits.col))
    body, head, cells = winding(60)
    state, _ = with_body(body, head, cells[60], 0)
    fruits = game.many(state, 2).fruit_position
    game.out.histogram("next-fruit", 0, 144, 144, 12 * np.asarray(fruits.row) + np.asarray(fruits.col))
    game.out.write()


for make in (game2048, knapsack, snake):
    make()
