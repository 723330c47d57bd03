"""A task over a finite set of questions, with splits that never leak into each other."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tracer_env.errors import ConfigError, DataError, LeakageError
from tracer_env.grading.base import Grader
from tracer_env.seeding import epoch_order
from tracer_env.tasks.base import SPLITS, Grade, Question, Split
from tracer_env.tasks.rows import QuestionSet

EVALUATION_SET = "it is an evaluation set; train on another task, such as gsm8k"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How much of the training questions is held away: chosen by question hash, so for good.

    A question's hash places it in [0, 1). Below ``test`` lies the test slice (used when no test set is given,
    trained on otherwise), in the next ``validation`` the validation slice, never trained on.

    Raises:
        ConfigError: a share outside [0, 1), or nothing left to train on.
    """

    validation: float = 0.05
    test: float = 0.10

    def __post_init__(self) -> None:
        if not (self.validation >= 0 and self.test >= 0 and self.validation + self.test < 1):
            raise ConfigError(
                "validation_share and test_share must be ≥ 0 and sum to less than 1, "
                f"got {self.validation!r} and {self.test!r}"
            )

    def split_of(self, question: Question, *, test_given: bool) -> Split:
        """The split a training question belongs to; its ``id`` ends with its hash."""
        place = int(question.id.rpartition("/")[2], 16) / 2**64
        if place < self.test:
            return "train" if test_given else "test"
        return "validation" if place < self.test + self.validation else "train"


@dataclass(frozen=True, kw_only=True)
class FiniteTask:
    """A ``Task`` over questions held in memory.

    Args:
        name: the task's name.
        grader: reads and grades answers.
        splits: the questions of each split; a missing split cannot be drawn.
        dropped: rows left out because their gold answer cannot be read.
        duplicates: rows left out because their question occurs earlier in the same source.
        why_not_trainable: completes the error when a split is missing.
    """

    name: str
    grader: Grader
    splits: dict[Split, tuple[Question, ...]] = field(repr=False)
    dropped: int = 0
    duplicates: int = 0
    why_not_trainable: str = EVALUATION_SET

    @property
    def trainable(self) -> bool:
        """Whether there are questions to train on."""
        return "train" in self.splits

    @property
    def answer_format(self) -> str:
        """How a completion must end, told to chat models."""
        return self.grader.answer_format

    def size(self, split: Split) -> int:
        """The number of distinct questions in a split."""
        return len(self.splits.get(split, ()))

    def draw(self, split: Split, start: int, count: int, *, seed: int) -> list[Question]:
        """Questions ``start … start+count−1``: a pure function of the arguments.

        ``train`` is endless: epoch after epoch, each a permutation of its own by ``seed``. ``validation`` and
        ``test`` come in the order of their source, whatever the seed, and end with it.

        Raises:
            LeakageError: ``train`` or ``validation`` of an evaluation-only task.
            ConfigError: an unknown split, or a negative start or count.
        """
        if split not in SPLITS:
            raise ConfigError(f"split must be one of {SPLITS}, got {split!r}")
        if start < 0 or count < 0:
            raise ConfigError(f"start and count must be ≥ 0, got {start} and {count}")
        if split not in self.splits:
            raise LeakageError(f"task {self.name!r} has no {split!r} questions: {self.why_not_trainable}")
        questions = self.splits[split]
        if split != "train":
            return list(questions[start : start + count])
        drawn: list[Question] = []
        while len(drawn) < count:
            epoch, offset = divmod(start + len(drawn), len(questions))
            order = epoch_order(seed, self.name, epoch, len(questions))
            drawn += [questions[int(i)] for i in order[offset : offset + count - len(drawn)]]
        return drawn

    def parse(self, completion: str) -> str | None:
        """The canonical answer in a completion, or None (``Grader.parse``)."""
        return self.grader.parse(completion)

    def grade(self, answers: Sequence[str | None], golds: Sequence[str]) -> list[Grade]:
        """Grades canonical answers against canonical golds (``Grader.grade``)."""
        return self.grader.grade(answers, golds)


def trainable_task(
    name: str, grader: Grader, training: QuestionSet, test: QuestionSet | None, shares: Shares
) -> FiniteTask:
    """A task that trains on ``training``, less a validation slice and, without a ``test`` set, a test slice.

    Raises:
        LeakageError: a question is in both sets. An overlap is most often the same file given twice, and
            dropping the common questions in silence would change the training set or the benchmark.
        DataError: a split that is held away or trained on comes out empty.
    """
    splits: dict[Split, tuple[Question, ...]] = {
        split: tuple(q for q in training.questions if shares.split_of(q, test_given=test is not None) == split)
        for split in SPLITS
    }
    if test is not None:
        _check_overlap(training, test)
        splits["test"] = test.questions
    wanted = {"train": 1.0, "validation": shares.validation, "test": shares.test}
    for split in SPLITS:
        if wanted[split] and not splits[split]:
            raise DataError(
                f"{training.source}: {len(training.questions)} questions are too few, the {split} split is empty; "
                "give more, or change validation_share and test_share"
            )
    sets = [training, test] if test else [training]
    return FiniteTask(
        name=name,
        grader=grader,
        splits=splits,
        dropped=sum(s.dropped for s in sets),
        duplicates=sum(s.duplicates for s in sets),
    )


def evaluation_task(name: str, grader: Grader, test: QuestionSet, *, why: str = EVALUATION_SET) -> FiniteTask:
    """A task with a test split only; ``why`` tells whoever asks for another split."""
    return FiniteTask(
        name=name,
        grader=grader,
        splits={"test": test.questions},
        dropped=test.dropped,
        duplicates=test.duplicates,
        why_not_trainable=why,
    )


def _check_overlap(training: QuestionSet, test: QuestionSet) -> None:
    tested = {question.id for question in test.questions}
    common = [question for question in training.questions if question.id in tested]
    if common:
        raise LeakageError(
            f"{len(common)} questions are both in {training.source} (to train on) and in {test.source} (to test on), "
            f"the first being {common[0].text[:80]!r}; remove them from the training data"
        )
