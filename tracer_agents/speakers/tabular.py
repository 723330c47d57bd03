"""Speakers of known probability, whose every utterance can be sampled or enumerated with its exact chance.

The ground truth of every convergence claim and a CPU-second test bed: a question has a latent difficulty;
given it, the chances of all utterances depend only on the public dialogue. Implements ``Speakers``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from tracer_agents.types import SpeakRequest
from tracer_env.dialogue import Dialogue, Role, Utterance, Verdict
from tracer_env.errors import ConfigError
from tracer_env.seeding import difficulty_uniform, generator
from tracer_env.tasks.base import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Difficulty:
    """How speakers fare on one class of questions. All fields but ``weight`` are probabilities.

    Args:
        weight: the class's share of all questions, relative to the other classes' weights.
        first: a readable first proposal is right.
        after_none: a readable later proposal is right when the pending one had no (readable) review:
            (pending wrong, pending right).
        after_right: the same when the pending solution's last verdict is RIGHT.
        after_wrong: the same when the pending solution's last verdict is WRONG.
        coincide: a wrong answer is the commonest one; the other wrong answers share the rest evenly.
        unparsed_proposal: no answer can be read from a proposal.
        sensitivity: a readable verdict on a wrong (or unreadable) solution is WRONG.
        specificity: a readable verdict on a right solution is RIGHT.
        unparsed_review: no verdict can be read from a review.
    """

    weight: float = 1.0
    first: float
    after_none: tuple[float, float]
    after_right: tuple[float, float]
    after_wrong: tuple[float, float]
    coincide: float = 0.5
    unparsed_proposal: float = 0.0
    sensitivity: float
    specificity: float
    unparsed_review: float = 0.0

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ConfigError(f"weight of a difficulty must be > 0, got {self.weight!r}")
        for name in (field.name for field in fields(self) if field.name != "weight"):
            for chance in np.atleast_1d(getattr(self, name)):
                if not 0 <= chance <= 1:
                    raise ConfigError(f"{name} of a difficulty must lie in [0, 1], got {getattr(self, name)!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounts:
    """Generated tokens: an utterance takes its kind's mean plus an even integer draw from ±``spread``."""

    proposal: int = 60
    review: int = 40
    spread: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.spread < min(self.proposal, self.review):
            raise ConfigError(
                f"spread must be ≥ 0 and below both means, got proposal={self.proposal}, review={self.review}, "
                f"spread={self.spread}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """All of a dialogue that a tabular speaker's chances depend on."""

    pending: bool  # whether there is a pending solution
    answer: str | None  # read from it
    verdict: Verdict | None  # of its last review


@dataclass(frozen=True, kw_only=True)
class TabularSpeaker:
    """The known-probability model; its parameters are a JSON file (``assets/tabular``).

    Args:
        difficulties: the classes of questions; a question's class is a pure function of its id.
        wrong_answers: how many different wrong answers there are, ≥ 1.
        tokens: token counts.
        name: what tables call it.

    Raises:
        ConfigError: a value outside its range.
    """

    difficulties: tuple[Difficulty, ...]
    wrong_answers: int = 3
    tokens: TokenCounts = TokenCounts()
    name: str = "tabular"

    def __post_init__(self) -> None:
        if not self.difficulties:
            raise ConfigError("difficulties must name at least one class of questions")
        if self.wrong_answers < 1:
            raise ConfigError(f"wrong_answers must be ≥ 1, got {self.wrong_answers!r}")

    @classmethod
    def load(cls, source: str | Path = "default") -> "TabularSpeaker":
        """Reads a parameter file, or a shipped one by name (``"default"``).

        Raises:
            ConfigError: no such file, or a field that is unknown, missing or out of range.
        """
        path = Path(source)
        if path.suffix != ".json":
            path = Path(str(files("tracer_agents") / "assets" / "tabular" / f"{source}.json"))
        try:
            return cls.from_dict(json.loads(path.read_text("utf-8")))
        except OSError as error:
            raise ConfigError(f"tabular speaker {str(source)!r}: cannot read {path}: {error.strerror}") from error
        except (TypeError, ValueError, KeyError) as error:
            raise ConfigError(f"tabular speaker in {path}: {error}") from error

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TabularSpeaker":
        """The speaker that a parsed parameter file describes."""
        classes = tuple(Difficulty(**_with_tuples(row)) for row in values["difficulties"])
        rest = {key: value for key, value in values.items() if key not in ("difficulties", "tokens")}
        return cls(difficulties=classes, tokens=TokenCounts(**values.get("tokens", {})), **rest)

    @cached_property
    def weights(self) -> np.ndarray:
        """The share of each class of questions, float64 of shape (classes,), summing to 1."""
        weights = np.array([difficulty.weight for difficulty in self.difficulties])
        return weights / weights.sum()

    def difficulty_of(self, question: Question) -> int:
        """The class of a question: a pure function of its id, distributed as ``weights``."""
        uniform = difficulty_uniform(question.id)
        return min(int(np.searchsorted(np.cumsum(self.weights), uniform, side="right")), len(self.weights) - 1)

    def representatives(self) -> list[Question]:
        """One question of each class, in order: with ``weights`` they stand for the endless stream."""
        first: dict[int, Question] = {}
        index = 0
        while len(first) < len(self.difficulties):
            question = tabular_question(index)
            first.setdefault(self.difficulty_of(question), question)
            index += 1
        return [first[label] for label in range(len(self.difficulties))]

    def outcomes(self, question: Question, state: Dialogue) -> list[tuple[float, Utterance]]:
        """Every utterance possible at ``state`` (its speaker awaited) with its chance; chances sum to 1.

        Token counts are the means: with them expected tokens are exact.
        """
        verdict = next(
            (turn.utterance.verdict for turn in reversed(state.reviews_of_pending()) if turn.utterance), None
        )
        heard = Heard(pending=state.pending is not None, answer=state.answer, verdict=verdict)
        return self.outcomes_after(question, state.role, heard)

    def outcomes_after(self, question: Question, role: Role, heard: "Heard") -> list[tuple[float, Utterance]]:
        """As ``outcomes``, from all that matters of the dialogue."""
        difficulty, right = self.difficulties[self.difficulty_of(question)], heard.answer == question.gold
        if role is Role.REVIEWER:
            return self._reviews(difficulty, right=right)
        accuracy = difficulty.first
        if heard.pending:
            accuracy = {
                None: difficulty.after_none,
                Verdict.RIGHT: difficulty.after_right,
                Verdict.WRONG: difficulty.after_wrong,
            }[heard.verdict][int(right)]
        return self._proposals(difficulty, question.gold, accuracy)

    def _reviews(self, difficulty: Difficulty, *, right: bool) -> list[tuple[float, Utterance]]:
        says_right = difficulty.specificity if right else 1 - difficulty.sensitivity
        readable = 1 - difficulty.unparsed_review
        chances = (
            (readable * says_right, Verdict.RIGHT),
            (readable * (1 - says_right), Verdict.WRONG),
            (difficulty.unparsed_review, None),
        )
        return [
            (
                chance,
                Utterance(
                    text=f"Verdict: {verdict}" if verdict else "No verdict.",
                    verdict=verdict,
                    generated_tokens=self.tokens.review,
                ),
            )
            for chance, verdict in chances
            if chance > 0
        ]

    def _proposals(self, difficulty: Difficulty, gold: str, accuracy: float) -> list[tuple[float, Utterance]]:
        readable = 1 - difficulty.unparsed_proposal
        rest = 1.0 if self.wrong_answers == 1 else difficulty.coincide
        wrong = [rest, *[(1 - rest) / max(self.wrong_answers - 1, 1)] * (self.wrong_answers - 1)]
        chances: list[tuple[float, str | None]] = [
            (readable * accuracy, gold),
            *((readable * (1 - accuracy) * share, wrong_answer(gold, rank)) for rank, share in enumerate(wrong)),
            (difficulty.unparsed_proposal, None),
        ]
        return [
            (
                chance,
                Utterance(
                    text=f"#### {answer}" if answer is not None else "No answer.",
                    answer=answer,
                    generated_tokens=self.tokens.proposal,
                ),
            )
            for chance, answer in chances
            if chance > 0
        ]

    def speak(self, requests: Sequence[SpeakRequest]) -> list[Utterance]:
        """One utterance per request, each a pure function of its request's ``noise_seed``."""
        return [
            self.drawn(self.outcomes(request.episode.question, request.state), request.noise_seed)
            for request in requests
        ]

    def drawn(self, outcomes: Sequence[tuple[float, Utterance]], noise_seed: int) -> Utterance:
        """One of ``outcomes`` and its token count, by the noise of a seed."""
        noise = generator(noise_seed)
        uniform, spread = noise.random(), self.tokens.spread
        total = 0.0
        chosen = outcomes[-1][1]
        for chance, utterance in outcomes:
            total += chance
            if uniform < total:
                chosen = utterance
                break
        return replace(chosen, generated_tokens=chosen.generated_tokens + int(noise.integers(-spread, spread + 1)))


def _with_tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


def wrong_answer(gold: str, rank: int) -> str:
    """The wrong answer of popularity ``rank`` (0 the commonest): an integer beside an integer gold."""
    try:
        return str(int(gold) + rank + 1)
    except ValueError:
        return f"not-{gold}-{rank}"


def tabular_question(index: int) -> Question:
    """Question ``index`` of the endless stream that a tabular speaker answers."""
    return Question(id=f"tabular/{index}", text=f"Question {index}: what is {index} + 0?", gold=str(index))
