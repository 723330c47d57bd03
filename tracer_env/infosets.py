"""What a controller knows: maps a dialogue to a small discrete key, with one-hot features of that key.

Four information structures (DESIGN, sections 2 and 12). Each is a partition of the public histories at which a
controller decides; ``recall`` refines ``paper`` and ``consensus``, ``belief`` also sees signals. The active agent is a
function of every key.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Literal

import numpy as np

from tracer_env.dialogue import Dialogue, Posterior, Role, Rules, Verdict
from tracer_env.errors import ConfigError

InfosetName = Literal["paper", "consensus", "recall", "belief"]
InfosetKey = tuple[int, ...]

UNPARSED = 5  # pending status: 0..4 is the vote score clipped to [−2, 2] plus 2; 5: nothing parsed


def _status(state: Dialogue) -> int:
    return UNPARSED if state.answer is None else max(-2, min(2, state.votes)) + 2


def _paper_key(state: Dialogue) -> InfosetKey:
    """(stage, pending status, at most one proposal round left, cycle)."""
    rounds, round_ = state.rules.rounds, state.round
    stage = 1 - round_ % 2  # 0 proposal, 1 review
    proposals_left = (rounds - round_ + (1 if stage else 2)) // 2  # this round included
    return stage, _status(state), int(proposals_left <= 1), (round_ - 1) // 2


def _consensus_key(state: Dialogue) -> InfosetKey:
    """The paper's key, then the number of proposals and how many gave the pending answer (0, 1, 2+)."""
    proposals, agreeing = _agreement(state, state.answer)
    return (*_paper_key(state), proposals, min(agreeing, 2))


def _agreement(state: Dialogue, answer: str | None) -> tuple[int, int]:
    """The number of proposals, and how many gave an answer."""
    proposals, agreeing = 0, 0
    for given in state.proposed():
        proposals += 1
        agreeing += answer is not None and given == answer
    return proposals, agreeing


def _belief_key(belief: Posterior | None) -> Callable[[Dialogue], InfosetKey]:
    """(Stage, rounds finished, how many proposals gave the team's answer (0, 1, 2+), bin of the belief in it)."""

    def key(state: Dialogue) -> InfosetKey:
        answer, chance = belief.standing(state) if belief else (state.team_answer, 0.0)
        _, agreeing = _agreement(state, answer)
        return 1 - state.round % 2, state.round - 1, min(agreeing, 2), belief.bin(chance) if belief else 0

    return key


def _recall_key(state: Dialogue) -> InfosetKey:
    """One code per finished round, whose position tells round and agent.

    0: skipped; a proposal: 1 unparsed, 2 + k its answer is the k-th distinct one; a review: 1 RIGHT, 2 WRONG, 3
    unparsed.
    """
    classes: dict[str, int] = {}
    codes: list[int] = []
    for turn in state.turns:
        utterance = turn.utterance
        if utterance is None:
            codes.append(0)
        elif turn.role is Role.PROPOSER:
            codes.append(1 if utterance.answer is None else 2 + classes.setdefault(utterance.answer, len(classes)))
        else:
            codes.append(3 if utterance.verdict is None else 1 if utterance.verdict is Verdict.RIGHT else 2)
    return tuple(codes)


def _paper_sizes(rules: Rules) -> tuple[int, ...]:
    return 2, 6, 2, rules.max_proposals


def _consensus_sizes(rules: Rules) -> tuple[int, ...]:
    return *_paper_sizes(rules), rules.max_proposals + 1, 3


def _recall_sizes(rules: Rules) -> tuple[int, ...]:
    return tuple(2 + rules.max_proposals if round_ % 2 else 4 for round_ in range(1, rules.rounds))


def _belief_sizes(rules: Rules) -> tuple[int, ...]:
    return 2, rules.rounds, 3, rules.belief.bins if rules.belief else 1


_KINDS: dict[
    str, tuple[Callable[[Rules], Callable[[Dialogue], InfosetKey]], Callable[[Rules], tuple[int, ...]]]
] = {  # name -> rules -> the key of a state; rules -> how many values each of its components has
    "paper": (lambda rules: _paper_key, _paper_sizes),
    "consensus": (lambda rules: _consensus_key, _consensus_sizes),
    "recall": (lambda rules: _recall_key, _recall_sizes),
    "belief": (lambda rules: _belief_key(rules.belief), _belief_sizes),
}
INFOSETS: tuple[str, ...] = tuple(_KINDS)


@dataclass(frozen=True)
class Infosets:
    """An information structure for dialogues of one shape.

    Args:
        name: ``"paper"``, ``"consensus"``, ``"recall"`` or ``"belief"``.
        rules: the dialogue's shape, and the belief that ``"belief"`` sees; without one, all beliefs are in one bin.

    Raises:
        ConfigError: an unknown name.
    """

    name: str
    rules: Rules

    def __post_init__(self) -> None:
        if self.name not in _KINDS:
            raise ConfigError(f"infoset must be one of {INFOSETS}, got {self.name!r}")

    @cached_property
    def key(self) -> Callable[[Dialogue], InfosetKey]:
        """state -> key, defined where a controller decides (or is forced)."""
        return _KINDS[self.name][0](self.rules)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """How many values each component of a key can take."""
        return _KINDS[self.name][1](self.rules)

    @cached_property
    def offsets(self) -> np.ndarray:
        """Where each component's one-hot block starts, int of shape (components,)."""
        return np.cumsum((0, *self.sizes))[:-1]

    @property
    def n_features(self) -> int:
        """The width of ``features``."""
        return sum(self.sizes)

    def features(self, key: InfosetKey) -> np.ndarray:
        """One-hot features of a key, float32 of shape (n_features,); rounds still to come are zero."""
        return self.feature_rows([key])[0]

    def feature_rows(self, keys: Sequence[InfosetKey]) -> np.ndarray:
        """``features`` of many keys, float32 of shape (len(keys), n_features)."""
        lengths = np.array([len(key) for key in keys], dtype=np.intp)
        starts = np.cumsum(lengths) - lengths
        values = np.fromiter(chain.from_iterable(keys), dtype=np.intp, count=int(lengths.sum()))
        components = np.arange(len(values)) - np.repeat(starts, lengths)
        out = np.zeros((len(keys), self.n_features), dtype=np.float32)
        out[np.repeat(np.arange(len(keys)), lengths), self.offsets[components] + values] = 1.0
        return out
