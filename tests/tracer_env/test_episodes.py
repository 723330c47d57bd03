"""Which question an episode seed plays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_env.episodes import EpisodeSource, checked_seed
from tracer_env.errors import ConfigError, DataError
from tracer_env.seeding import fresh_episode_seed
from tracer_env.tasks.arithmetic import Arithmetic
from tracer_env.tasks.base import Question


class Numbered:
    """A task whose split has ``size`` questions and that remembers what was drawn."""

    name = "numbered"

    def __init__(self, size: int) -> None:
        self.size, self.draws = size, []

    def draw(self, split, start, count, *, seed):
        self.draws.append((start, count))
        return [Question(id=str(i), text=f"{i}?", gold=str(i)) for i in range(start, min(start + count, self.size))]


@given(st.integers(1, 100), st.lists(st.integers(0, 2**40), max_size=20))
def test_finite_split_is_taken_round_in_any_order(size, seeds):
    source = EpisodeSource(Numbered(size), "test")
    for seed in seeds:
        position = seed % 2**31
        assert source.question(seed).id == str(position if position < size else position % size)


@pytest.mark.parametrize("size", [1, 2, 3, 31, 32, 33, 100])
def test_seeds_in_order_play_every_question_once_and_start_again(size):
    source = EpisodeSource(Numbered(size), "test")
    assert [source.question(seed).id for seed in range(2 * size)] == [str(i) for i in range(size)] * 2


def test_questions_in_order_are_drawn_some_at_a_time():
    task = Numbered(10**6)
    source = EpisodeSource(task, "train")
    for seed in range(100):
        source.question(seed)
    assert len(task.draws) < 10
    task.draws.clear()
    for seed in (500, 7, 900):
        source.question(seed)
    assert task.draws == [(500, 1), (7, 1), (900, 1)]


def test_the_way_there_does_not_matter():
    source, other = EpisodeSource(Arithmetic(), "train"), EpisodeSource(Arithmetic(), "train")
    assert [source.question(seed) for seed in range(40)] == [other.question(seed) for seed in range(39, -1, -1)][::-1]


def test_empty_split_and_unknown_split_are_named():
    with pytest.raises(DataError, match="'numbered' has no questions in its 'test' split"):
        EpisodeSource(Numbered(0), "test").question(3)
    with pytest.raises(ConfigError, match="split must be one of"):
        EpisodeSource(Numbered(0), "dev")


def test_seeds_are_checked_and_fresh_ones_differ():
    assert checked_seed(2**70) == 2**70
    for wrong in (-1, 1.0, "1"):
        with pytest.raises(ConfigError, match="seed must be an integer ≥ 0"):
            checked_seed(wrong)
    assert len({fresh_episode_seed(root, count) for root in range(10) for count in range(10)}) == 100
