"""What a method of the benchmark is."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from benchmarks.suite.bench import Bench, Recipe
from benchmarks.suite.draws import Family
from benchmarks.suite.plan import Plan
from benchmarks.suite.point import Point
from tracer_agents.rollout.records import DialogueRecord
from tracer_agents.speakers.prompts import Prompts
from tracer_agents.speakers.templates import Messages
from tracer_agents.types import Episode
from tracer_env.tasks.base import Split

PHASE = "benchmark"  # the phase of every record
Points = Mapping[Point, Sequence[DialogueRecord]]  # the records of every point, in the questions' order
Answer = Callable[[Sequence[Episode]], Points]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A method ready to answer the questions of one cell.

    Args:
        points: what is recorded for every question.
        answer: questions -> the records of every point, in the questions' order, each with its point's label as
            ``method``. A question's records depend on nothing but the question.
        training_tokens: generated to train or fit the method.
        training_questions: distinct questions that it was trained or fitted on.
        resources: what ``answer`` needs open, closed after the last question.
    """

    points: tuple[Point, ...]
    answer: Answer
    training_tokens: int = 0
    training_questions: int = 0
    resources: AbstractContextManager[object] = field(default_factory=nullcontext)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Utterances per question that a method generates at most in a cell, beyond recordings and training.

    Args:
        proposals: fresh ones.
        reviews: of one solution each.
        revisions: proposals that see a solution and its review, or the other agents' solutions.
    """

    proposals: float = 0.0
    reviews: float = 0.0
    revisions: float = 0.0


def _as_recorded(records: Sequence[DialogueRecord]) -> dict[Point, list[DialogueRecord]]:
    points: dict[Point, list[DialogueRecord]] = {}
    for record in records:
        points.setdefault(Point.of(record.method), []).append(record)
    return points


def _nothing(plan: Plan) -> Cost:
    return Cost()


def _no_setting(plan: Plan) -> str:
    return ""


def _no_further_prompts(prompts: Prompts) -> dict[str, Messages]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row of the table.

    Args:
        name: in commands, files and labels.
        title: in tables.
        reference: the paper it is from, or what it is.
        prepare: makes it ready for a cell; recipes and recordings that it names are there already.
        cost: what answering generates, for ``--dry-run``; by default nothing, as of methods played on recordings.
        recipes: speakers to be trained before.
        recordings: (split, recipe or None for the initial speakers) to be made before.
        pools: splits whose pools are to be drawn before.
        several_models: it makes sense only in teams of several models.
        setting: of the point that stands in the main table; by default the method has no settings.
        points: records -> its points; by default those that were recorded.
        prompts: prompts of the speakers -> its own by name, where it has others than the dialogue's.
        bound: it sees the gold answer: what could be reached, not a method.
        family: the stopping rules that it chooses among; None: it is no stopping rule.
    """

    name: str
    title: str
    reference: str
    prepare: Callable[[Bench], Prepared]
    cost: Callable[[Plan], Cost] = _nothing
    recipes: tuple[Recipe, ...] = ()
    recordings: tuple[tuple[Split, Recipe | None], ...] = ()
    pools: tuple[Split, ...] = ()
    several_models: bool = False
    setting: Callable[[Plan], str] = _no_setting
    points: Callable[[Sequence[DialogueRecord]], Points] = _as_recorded
    prompts: Callable[[Prompts], Mapping[str, Messages]] = _no_further_prompts
    bound: bool = False
    family: Family | None = None

    def headline(self, plan: Plan) -> Point:
        """The point that stands in the main table."""
        return Point(method=self.name, setting=self.setting(plan))
