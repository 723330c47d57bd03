"""Dialogues in which a person takes seats of a trained team, and what the team would have done in them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tracer_agents.team import Team
from tracer_agents.types import Episode
from tracer_env.dialogue import Dialogue, Mode, Role, Turn, Verdict
from tracer_env.errors import ConfigError
from tracer_env.grading.verdict import parse_verdict
from tracer_env.names import nearest
from tracer_env.screen import answer_line, aside, bounded, display, question_panel, shown_turn, turn_block
from tracer_env.seeding import control_uniform
from tracer_env.tasks.base import Grade, Task

Ask = Callable[[str], str]  # shows a prompt and returns what was typed; raises EOFError where there is no more
_PARTS = ("controller", "proposer", "reviewer")
_YES, _NO = {"y", "yes", "speak", "1"}, {"n", "no", "skip", "silent", "0"}
_SHORT = {"r": Verdict.RIGHT, "right": Verdict.RIGHT, "w": Verdict.WRONG, "wrong": Verdict.WRONG}


def seats_of(names: Sequence[str], agents: Sequence[str]) -> frozenset[str]:
    """The seats that ``--as`` names: each all of a part (``proposer``) or a single one (``proposer_0``).

    Raises:
        ConfigError: another name.
    """
    known = [*_PARTS, *agents]
    for name in names:
        if name not in known:
            raise ConfigError(f"--as: there is no seat {name!r}; there are: {', '.join(known)}{nearest(name, known)}")
    return frozenset(agent for agent in agents if agent in names or agent.rpartition("_")[0] in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a person spoke: what the speaker was shown."""

    round: int
    role: Role
    observation: Mapping[str, Any]
    info: Mapping[str, Any]


def play_along(team: Team, episode: Episode, seats: Collection[str], ask: Ask) -> None:
    """Plays one dialogue in which a person acts for ``seats``, and shows what the team alone would have done.

    Raises:
        EOFError: there is no more input.
    """
    env, places, chance = _begun(team, episode), [], None
    display(question_panel(episode.question.text, f"question {episode.question.id}"))
    for agent in env.agent_iter():
        observation, _, terminated, truncated, info = env.last()
        if terminated or truncated:
            env.step(None)
            continue
        if "action_mask" in observation:
            chance = None if agent in seats else team.controller.probability_of_key(info["infoset"])
        if agent not in seats:
            env.step(team.act(observation, info))
        elif "action_mask" in observation:
            env.step(_decide(team, observation, info, ask))
        else:
            places.append(_Place(round=info["round"], role=Role(info["role"]), observation=observation, info=info))
            env.step(_speak(team.parts.task, info, ask))
        if not env.unwrapped.dialogue.speaking:
            display(turn_block(replace(shown_turn(env.unwrapped.dialogue.turns[-1]), speak=chance)))
    with_person: Dialogue = env.unwrapped.dialogue
    alone = _played_alone(team, episode)
    display(Text(), *_comparison(team, episode, with_person, alone, seats))
    for place in places:
        display(*_in_your_place(team, place))


def _begun(team: Team, episode: Episode) -> Any:
    """The environment, at the beginning of the episode."""
    env = team.env()
    env.reset(seed=episode.seed, options={"question": episode.question.text, "gold": episode.question.gold})
    return env


def _played_alone(team: Team, episode: Episode) -> Dialogue:
    env = _begun(team, episode)
    for _ in env.agent_iter():
        observation, _, terminated, truncated, info = env.last()
        env.step(None if terminated or truncated else team.act(observation, info))
    return env.unwrapped.dialogue


def _decide(team: Team, observation: Mapping[str, Any], info: Mapping[str, Any], ask: Ask) -> int:
    """A person's choice between SPEAK and SKIP, and then what the team would have chosen."""
    who = f"{info['role']} {info['agent']}"
    if not observation["action_mask"][Mode.SKIP]:
        display(Text(f"round {info['round']}: {who} must speak", style="dim"))
        return int(Mode.SPEAK)
    while (word := ask(f"round {info['round']}: shall {who} speak? [y/n] ").strip().lower()) not in _YES | _NO:
        display(Text("y for speaking, n for staying silent", style="yellow"))
    chance = team.controller.probability_of_key(info["infoset"])
    speaks = control_uniform(info["seed"], info["prefix"]) < chance
    would = "have spoken" if speaks else "have stayed silent"
    display(Text(f"the team speaks here with probability {chance:.2f}; it would {would}", style="dim"))
    return int(Mode.SPEAK if word in _YES else Mode.SKIP)


def _speak(task: Task, info: Mapping[str, Any], ask: Ask) -> str:
    """A person's utterance, asked for until an answer or a verdict can be read from it."""
    proposing = info["role"] == Role.PROPOSER
    what = "proposal" if proposing else "review"
    hint = "with the answer, such as #### 42" if proposing else "with Verdict: RIGHT or Verdict: WRONG, or just r or w"
    while True:
        display(Text(f"round {info['round']}: your {what} as {info['role']} {info['agent']}, {hint};", style="bold"))
        display(Text("an empty line ends it", style="dim"))
        text = _typed(ask)
        if not proposing and text.lower() in _SHORT:
            text = f"Verdict: {_SHORT[text.lower()]}"
        if (task.parse(text) if proposing else parse_verdict(text)) is not None:
            return text
        missing = "no answer can be read from that; put it last, as #### 42" if proposing else "no verdict can be read"
        display(Text(f"{missing}; try again", style="yellow"))


def _typed(ask: Ask) -> str:
    """What is typed until the first empty line after some text."""
    rows: list[str] = []
    while row := ask("> ").rstrip():
        rows.append(row)
    return "\n".join(rows).strip()


def _comparison(
    team: Team, episode: Episode, with_person: Dialogue, alone: Dialogue, seats: Collection[str]
) -> Sequence[RenderableType]:
    """Both dialogues, round by round, and what they were worth."""
    answers = list(dict.fromkeys(answer for state in (with_person, alone) for answer in state.proposed() if answer))
    grades = team.parts.task.grade(answers, [episode.question.gold] * len(answers))
    right = {answer: grade is Grade.RIGHT for answer, grade in zip(answers, grades, strict=True)}
    table = Table(box=None, header_style="bold dim", padding=(0, 2, 0, 0))
    for heading in ("round", "", "with you", "the team alone"):
        table.add_column(heading, justify="right" if heading == "round" else "left")
    for mine, theirs in zip(with_person.turns, alone.turns, strict=True):
        label = f"{mine.role} {mine.agent}"
        yours = {f"controller_{mine.agent}", f"{mine.role}_{mine.agent}"} & set(seats)
        name = Text(label, style="bold" if yours else "")
        table.add_row(str(mine.round), name, _cell(with_person, mine, right), _cell(alone, theirs, right))
    sums = [
        answer_line(each.team_answer, right=right.get(each.team_answer or "", False), details=_worth(team, each, right))
        for each in (with_person, alone)
    ]
    labels = (Text("with you", style="bold cyan"), Text("the team alone", style="bold cyan"))
    gold = Text(f"the right answer: {bounded(episode.question.gold, 200)}", style="bold")
    return table, Text(), gold, labels[0], sums[0], labels[1], sums[1]


def _cell(state: Dialogue, turn: Turn, right: Mapping[str, bool]) -> Text:
    """What happened in a round of a dialogue, in few words."""
    if turn.utterance is None:
        return Text("silent", style="dim")
    if turn.role is Role.PROPOSER:
        answer = turn.utterance.answer
        true = answer is not None and right[answer]
        return Text(f"answer {bounded(answer or 'none', 40)}", style="green" if true else "red")
    pending = next(
        each for each in reversed(state.turns[: turn.round]) if each.role is Role.PROPOSER and each.utterance
    )
    answer = pending.utterance.answer if pending.utterance else None
    verdict = turn.utterance.verdict
    true = (verdict is Verdict.RIGHT) is (answer is not None and right[answer])
    return Text(f"verdict {verdict or 'none'}", style="green" if verdict and true else "red")


def _worth(team: Team, state: Dialogue, right: Mapping[str, bool]) -> str:
    utility = team.config.utility
    value = float(utility(right.get(state.team_answer or "", False), utility.prices.dialogue(state)))
    return f"{state.generated_tokens} tokens, utility {value:+.3f}"


def _in_your_place(team: Team, place: _Place) -> Sequence[RenderableType]:
    """What the team's speaker says to what the person was shown."""
    said_there = team.act(place.observation, place.info)
    heading = Text(f"in round {place.round}, in your place, the team's {place.role} would have said:", style="bold")
    return heading, aside(Text(bounded(str(said_there))))
