"""Commands for people: ``show`` reads recorded dialogues, ``play`` seats a person in a trained team."""

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from tracer_agents.cli.process import Stopped, stoppable
from tracer_agents.cli.shared import PATH, tracer
from tracer_env.errors import ConfigError, TracerError
from tracer_env.names import nearest
from tracer_env.rendering import escape

if TYPE_CHECKING:
    from tracer_agents.rollout.records import DialogueRecord
    from tracer_agents.runs.directory import RunDirectory
    from tracer_agents.showing.shelf import Shelf
    from tracer_agents.team import Team
    from tracer_agents.types import Episode


def _filters() -> str:
    from tracer_agents.showing.shelf import FILTERS

    width = max(map(len, FILTERS))
    return "\b\nFilters:\n" + "\n".join(f"  {name:<{width}}  {meaning}" for name, (meaning, _) in FILTERS.items())


class _Filter(click.ParamType):
    """The name of a filter."""

    name = "filter"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, if there is such a filter; else the nearest is named."""
        from tracer_agents.showing.shelf import FILTERS

        if value not in FILTERS:
            self.fail(
                f"there is no filter {value!r}; there are: {', '.join(FILTERS)}{nearest(value, [*FILTERS])}", param, ctx
            )
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The filters that begin so."""
        from tracer_agents.showing.shelf import FILTERS

        return [CompletionItem(name) for name in FILTERS if name.startswith(incomplete)]


class _ShowCommand(click.Command):
    """A command whose help lists the filters."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The filters, one per row."""
        self.epilog = _filters()
        super().format_epilog(ctx, formatter)


@tracer.command(cls=_ShowCommand, short_help="Read the recorded dialogues of a run.")
@click.argument("run", type=PATH)
@click.argument("question", required=False)
@click.option(
    "--filter", "filters", type=_Filter(), multiple=True, metavar="NAME", help="Only such dialogues; repeatable."
)
@click.option("--method", help="Whose dialogues: team, team@greedy, always_speak, …  [default: team]")
@click.option("--phase", help="before or after training.  [default: after]")
@click.option("--branches", is_flag=True, help="Show what is recorded of both branches of every decision.")
@click.option(
    "--all", "everything", is_flag=True, help="Show every dialogue that the filters keep, one after the other."
)
@click.option("--full", is_flag=True, help="Show long texts to their end.")
def show(
    *,
    run: Path,
    question: str | None,
    filters: tuple[str, ...],
    method: str | None,
    phase: str | None,
    branches: bool,
    everything: bool,
    full: bool,
) -> None:
    """Read a recorded dialogue of RUN: QUESTION is its number or id; without one, choose from a list."""
    from tracer_agents.runs.directory import RunDirectory
    from tracer_agents.showing.shelf import Shelf
    from tracer_agents.showing.views import list_view
    from tracer_env import screen

    directory = RunDirectory(run)
    directory.config()  # says what is wrong with the folder
    shelf = Shelf.of_run(directory, phase=phase, method=method)
    reader = _Reader(directory, shelf, branches=branches, whole=full)
    kept = shelf.kept(filters)
    if question is not None:
        reader.read(shelf.number_of(question))
        return
    if everything:
        for number, _ in kept:
            reader.read(number)
        return
    right = sum(record.correct for _, record in kept)
    title = f"{shelf.name}: {len(kept)} of {len(shelf.records)} dialogues, {right} right"
    screen.display(list_view(title, kept))
    if kept and sys.stdin.isatty() and sys.stdout.isatty():
        _choose(reader, [number for number, _ in kept])


def _choose(reader: "_Reader", numbers: list[int]) -> None:
    """Asks which dialogue to read, again and again, until a reader leaves."""
    current = None
    while True:
        following = next((number for number in numbers if current is None or number > current), None)
        hint = f"Enter for {following}, " if following is not None else ""
        try:
            word = input(f"\nnumber or id ({hint}q to leave): ").strip()
        except (EOFError, KeyboardInterrupt):
            click.echo()
            return
        if word.lower() in ("q", "quit", "exit") or (not word and following is None):
            return
        try:
            current = reader.shelf.number_of(word or str(following))
        except TracerError as error:
            click.echo(escape(str(error)))
            continue
        reader.read(current)


class _Reader:
    """Shows dialogues of a run one at a time."""

    def __init__(self, run: "RunDirectory", shelf: "Shelf", *, branches: bool, whole: bool) -> None:
        from tracer_agents.runs.trees import load_trees
        from tracer_agents.showing.chances import controller_behind

        self.shelf = shelf
        self._config = run.config()
        self._controller = controller_behind(run, shelf.phase, shelf.method)
        self._others = _same_speakers(run, shelf) if branches else None
        of_the_team = branches and (shelf.phase, shelf.method) == ("after", "team")
        self._trees = {tree.question_id: tree for tree in load_trees(run.folder)} if of_the_team else {}
        self._whole = whole

    def read(self, number: int) -> None:
        """Shows a dialogue by its number."""
        from tracer_agents.showing.branches import expanded_dialogue, recorded_branches
        from tracer_agents.showing.chances import rules_of, speak_chances
        from tracer_agents.showing.views import dialogue_view
        from tracer_env import screen

        record = self.shelf.records[number - 1]
        rules, beside = rules_of(self._config.rules, self._controller), None
        if record.question_id in self._trees:  # complete, and of a dialogue with other noise
            tree = self._trees[record.question_id]
            record, beside = expanded_dialogue(tree, rules, seed=self._config.seed)
        elif self._others is not None:
            beside = recorded_branches(record, self._others.get(record.question_id, ()))
        view = dialogue_view(
            record,
            number=number,
            speak=speak_chances(record, rules, self._controller),
            utility=self._config.utility,
            answer_rule=self._config.dialogue.answer_rule,
            branches=beside,
            whole=self._whole,
        )
        screen.display(*view)


def _same_speakers(run: "RunDirectory", shelf: "Shelf") -> "dict[str, list[DialogueRecord]]":
    """The dialogues that the same speakers had in the phase, by question."""
    greedy = shelf.method.endswith("@greedy")
    played: dict[str, list[DialogueRecord]] = {}
    for (phase, method), records in run.records().items():
        if phase == shelf.phase and method.endswith("@greedy") is greedy:
            for record in records:
                played.setdefault(record.question_id, []).append(record)
    return played


@tracer.command(short_help="Take a seat in a trained team.")
@click.argument("run", type=PATH)
@click.argument("question", type=click.IntRange(min=1), default=1)
@click.option(
    "--as",
    "seats",
    multiple=True,
    required=True,
    metavar="SEAT",
    help="controller, proposer or reviewer (of every agent), or an agent's, such as proposer_0; may be given again.",
)
@click.option("--ask", help="A question of your own, in place of a held-out one; goes with --gold.")
@click.option("--gold", help="The right answer to --ask.")
def play(*, run: Path, question: int, seats: tuple[str, ...], ask: str | None, gold: str | None) -> None:
    """Play a dialogue of RUN's team yourself, on held-out question number QUESTION (1 by default).

    What the team would have done is shown after each decision of a controller, and at the end.
    """
    from transformers.utils import logging

    from tracer_agents.showing.person import play_along, seats_of
    from tracer_agents.team import Team
    from tracer_agents.types import Episode
    from tracer_env.tasks.base import Question

    if (ask is None) != (gold is None):
        raise ConfigError("--ask TEXT and --gold ANSWER go together")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    logging.disable_progress_bar()
    with stoppable("playing writes nothing"), Team.load(run) as team:
        taken = seats_of(seats, team.env().possible_agents)
        try:
            while True:
                episode = _held_out(team, question)
                if ask is not None and gold is not None:
                    episode = Episode(question=Question(id="of your own", text=ask, gold=gold), seed=episode.seed)
                play_along(team, episode, taken, input)
                if ask is not None or not sys.stdin.isatty():
                    return
                question += 1
                if input(f"\nEnter for question {question}, q to leave: ").strip():
                    return
        except EOFError as error:
            raise Stopped("no more input; playing writes nothing", 130) from error


def _held_out(team: "Team", number: int) -> "Episode":
    """A held-out question by its number, with the seed that it had in the run's own evaluation.

    Raises:
        ConfigError: the split has fewer questions.
    """
    from tracer_agents.evaluation.play import draw_episodes

    drawn = draw_episodes(team.parts.task, "test", number - 1, 1, seed=team.config.seed, phase="test")
    if not drawn:
        raise ConfigError(f"QUESTION {number}: the held-out split has fewer questions; give a smaller number")
    return drawn[0]
