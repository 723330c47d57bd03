"""The exact optimum of long dialogues with binary answers, by a dynamic programme over beliefs.

With one class of questions, one wrong answer and everything readable, two things sum up the public history: the
chance b that the pending answer is right, and the last verdict on it. The team optimum in ``recall`` is then a
dynamic programme over the reachable beliefs, and any profile can be simulated on public histories alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tracer_agents.speakers.tabular import TabularSpeaker
from tracer_env.errors import ConfigError

Policy = Callable[[int, "PublicHistories"], np.ndarray]  # (round, histories) -> P(SPEAK), (histories,)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicHistories:
    """Public histories before a round, a row for each."""

    codes: np.ndarray  # (histories, round − 1) the recall key
    state: np.ndarray  # (histories,) index of the belief state


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """The belief states before one round and what speaking leads to."""

    belief: np.ndarray  # (states,)
    chance: np.ndarray  # (states,) of the first outcome: RIGHT, or the same answer again
    spoken: np.ndarray  # (states, 2) next state after each outcome
    skipped: np.ndarray  # (states,)


class BeliefProcess:
    """Long dialogues as a decision process on beliefs.

    Args:
        speaker: one difficulty, one wrong answer, everything readable.
        rounds: R, odd.
        price: λ.
        token_budget: R · max_new_tokens.

    Raises:
        ConfigError: other speakers.
    """

    def __init__(self, speaker: TabularSpeaker, *, rounds: int, price: float, token_budget: int) -> None:
        if len(speaker.difficulties) != 1 or speaker.wrong_answers > 1:
            raise ConfigError("a belief process needs one difficulty and one wrong answer")
        self._ability = speaker.difficulties[0]
        if self._ability.unparsed_proposal or self._ability.unparsed_review:
            raise ConfigError("a belief process needs every utterance to be readable")
        self.rounds = rounds
        self._review_cost = price * speaker.tokens.review / token_budget
        self._proposal_cost = price * speaker.tokens.proposal / token_budget
        self._levels, self._last = self._grow()
        self._values, self._speaks = self._solve()

    @property
    def optimum(self) -> float:
        """The team optimum's utility, the forced first proposal included."""
        return self._values[0].item(0) - self._proposal_cost

    def optimal(self, round_: int, histories: PublicHistories) -> np.ndarray:
        """The optimal policy."""
        return self._speaks[round_ - 2][histories.state].astype(float)

    def simulate(self, policy: Policy, count: int, rng: np.random.Generator) -> tuple[float, float]:
        """(mean utility, its standard error) of a policy over sampled public histories."""
        histories = PublicHistories(codes=np.full((count, 1), 2), state=np.zeros(count, dtype=np.int64))
        answer, cost = np.zeros(count, dtype=np.int64), np.full(count, self._proposal_cost)
        for round_, level in enumerate(self._levels, start=2):
            speaks = rng.random(count) < policy(round_, histories)
            second = rng.random(count) >= level.chance[histories.state]
            state = np.where(speaks, level.spoken[histories.state, second.astype(int)], level.skipped[histories.state])
            if round_ % 2:
                answer = np.where(speaks & second, 1 - answer, answer)
                code = 2 + answer
            else:
                code = 1 + second
            cost += speaks * (self._proposal_cost if round_ % 2 else self._review_cost)
            codes = np.column_stack([histories.codes, np.where(speaks, code, 0)])
            histories = PublicHistories(codes=codes, state=state)
        utility = 2 * self._last[histories.state] - 1 - cost
        return float(utility.mean()), float(utility.std(ddof=1) / np.sqrt(count))

    def _grow(self) -> tuple[list[_Level], np.ndarray]:
        belief, verdict = np.array([self._ability.first]), np.array([0])  # verdict: 0 none, 1 RIGHT, 2 WRONG
        levels = []
        for round_ in range(2, self.rounds + 1):
            chance, after = self._propose(belief, verdict) if round_ % 2 else self._review(belief)
            verdicts = np.zeros((len(belief), 2), int) if round_ % 2 else np.tile([1, 2], (len(belief), 1))
            every = np.column_stack([after, belief]).ravel()
            spoken = np.column_stack([verdicts, verdict]).ravel()
            points, index = np.unique(np.column_stack([np.round(every, 12), spoken]), axis=0, return_inverse=True)
            index = index.reshape(-1, 3)
            levels.append(_Level(belief=belief, chance=chance, spoken=index[:, :2], skipped=index[:, 2]))
            belief, verdict = points[:, 0], points[:, 1].astype(int)
        return levels, belief

    def _review(self, belief: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        says_right = belief * self._ability.specificity + (1 - belief) * (1 - self._ability.sensitivity)
        right = _share(belief * self._ability.specificity, says_right)
        wrong = _share(belief * (1 - self._ability.specificity), 1 - says_right)
        return says_right, np.column_stack([right, wrong])

    def _propose(self, belief: np.ndarray, verdict: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        table = np.array([self._ability.after_none, self._ability.after_right, self._ability.after_wrong])
        from_wrong, from_right = table[verdict].T
        same = belief * from_right + (1 - belief) * (1 - from_wrong)
        stays = _share(belief * from_right, same)
        turns = _share((1 - belief) * from_wrong, 1 - same)
        return same, np.column_stack([stays, turns])

    def _solve(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        value, values, speaks = 2 * self._last - 1, [], []
        for round_, level in zip(range(self.rounds, 1, -1), reversed(self._levels), strict=True):
            cost = self._proposal_cost if round_ % 2 else self._review_cost
            after = value[level.spoken]
            speak = level.chance * after[:, 0] + (1 - level.chance) * after[:, 1] - cost
            skip = value[level.skipped]
            value = np.maximum(speak, skip)
            values.insert(0, value)
            speaks.insert(0, speak > skip)
        return values, speaks


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
