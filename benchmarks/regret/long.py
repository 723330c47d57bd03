"""Long dialogues by external sampling: tables and NeuralRegret beside the exact optimum."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.regret.belief import BeliefProcess, PublicHistories
from benchmarks.regret.common import table
from benchmarks.regret.neural import NeuralRegret, NeuralSettings
from tracer_agents.controllers.regret import Minimiser, RegretMatching, RegretMatchingPlus
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.game.values import Game
from tracer_agents.rollout.empirical import empirical_game
from tracer_agents.rollout.tree import Tree, expand_external
from tracer_agents.speakers.tabular import Difficulty, TabularSpeaker, TokenCounts, tabular_question
from tracer_agents.types import Controller, Episode
from tracer_agents.worlds.tabular_task import TabularTask
from tracer_env.cost import utterance_count
from tracer_env.dialogue import Rules
from tracer_env.infosets import InfosetKey, Infosets

PRICE, MAX_NEW_TOKENS, QUESTIONS, BATCHES, SIMULATED = 0.5, 100, 24, 80, 40_000
SPEAKER = TabularSpeaker(
    difficulties=(
        Difficulty(
            first=0.55,
            after_none=(0.5, 0.65),
            after_right=(0.15, 0.95),
            after_wrong=(0.6, 0.55),
            sensitivity=0.75,
            specificity=0.8,
        ),
    ),
    wrong_answers=1,
    tokens=TokenCounts(proposal=60, review=40),
)
Profile = Callable[[Sequence[InfosetKey]], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """Something that is fed external-sampling games and plays."""

    infosets: Infosets
    controller: Callable[[], Controller]
    observe: Callable[[Game, int], None]
    profile: Profile


def section(folder: Path) -> str:
    """Gap to the exact optimum at R = 9 and R = 15."""
    rows = []
    for rounds in (9, 15):
        rules = Rules(rounds=rounds)
        truth = BeliefProcess(SPEAKER, rounds=rounds, price=PRICE, token_budget=rounds * MAX_NEW_TOKENS)
        check, error = truth.simulate(truth.optimal, SIMULATED, np.random.default_rng(0))
        assert abs(check - truth.optimum) < 5 * error
        for name, learner in _learners(rules).items():
            start = _gap(truth, learner)
            spoken = sum(_batch(learner, rules, number) for number in range(BATCHES))
            final = _gap(truth, learner)
            rows.append(
                (
                    rounds,
                    name,
                    f"{truth.optimum:.4f}",
                    f"{start[0]:.4f}",
                    f"{final[0]:.4f} ± {1.96 * final[1]:.4f}",
                    f"{spoken:,}",
                    f"{BATCHES * QUESTIONS * utterance_count(rules):,}",
                )
            )
    return (
        "## Long dialogues: external sampling\n\n"
        f"N = 2, `rotate`, binary answers, λ = {PRICE}; {BATCHES} batches of {QUESTIONS} questions, the controllers "
        "taking turns; only the updating controller's choices are expanded. The optimum is exact (a dynamic programme "
        f"over beliefs, `benchmarks/regret/belief.py`); profiles are valued on {SIMULATED:,} simulated public "
        "histories, final correctness in expectation. In the last column: the utterances that full expansion of the "
        "same questions would generate. Questions are fresh in every batch, so RM+ keeps the lucky half of the noise "
        "and plain RM averages it away (section *Fresh questions every batch*); `consensus`, which forgets, learns "
        "fastest where `recall` has the most infosets. One seed, which matters most to the network.\n\n"
        + table(
            ("R", "learner", "optimum", "gap at the start", "gap after training", "utterances", "in full expansion"),
            rows,
        )
    )


def _learners(rules: Rules) -> dict[str, Learner]:
    return {
        "RM table, consensus": _tabular(Infosets("consensus", rules), RegretMatching()),
        "RM table, recall": _tabular(Infosets("recall", rules), RegretMatching()),
        "RM+ table, recall": _tabular(Infosets("recall", rules), RegretMatchingPlus()),
        "NeuralRegret, consensus": _neural(Infosets("consensus", rules)),
        "NeuralRegret, recall": _neural(Infosets("recall", rules)),
    }


def _tabular(infosets: Infosets, rule: Minimiser) -> Learner:
    tables = RegretTables.empty()

    def observe(game: Game, player: int) -> None:
        nonlocal tables
        tables = solve(game, tables, rule, iterations=1, weighting="counterfactual")

    def controller() -> TabularController:
        return TabularController(infosets, tables)

    return Learner(
        infosets=infosets,
        controller=controller,
        observe=observe,
        profile=lambda keys: controller().profile(keys),
    )


def _neural(infosets: Infosets) -> Learner:
    network = NeuralRegret(infosets, settings=NeuralSettings(steps=100))

    def observe(game: Game, player: int) -> None:
        network.observe(game, players=(player,))

    return Learner(infosets=infosets, controller=lambda: network, observe=observe, profile=network.profile)


def _batch(learner: Learner, rules: Rules, number: int) -> int:
    """Expands and learns one batch; returns the utterances generated."""
    player = number % rules.n_agents
    episodes = [
        Episode(question=tabular_question(index), seed=index)
        for index in range(number * QUESTIONS, (number + 1) * QUESTIONS)
    ]
    trees = expand_external(episodes, rules, SPEAKER, TabularTask().grade, learner.controller(), player)
    sample = empirical_game(trees, learner.infosets, token_budget=rules.rounds * MAX_NEW_TOKENS)
    learner.observe(sample.priced(PRICE), player)
    return sum(_utterances(tree) for tree in trees)


def _utterances(tree: Tree) -> int:
    return sum(1 for _ in tree.spoken())


def _gap(truth: BeliefProcess, learner: Learner) -> tuple[float, float]:
    def policy(round_: int, histories: PublicHistories) -> np.ndarray:
        distinct, index = np.unique(histories.codes, axis=0, return_inverse=True)
        keys = [tuple(row) for row in distinct.tolist()]
        if learner.infosets.name == "consensus":
            keys = [_consensus(key, learner.infosets.rules) for key in keys]
        return learner.profile(keys)[index.ravel(), 1]

    mean, error = truth.simulate(policy, SIMULATED, np.random.default_rng(1))
    return truth.optimum - mean, error


def _consensus(codes: InfosetKey, rules: Rules) -> InfosetKey:
    """The consensus key behind a recall key whose every answer is readable."""
    pending, votes, answers = 0, 0, []
    for round_, code in enumerate(codes, start=1):
        if not code:
            continue
        if round_ % 2:
            pending, votes = code, 0
            answers.append(code)
        else:
            votes += 1 if code == 1 else -1
    round_ = len(codes) + 1
    stage = 1 - round_ % 2
    left = (rules.rounds - round_ + (1 if stage else 2)) // 2
    status = max(-2, min(2, votes)) + 2
    return stage, status, int(left <= 1), (round_ - 1) // 2, len(answers), min(answers.count(pending), 2)
