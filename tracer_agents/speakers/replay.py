"""Recorded completions as speakers: model output logged elsewhere, read from a JSONL file.

A line holds ``question`` and ``completion`` (strings) and optionally ``model`` (default ``"recorded"``), ``sample``
(an integer ≥ 0; by default the lowest number that is free, in the order of the file), ``choices`` (the texts behind
the letters, in the order in which that model saw them) and ``generated_tokens``. Other fields are ignored.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tracer_agents.types import SpeakRequest
from tracer_env.dialogue import Role, Utterance
from tracer_env.errors import DataError
from tracer_env.spaces import MAX_CHARS, count_words, usable_text
from tracer_env.tasks.base import Question, Task
from tracer_env.tasks.rows import Row, jsonl_rows, question_hash

_LETTER = re.compile(r"^\(([A-Z])\) ", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One recorded completion; ``generated_tokens`` is its whitespace words where the file does not count."""

    question: str
    completion: str
    where: str = "a recorded completion"  # its file and line, for messages
    model: str = "recorded"
    sample: int | None = None
    choices: tuple[str, ...] | None = None
    generated_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class ReplaySpeaker:
    """One model's recorded answers as first proposals: candidate c says sample c of its question.

    Args:
        name: the model's.
        task: reads the answers.
        completions: hash of the question's text (``rows.question_hash``) -> its samples, in order.
    """

    name: str
    task: Task
    completions: Mapping[str, Sequence[Completion]] = field(repr=False)

    def speak(self, requests: Sequence[SpeakRequest]) -> list[Utterance]:
        """The recorded completion of each request.

        Raises:
            DataError: a review is asked for, or a sample that was not recorded, or choices that are not the question's.
        """
        return [self._say(request) for request in requests]

    def samples_of(self, question: Question) -> Sequence[Completion]:
        """The samples of a question, whatever its spacing and case.

        A question that shows lettered choices is also known by its text without them, where the samples name the
        choices that their letters stand for.
        """
        if samples := self.completions.get(question_hash(question.text)):
            return samples
        samples = self.completions.get(question_hash(_stem(question.text)), ())
        return samples if all(sample.choices for sample in samples) else ()

    def unmatched(self, questions: Sequence[Question]) -> int:
        """How many recorded questions are none of these."""
        matched = [samples for question in questions if (samples := self.samples_of(question))]
        return len(self.completions) - len({id(samples) for samples in matched})

    def _say(self, request: SpeakRequest) -> Utterance:
        question = request.episode.question
        if request.state.role is not Role.PROPOSER or request.state.round > 1:
            raise DataError("recorded completions answer questions; they cannot review or revise")
        samples = self.samples_of(question)
        if request.candidate >= len(samples):
            raise DataError(
                f"{self.name}: sample {request.candidate} of {question.text[:60]!r} was not recorded; add it or --limit"
            )
        sample = samples[request.candidate]
        tokens = sample.generated_tokens if sample.generated_tokens is not None else count_words(sample.completion)
        text = usable_text(sample.completion, max(MAX_CHARS, len(sample.completion)))
        answer = _relettered(self.task.parse(text), sample, question)
        return Utterance(text=usable_text(text, MAX_CHARS), answer=answer, generated_tokens=tokens)


def _stem(text: str) -> str:
    """A question without the lettered choices at its end."""
    first = _LETTER.search(text)
    return text[: first.start()] if first else text


def _relettered(answer: str | None, sample: Completion, question: Question) -> str | None:
    """The letter that stands in ``question`` for the choice that ``answer`` names among the sample's choices."""
    if answer is None or not sample.choices or question_hash(sample.question) == question_hash(question.text):
        return answer  # the letters are the question's own
    place = ord(answer) - ord("A") if len(answer) == 1 else -1
    if not 0 <= place < len(sample.choices):
        return None
    _, *parts = _LETTER.split(question.text)
    letters = {question_hash(choice): letter for letter, choice in zip(parts[::2], parts[1::2], strict=True)}
    letter = letters.get(question_hash(sample.choices[place]))
    if letter is None:
        raise DataError(
            f"{sample.where}: choice {answer} ({sample.choices[place]!r:.60}) is none of the question's; "
            "give the field 'choices' as the data set has them"
        )
    return letter


def load_replay(path: Path, task: Task) -> dict[str, ReplaySpeaker]:
    """The speakers of a file of recorded completions, by model name.

    Raises:
        DataError: the file cannot be read, or a line lacks a field, has one of the wrong type, or repeats a sample.
    """
    by_model: dict[str, dict[str, list[Completion]]] = {}
    for row in jsonl_rows(path):
        completion = _completion(row)
        questions = by_model.setdefault(completion.model, {})
        questions.setdefault(question_hash(completion.question), []).append(completion)
    if not by_model:
        raise DataError(f"{path}: no completions in it; a line needs 'question' and 'completion'")
    return {
        name: ReplaySpeaker(
            name=name, task=task, completions={key: _in_order(samples) for key, samples in questions.items()}
        )
        for name, questions in by_model.items()
    }


def _in_order(samples: Sequence[Completion]) -> list[Completion]:
    """The samples by number; those without take the free numbers, in the order of the file."""
    numbered: dict[int, Completion] = {}
    for sample in samples:
        if sample.sample is None:
            continue
        if sample.sample in numbered:
            raise DataError(
                f"{sample.where}: sample {sample.sample} of {sample.model!r} for this question is there already"
            )
        numbered[sample.sample] = sample
    free = (number for number in range(len(samples) + len(numbered)) if number not in numbered)
    numbered |= dict(zip(free, [sample for sample in samples if sample.sample is None], strict=False))
    return [numbered[number] for number in sorted(numbered)]


def _completion(row: Row) -> Completion:
    for name in ("question", "completion"):
        if not isinstance(row.fields.get(name), str):
            raise DataError(f"{row.where}: field {name!r} must be a string, got {row.fields.get(name)!r:.60}")
    return Completion(
        where=row.where,
        question=row.fields["question"],
        completion=row.fields["completion"],
        model=_name(row) or "recorded",
        sample=_count(row, "sample"),
        choices=_choices(row),
        generated_tokens=_count(row, "generated_tokens"),
    )


def _name(row: Row) -> str | None:
    name = row.fields.get("model")
    if name is not None and (not isinstance(name, str) or usable_text(name, len(name)) != name):
        wanted = "a string without NUL or lone surrogates"
        raise DataError(f"{row.where}: field 'model' must be {wanted}, got {name!r:.60}")
    return name


def _count(row: Row, name: str) -> int | None:
    count = row.fields.get(name)
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
        raise DataError(f"{row.where}: field {name!r} must be an integer ≥ 0, got {count!r:.60}")
    return count


def _choices(row: Row) -> tuple[str, ...] | None:
    choices = row.fields.get("choices")
    if choices is None:
        return None
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices) or not choices:
        raise DataError(f"{row.where}: field 'choices' must be a list of strings, got {choices!r:.60}")
    return tuple(choices)
