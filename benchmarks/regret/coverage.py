"""How often the certificate's intervals contain the truth, over resampled runs of exactly known speakers."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.regret.common import solved, strategy_in, table, weighting_of
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.evaluation.certificate import Certificate, certify, per_question
from tracer_agents.game.gaps import kkt_gap, nash_gap, team_optimum
from tracer_agents.game.values import expected_utility, uniform_strategy
from tracer_agents.rollout.empirical import enumerated_game
from tracer_agents.rollout.tree import Tree, expand
from tracer_agents.speakers.tabular import TabularSpeaker, tabular_question
from tracer_agents.types import Episode
from tracer_agents.worlds.tabular_task import TabularTask
from tracer_env.dialogue import Rules
from tracer_env.infosets import Infosets
from tracer_env.rewards import Utility

RUNS, QUESTIONS, RESAMPLES, PRICE, MAX_NEW_TOKENS = 2000, 100, 500, 0.1, 100
RULES = Rules(rounds=3, schedule="parity")
BUDGET = RULES.rounds * MAX_NEW_TOKENS
MEANS = ("utility", "accuracy", "generated_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A fixed profile and the truth about it."""

    infoset: str
    profile: str
    controller: TabularController
    truth: dict[str, float]


def section(folder: Path) -> str:
    """Coverage and bias at a near-equilibrium and at a bad profile."""
    speaker = TabularSpeaker.load()
    studies = [study for infoset in ("consensus", "recall") for study in _studies(speaker, infoset)]
    certificates: list[list[Certificate]] = [[] for _ in studies]
    for run in range(RUNS):
        trees = _trees(speaker, run * QUESTIONS, QUESTIONS)
        for study, runs in zip(studies, certificates, strict=True):
            rng = np.random.default_rng(run)
            runs.append(
                certify(
                    trees,
                    study.controller,
                    utility=Utility(price_of_speech=PRICE, most=BUDGET),
                    rng=rng,
                    resamples=RESAMPLES,
                )
            )
    rows = [
        (study.infoset, study.profile, figure, *_row(runs, figure, truth))
        for study, runs in zip(studies, certificates, strict=True)
        for figure, truth in study.truth.items()
    ]
    error = 1.96 * np.sqrt(0.95 * 0.05 / RUNS)
    return (
        "## Honest intervals\n\n"
        f"{RUNS:,} runs of {QUESTIONS} fresh questions each (R = 3, N = 2, `parity`, shipped tabular speakers, "
        f"λ = {PRICE}), one certificate per run; the truth is known from the enumerated game. *Near-equilibrium*: RM+ "
        "after 100 iterations with 2% uniform play mixed in; *uniform*: ½ everywhere. Means should be covered 95% of "
        f"the time (accepted: 93–97%), gaps at least 95% less the binomial error of {error:.3f}, as their intervals "
        "are conservative. The bias is that of the plug-in value: a maximum over deviations, it is too high.\n\n"
        + table(("infoset", "profile", "figure", "truth", "mean plug-in", "bias", "covered", "mean width"), rows)
    )


def _row(runs: list[Certificate], figure: str, truth: float) -> tuple[str, ...]:
    values = [getattr(run, figure) for run in runs]
    points = np.array([value.mean if figure in MEANS else value.plug_in for value in values])
    bounds = np.array([value.ci95 for value in values])
    covered = np.mean((bounds[:, 0] <= truth + 1e-12) & (truth - 1e-12 <= bounds[:, 1]))
    width = np.mean(bounds[:, 1] - bounds[:, 0])
    return f"{truth:.4f}", f"{points.mean():.4f}", f"{points.mean() - truth:+.4f}", f"{covered:.3f}", f"{width:.4f}"


def _studies(speaker: TabularSpeaker, infoset: str) -> list[Study]:
    infosets, questions = Infosets(infoset, RULES), speaker.representatives()
    exact = enumerated_game(speaker, questions, infosets, token_budget=BUDGET, weights=speaker.weights)
    sighted = enumerated_game(
        speaker,
        questions,
        Infosets("recall", RULES),
        token_budget=BUDGET,
        weights=speaker.weights,
        sight=lambda question, state: (int(state.answer == question.gold),),
    )
    game, oracle = exact.priced(PRICE), team_optimum(sighted.priced(PRICE)).value
    near = 0.98 * strategy_in(game, solved(game, weighting_of(infoset), iterations=100)) + 0.01
    studies = []
    for name, profile in (("near-equilibrium", near), ("uniform", uniform_strategy(game.trie))):
        right, tokens, _ = per_question(exact, profile, PRICE)
        value = expected_utility(game, profile)
        truth = {
            "utility": value,
            "accuracy": float(right @ exact.weights),
            "generated_tokens": float(tokens @ exact.weights),
            "nash_gap": nash_gap(game, profile),
            "kkt_gap": kkt_gap(game, profile),
            "team_gap": team_optimum(game).value - value,
            "oracle_gap": oracle - value,
        }
        tables = replace(RegretTables.empty().grown(game.trie.keys), strategy=profile)
        studies.append(
            Study(infoset=infoset, profile=name, controller=TabularController(infosets, tables), truth=truth)
        )
    return studies


def _trees(speaker: TabularSpeaker, first: int, count: int) -> list[Tree]:
    episodes = [Episode(question=tabular_question(index), seed=index) for index in range(first, first + count)]
    return expand(episodes, RULES, speaker, TabularTask().grade)
