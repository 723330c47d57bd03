"""Which recorded dialogues there are to read, and which of them a filter keeps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tracer_agents.errors import RunError
from tracer_agents.rollout.records import DialogueRecord, Kind, Outcome, TurnRecord
from tracer_agents.runs.directory import RunDirectory
from tracer_env.dialogue import FinishReason, Mode, Role
from tracer_env.errors import ConfigError
from tracer_env.names import nearest

Predicate = Callable[[DialogueRecord], bool]
FILTERS: Mapping[str, tuple[str, Predicate]] = {  # name -> what it keeps, and the test
    "right": ("the final answer is right", lambda record: record.correct),
    "wrong": ("the final answer is wrong", lambda record: not record.correct),
    "wrong-to-right": ("a wrong first proposal, a right answer", lambda record: _turned(record, to=True)),
    "right-to-wrong": ("a right first proposal, a wrong answer", lambda record: _turned(record, to=False)),
    "reviewer-wrong": ("some verdict is false", lambda record: _reviewed(record, right=False)),
    "reviewer-right": ("some verdict is true", lambda record: _reviewed(record, right=True)),
    "revised": ("more than one proposal", lambda record: _spoken(record, Role.PROPOSER) > 1),
    "silent": ("nobody spoke who was free not to", lambda record: not any(_free(turn) for turn in record.turns)),
    "disagreed": ("different answers were proposed", lambda record: len(_answers(record)) > 1),
    "truncated": ("the token limit cut some utterance", lambda record: _ended(record, FinishReason.LENGTH)),
    "unread": ("no final answer could be read", lambda record: record.answer is None),
    "ungradable": ("the grader gave up on the answer", lambda record: record.grade is Outcome.UNGRADABLE),
    "failed": ("an engine did not deliver an utterance", lambda record: record.grade is Outcome.FAILED),
}  # fmt: skip


def _turned(record: DialogueRecord, *, to: bool) -> bool:
    return record.kind is Kind.DIALOGUE and record.first_correct is not to and record.correct is to


def _reviewed(record: DialogueRecord, *, right: bool) -> bool:
    return any(turn.role is Role.REVIEWER and turn.right is right for turn in record.turns)


def _spoken(record: DialogueRecord, role: Role) -> int:
    return sum(turn.role is role and turn.mode is Mode.SPEAK for turn in record.turns)


def _free(turn: TurnRecord) -> bool:
    return turn.mode is Mode.SPEAK and not turn.forced


def _answers(record: DialogueRecord) -> set[str]:
    return {turn.answer for turn in record.turns if turn.answer is not None}


def _ended(record: DialogueRecord, reason: FinishReason) -> bool:
    return any(turn.finish_reason is reason for turn in record.turns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The dialogues of one method in one phase, numbered from 1 in the order of their questions."""

    phase: str
    method: str
    records: Sequence[DialogueRecord]

    @classmethod
    def of_run(cls, run: RunDirectory, *, phase: str | None = None, method: str | None = None) -> "Shelf":
        """What a run has recorded; by default the team after training, else what was recorded first.

        Raises:
            RunError: nothing is recorded, or a row is damaged.
            ConfigError: nothing is recorded under these names.
        """
        recorded = run.records()
        if not recorded:
            raise RunError(f"{run.folder}: no dialogue is recorded yet; they are once the run has measured a team")
        methods = list(dict.fromkeys(name for _, name in recorded))
        phases = list(dict.fromkeys(name for name, _ in recorded))
        for name, given, known in (("--method", method, methods), ("--phase", phase, phases)):
            if given is not None and given not in known:
                raise ConfigError(
                    f"{name}: {given!r} is not recorded; there are: {', '.join(known)}{nearest(given, known)}"
                )
        matching = [key for key in recorded if phase in (None, key[0]) and method in (None, key[1])]
        if not matching:
            there = ", ".join(f"{name} {when} training" for when, name in recorded)
            raise ConfigError(f"{method!r} is not recorded in the phase {phase!r}; there are: {there}")
        chosen = next((key for key in reversed(matching) if key[1] == (method or "team")), matching[0])
        return cls(phase=chosen[0], method=chosen[1], records=recorded[chosen])

    @property
    def name(self) -> str:
        """The method and its phase."""
        return f"{self.method} ({self.phase})"

    def kept(self, names: Sequence[str]) -> list[tuple[int, DialogueRecord]]:
        """The numbered dialogues that pass every named filter."""
        tests = [FILTERS[name][1] for name in names]
        return [
            (number, record) for number, record in enumerate(self.records, 1) if all(test(record) for test in tests)
        ]

    def number_of(self, question: str) -> int:
        """The number of the dialogue that a reader asks for by number, by question id or by a part of one.

        Raises:
            ConfigError: it names no dialogue, or several.
        """
        ids = [record.question_id for record in self.records]
        if question in ids:
            return ids.index(question) + 1
        if question.isdecimal() and 1 <= int(question) <= len(ids):
            return int(question)
        numbers = [number for number, each in enumerate(ids, 1) if question and question in each]
        if len(numbers) == 1:
            return numbers[0]
        if numbers:
            raise ConfigError(
                f"{question!r} is part of the ids of {len(numbers)} questions; give a whole id, or a number from 1 to "
                f"{len(ids)}"
            )
        raise ConfigError(
            f"there is no question {question!r}; give a number from 1 to {len(ids)}, or a question's id"
            f"{nearest(question, ids)}"
        )
