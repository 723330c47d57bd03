"""Recorded completions as speakers: model output logged elsewhere, read from a JSONL file.

A line holds ``question`` and ``completion`` (strings) and optionally ``model`` (default ``"recorded"``),
``sample`` (an integer ≥ 0; by default the order in the file), ``gold`` and ``generated_tokens``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracer_agents.types import SpeakRequest
from tracer_env.dialogue import Role, Utterance
from tracer_env.errors import DataError
from tracer_env.spaces import MAX_CHARS, count_words, usable_text
from tracer_env.tasks.base import Task

_OPTIONAL = {"model": str, "sample": int, "gold": str, "generated_tokens": int}


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One recorded completion; ``generated_tokens`` is its whitespace words where the file does not count."""

    question: str
    completion: str
    model: str = "recorded"
    sample: int | None = None
    gold: str | None = None
    generated_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class ReplaySpeaker:
    """One model's recorded answers as first proposals: candidate c says sample c of its question.

    Args:
        name: the model's.
        task: reads the answers.
        completions: question text -> its samples, in order.
    """

    name: str
    task: Task
    completions: Mapping[str, Sequence[Completion]] = field(repr=False)

    def speak(self, requests: Sequence[SpeakRequest]) -> list[Utterance]:
        """The recorded completion of each request.

        Raises:
            DataError: a review is asked for, or a sample that was not recorded.
        """
        return [self._say(request) for request in requests]

    def samples_of(self, question: str) -> int:
        """How many samples of a question were recorded."""
        return len(self.completions.get(question, ()))

    def _say(self, request: SpeakRequest) -> Utterance:
        question = request.episode.question.text
        if request.state.role is not Role.PROPOSER or request.state.round > 1:
            raise DataError("recorded completions answer questions; they cannot review or revise")
        samples = self.completions.get(question, ())
        if request.candidate >= len(samples):
            raise DataError(
                f"{self.name}: sample {request.candidate} of {question[:60]!r} was not recorded; add it or --limit"
            )
        said = samples[request.candidate]
        tokens = said.generated_tokens if said.generated_tokens is not None else count_words(said.completion)
        text = usable_text(said.completion, MAX_CHARS)
        return Utterance(text=text, answer=self.task.parse(text), generated_tokens=tokens)


def load_replay(path: Path, task: Task) -> dict[str, ReplaySpeaker]:
    """The speakers of a file of recorded completions, by model name.

    Raises:
        DataError: the file cannot be read, or a line lacks a field, has one of the wrong type, or repeats a sample.
    """
    by_model: dict[str, dict[str, dict[int, Completion]]] = {}
    for number, row in _rows(path):
        questions = by_model.setdefault(row.model, {})
        samples = questions.setdefault(row.question, {})
        place = len(samples) if row.sample is None else row.sample
        if place in samples:
            raise DataError(f"{path}:{number}: sample {place} of {row.model!r} for this question is there already")
        samples[place] = row
    if not by_model:
        raise DataError(f"{path}: no completions in it; a line needs 'question' and 'completion'")
    return {
        name: ReplaySpeaker(
            name=name,
            task=task,
            completions={question: [samples[i] for i in sorted(samples)] for question, samples in questions.items()},
        )
        for name, questions in by_model.items()
    }


def _rows(path: Path) -> Iterator[tuple[int, Completion]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _completion(path, number, line)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text: {error}") from error


def _completion(path: Path, number: int, line: str) -> Completion:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}:{number}: not a JSON object: {error}") from error
    if not isinstance(row, dict):
        raise DataError(f"{path}:{number}: not a JSON object but {type(row).__name__}")
    for name in ("question", "completion"):
        if not isinstance(row.get(name), str):
            raise DataError(f"{path}:{number}: field {name!r} must be a string, got {row.get(name)!r:.60}")
    given = {name: row[name] for name in _OPTIONAL if row.get(name) is not None}
    for name, value in given.items():
        kind = _OPTIONAL[name]
        if isinstance(value, bool) or not isinstance(value, kind) or not _usable(value):
            wanted = "a string without NUL or lone surrogates" if kind is str else "an integer ≥ 0"
            raise DataError(f"{path}:{number}: field {name!r} must be {wanted}, got {value!r:.60}")
    return Completion(question=row["question"], completion=row["completion"], **given)


def _usable(value: str | int) -> bool:
    return usable_text(value, len(value)) == value if isinstance(value, str) else value >= 0
