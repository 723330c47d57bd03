"""The choices that are ablated: for each a few rows, every one of which changes one thing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from benchmarks.ablations import streams
from benchmarks.ablations.replay import Outcome, Replay, Setting
from benchmarks.regret.common import weighting_of
from benchmarks.suite.plan import Plan
from tracer_agents.controllers.fixed import RandomSpeech, fixed_controllers
from tracer_agents.controllers.regret import MINIMISERS
from tracer_agents.controllers.tabular import PLAYS
from tracer_agents.game.values import WEIGHTINGS
from tracer_agents.types import Controller
from tracer_env.dialogue import SCHEDULES
from tracer_env.infosets import INFOSETS

Measure = Callable[[Replay], Outcome]
LEARNED = "learned"
PRICES = (0.0, 0.03, 0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 8.0)
ITERATIONS = (1, 3, 10, 30, 100, 500, 2000)
AGENTS = (1, 2, 3)
SHARES = (16, 4)  # of the training questions
SPEECH = (0.25, 0.75)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One choice.

    Args:
        title: its heading.
        about: what the rows are, in words.
        default: the label of the row that the others are compared with.
        rows: label -> how the row's outcome on a replay is found.
    """

    title: str
    about: str
    default: str
    rows: Mapping[str, Measure]


def sections(plan: Plan) -> dict[str, Section]:
    """Every choice that recordings of the plan's rules can show, by name."""
    default = Setting.of(plan)
    return {
        "fixed": _fixed(default),
        "infosets": _infosets(default),
        "minimisers": _minimisers(default),
        "expansion": _expansion(default, plan.fit_questions),
        "weighting": _weighting(default),
        "play": _play(default),
        "turns": _turns(default),
        "iterations": _iterations(default),
        "questions": _questions(default, plan.fit_questions),
        "seats": _seats(default),
        "rounds": _rounds(default),
        "price": _price(default),
    }


def _infosets(default: Setting) -> Section:
    return _changes(
        default,
        "What controllers know",
        "The information structure, each with its own default weighting of regrets.",
        {infoset: {"infoset": infoset, "weighting": weighting_of(infoset)} for infoset in INFOSETS},
    )


def _minimisers(default: Setting) -> Section:
    return _changes(
        default,
        "Regret minimisers",
        "The rule that turns regrets into strategies.",
        {name: {"minimiser": name} for name in MINIMISERS},
    )


def _weighting(default: Setting) -> Section:
    return _changes(
        default,
        "Weighting of regrets",
        "Whether a player's own reach weighs its regrets (gradient) or is left out (counterfactual).",
        {
            f"{infoset}, {weighting}": {"infoset": infoset, "weighting": weighting}
            for infoset in INFOSETS
            for weighting in WEIGHTINGS
        },
    )


def _play(default: Setting) -> Section:
    return _changes(
        default,
        "Strategy at play",
        "Which of a minimiser's strategies is deployed; validated takes the best of the three on validation questions.",
        {
            f"{name}, {play}": {"minimiser": name, "play": play}
            for name in _three(default)
            for play in (*PLAYS, "validated")
        },
    )


def _turns(default: Setting) -> Section:
    return _changes(
        default,
        "Alternating and simultaneous updates",
        "Whether a player sees the others' newest strategies.",
        {
            f"{name}, {turns}": {"minimiser": name, "turns": turns}
            for name in _three(default)
            for turns in ("alternating", "simultaneous")
        },
    )


def _three(default: Setting) -> tuple[str, str, str]:
    """The minimisers on which further choices are tried."""
    return default.minimiser, "RegretMatching", "Hedge"


def _iterations(default: Setting) -> Section:
    return _changes(
        default,
        "Iterations",
        "Rounds of regret minimisation.",
        {f"{count}": {"iterations": count} for count in ITERATIONS},
    )


def _questions(default: Setting, recorded: int) -> Section:
    return _changes(
        default,
        "Training questions",
        "Questions to fit on; of fewer than there are, as many disjoint sets as there are, and their mean.",
        {f"{count}": {"questions": count} for count in (recorded // share for share in SHARES) if count}
        | {f"{recorded}": {}},
    )


def _seats(default: Setting) -> Section:
    return _changes(
        default,
        "Number of agents and schedule",
        "Who decides when. Speakers share one policy and their prompts do not depend on who is active, so what "
        "changes is which rounds are one controller's.",
        {
            f"{agents} agent{'s' * (agents > 1)}, {schedule}": {
                "rules": replace(default.rules, n_agents=agents, schedule=schedule)
            }
            for agents in AGENTS
            for schedule in SCHEDULES
        },
    )


def _price(default: Setting) -> Section:
    return _changes(
        default,
        "Price of speech",
        f"The price that controllers are fitted at; utility is at {default.price:g} in every row.",
        {f"{price:g}": {"price": price} for price in PRICES},
    )


def _rounds(default: Setting) -> Section:
    return _changes(
        default,
        "Rounds",
        "The length of a dialogue. The price of a token is the same in every row.",
        {
            f"{count}": {"rules": replace(default.rules, rounds=count)}
            for count in range(1, default.rules.rounds + 1, 2)
        },
    )


def _changes(default: Setting, title: str, about: str, changes: Mapping[str, Mapping[str, Any]]) -> Section:
    """A row for every change; what changes nothing is the default's row, which is added where none is."""
    settings = {label: replace(default, **change) for label, change in changes.items()}
    if default not in settings.values():
        settings["as configured"] = default
    [unchanged] = [label for label, setting in settings.items() if setting == default]
    rows = {label: _fit(setting) for label, setting in settings.items()}
    return Section(title=title, about=about, default=unchanged, rows=rows)


def _fit(setting: Setting) -> Measure:
    return partial(Replay.outcome, setting=setting)


def _fixed(default: Setting) -> Section:
    fixed: dict[str, Controller] = fixed_controllers() | {f"random_speak {p:g}": RandomSpeech(p=p) for p in SPEECH}
    rows = {name: partial(Replay.played, controller=rule, rules=default.rules) for name, rule in fixed.items()}
    return Section(
        title="Learned or fixed",
        about="Rules that learn nothing, for scale.",
        default=LEARNED,
        rows={LEARNED: _fit(default), **rows},
    )


def _expansion(default: Setting, questions: int) -> Section:
    plain = replace(default, minimiser="RegretMatching")
    ways = {
        "full, batch by batch": (streams.in_full, default),
        "full, batch by batch, RegretMatching": (streams.in_full, plain),
        "external sampling": (streams.by_external_sampling, default),
        "external sampling, RegretMatching": (streams.by_external_sampling, plain),
        "immediate (the released code's)": (streams.by_single_rounds, default),
        "immediate, paper infosets": (streams.by_single_rounds, replace(default, infoset="paper")),
    }
    rows: dict[str, Measure] = {name: partial(way, setting=setting) for name, (way, setting) in ways.items()}
    if few := questions // 4:
        rows = {f"full, one game of {few} questions": _fit(replace(default, questions=few)), **rows}
    return Section(
        title="Expansion",
        about="What is generated to learn from. One game: all training questions, fully expanded. Batch by batch: "
        "each question comes once, in batches as in training, each a game; regrets are carried along. The immediate "
        "rule plays its greedy strategy, as released; of the others, the strategy at play is validated.",
        default="full, one game",
        rows={"full, one game": _fit(default), **rows},
    )
