"""What both branches of every recorded choice are worth, and what is regretted: one question's, and by infoset."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tracer_agents.rollout.expanded import ExpandedRecord
from tracer_env.infosets import InfosetKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Valued:
    """A free choice on one question's tree.

    Args:
        infoset, speak: what the controller knew, and the chance that it speaks.
        skip_value, speak_value: the expected utility after each, everybody going on with the same strategy.
        reach: the chance that the strategy comes here.
    """

    infoset: InfosetKey
    speak: float
    skip_value: float
    speak_value: float
    reach: float

    def regret(self, mode: str) -> float:
        """How much better the better branch is than ``mode``, "0" or "1": ≥ 0."""
        played = self.speak_value if mode == "1" else self.skip_value
        return max(self.speak_value, self.skip_value) - played


def valued(record: ExpandedRecord) -> dict[str, Valued]:
    """Every choice of an expanded question by mode prefix, from one backward and one forward pass."""
    prefixes = {prefix[:cut] for prefix in record.leaves for cut in range(len(prefix) + 1)}
    values = {prefix: leaf.utility for prefix, leaf in record.leaves.items()}
    for prefix in sorted(prefixes - set(values), key=len, reverse=True):
        if prefix in record.decisions:
            speak = record.decisions[prefix].speak
            values[prefix] = speak * values[f"{prefix}1"] + (1 - speak) * values[f"{prefix}0"]
        else:
            values[prefix] = values[f"{prefix}1"]  # forced
    reach = {"": 1.0}
    for prefix in sorted(prefixes - {""}, key=len):
        before, mode = prefix[:-1], prefix[-1]
        chance = record.decisions[before].speak if before in record.decisions else 1.0
        reach[prefix] = reach[before] * (chance if mode == "1" else 1 - chance)
    return {
        prefix: Valued(
            infoset=decision.infoset,
            speak=decision.speak,
            skip_value=values[f"{prefix}0"],
            speak_value=values[f"{prefix}1"],
            reach=reach[prefix],
        )
        for prefix, decision in record.decisions.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class InfosetFigures:
    """An infoset over all expanded questions: chance of speech, how often a question comes here, u(speak) − u(skip).

    ``gain`` is a mean over the questions that come here, weighted by how often they do; None: none does.
    """

    speak: float
    met: float
    gain: float | None


def by_infoset(records: Iterable[ExpandedRecord]) -> Mapping[InfosetKey, InfosetFigures]:
    """The figures of every infoset in some expanded questions."""
    sums: dict[InfosetKey, list[float]] = {}
    count = 0
    for record in records:
        count += 1
        for choice in valued(record).values():
            row = sums.setdefault(choice.infoset, [choice.speak, 0.0, 0.0])
            row[1] += choice.reach
            row[2] += choice.reach * (choice.speak_value - choice.skip_value)
    return {
        key: InfosetFigures(speak=speak, met=met / count, gain=gain / met if met > 0 else None)
        for key, (speak, met, gain) in sorted(sums.items())
    }
