import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tracer_agents.controllers.regret import RegretMatchingPlus
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.evaluation.certificate import (
    bootstrap_mean,
    certify,
    gap,
    oracle_game,
    per_question,
)
from tracer_agents.evaluation.statistics import resampled_counts
from tracer_agents.game.gaps import kkt_gap, nash_gap, team_optimum
from tracer_agents.game.optimum import Optimum
from tracer_agents.game.run_regret import RunRegret
from tracer_agents.game.values import expected_utility
from tracer_agents.rollout.empirical import empirical_game, enumerated_game
from tracer_agents.rollout.tree import Tree, expand, play
from tracer_agents.speakers.tabular import TabularSpeaker, tabular_question
from tracer_agents.types import Episode
from tracer_env.dialogue import Rules
from tracer_env.infosets import INFOSETS, Infosets
from tracer_env.rewards import Utility
from tracer_env.tasks.base import Grade

SPEAKER, RULES, PRICE, MAX_NEW_TOKENS = TabularSpeaker.load(), Rules(), 0.1, 100
BUDGET = RULES.rounds * MAX_NEW_TOKENS


def grade(answers, golds):
    return [Grade.RIGHT if answer == gold else Grade.WRONG for answer, gold in zip(answers, golds, strict=True)]


def trees(first: int, count: int, rules: Rules = RULES) -> list[Tree]:
    episodes = [Episode(question=tabular_question(i), seed=i) for i in range(first, first + count)]
    return expand(episodes, rules, SPEAKER, grade)


def trained(name: str, fitted: list[Tree], rounds: int = 60) -> tuple[TabularController, RunRegret]:
    infosets, watched = Infosets(name, RULES), RunRegret(2)
    game = empirical_game(fitted, infosets, token_budget=BUDGET).priced(PRICE)
    weighting = "counterfactual" if name == "recall" else "gradient"
    tables = solve(
        game,
        RegretTables.empty(),
        RegretMatchingPlus(),
        iterations=rounds,
        weighting=weighting,
        on_update=watched.watch(game),
    )
    return TabularController(infosets, tables), watched


FITTED, HELD_OUT = trees(0, 60), trees(5000, 120)


@pytest.mark.parametrize("name", INFOSETS)
def test_plug_in_values_are_those_of_the_held_out_game(name):
    controller, watched = trained(name, FITTED)
    certificate = certify(
        HELD_OUT,
        controller,
        utility=Utility(price_of_speech=PRICE, most=BUDGET),
        rng=np.random.default_rng(0),
        run=watched,
        resamples=300,
    )
    game = empirical_game(HELD_OUT, controller.infosets, token_budget=BUDGET).priced(PRICE)
    profile = controller.profile(game.trie.keys)
    value = expected_utility(game, profile)
    assert certificate.utility.mean == pytest.approx(value)
    assert certificate.nash_gap.plug_in == pytest.approx(nash_gap(game, profile))
    assert certificate.kkt_gap.plug_in == pytest.approx(kkt_gap(game, profile))
    assert certificate.team_gap.plug_in == pytest.approx(team_optimum(game).value - value)
    ordered = [certificate.kkt_gap, certificate.nash_gap, certificate.team_gap, certificate.oracle_gap]
    assert all(low.plug_in <= high.plug_in + 1e-12 for low, high in pairwise(ordered))
    for each in ordered:
        assert 0 <= each.ci95[0] <= each.ci95[1]
        assert each.plug_in <= each.ci95[1]
        assert each.exact
    assert certificate.oracle_optimum <= 2 * certificate.pass_at_k - 1
    assert certificate.run is not None
    assert certificate.run.rounds == 60
    assert certificate.run.cce_gap == max(0, *(player.external for player in certificate.run.players))
    assert json.loads(json.dumps(certificate.as_json()))["nash_gap"]["exact"] is True
    assert list(certificate.as_json()["nash_gap"]) == ["plug_in", "found", "ci95", "exact"]


def test_infosets_never_met_are_counted_and_played_at_one_half():
    controller, _ = trained("recall", trees(0, 3))
    certificate = certify(
        HELD_OUT,
        controller,
        utility=Utility(price_of_speech=PRICE, most=BUDGET),
        rng=np.random.default_rng(0),
        resamples=50,
    )
    held_out = empirical_game(HELD_OUT, controller.infosets, token_budget=BUDGET)
    unseen = [key for key in held_out.trie.keys if not controller.knows(key)]
    assert certificate.unseen_infosets == len(unseen) > 0
    assert np.all(controller.profile(unseen) == 0.5)
    assert certificate.run is None


def test_per_question_figures_are_those_of_the_played_dialogues():
    # A deterministic profile plays one line a question: expectation and play agree.
    infosets = Infosets("consensus", RULES)
    sample = empirical_game(HELD_OUT, infosets, token_budget=BUDGET)
    rng = np.random.default_rng(3)
    strategy = np.eye(2)[rng.integers(0, 2, sample.trie.n_infosets)]
    tables = replace(RegretTables.empty().grown(sample.trie.keys), strategy=strategy)
    controller = TabularController(infosets, tables)
    lines = play(HELD_OUT, controller)
    right, tokens, utility = per_question(sample, strategy, PRICE)
    won = np.array([tree.right(line) for tree, line in zip(HELD_OUT, lines, strict=True)])
    spent = np.array([line.generated_tokens for line in lines])
    assert right == pytest.approx(won.astype(float))
    assert tokens == pytest.approx(spent)
    expected = Utility(price_of_speech=PRICE, rounds=5, max_new_tokens=MAX_NEW_TOKENS)(won, spent)
    assert utility == pytest.approx(expected)


def test_the_oracle_knows_more_than_recall_and_less_than_the_future():
    infosets = Infosets("recall", RULES)
    recall = empirical_game(HELD_OUT, infosets, token_budget=BUDGET).priced(PRICE)
    oracle = oracle_game(HELD_OUT, infosets, Utility(price_of_speech=PRICE, most=BUDGET)).priced(PRICE)
    hindsight = np.mean(
        [
            max(2 * tree.right(leaf) - 1 - PRICE * leaf.generated_tokens / BUDGET for leaf in tree.leaves())
            for tree in HELD_OUT
        ]
    )
    assert team_optimum(recall).value < team_optimum(oracle).value < hindsight


def test_the_gap_of_the_profile_to_itself_is_the_open_bracket():
    game = empirical_game(trees(0, 8, Rules(rounds=3)), Infosets("paper", Rules(rounds=3)), token_budget=300)
    stay = np.tile([1.0, 0.0], (game.trie.n_infosets, 1))
    utility = per_question(game, stay, PRICE)[2]

    def no_deviation(_):
        return Optimum(strategy=stay, value=float(utility.mean()), upper=float(utility.mean()) + 0.25)

    bracketed = gap(game, utility, no_deviation, PRICE, [np.arange(4), np.arange(4, 8)])
    assert bracketed.ci95 == pytest.approx((0.0, 0.25))
    assert (bracketed.plug_in, bracketed.attained) == pytest.approx((0.25, 0.0))
    assert not bracketed.exact


def test_bootstrap_of_a_mean():
    rng = np.random.default_rng(0)
    weights = resampled_counts(400, resamples=4000, rng=rng) / 400
    assert weights.sum(axis=1) == pytest.approx(np.ones(4000))
    values = np.repeat([0.0, 1.0], 200)
    mean = bootstrap_mean(values, weights)
    assert mean.mean == 0.5
    assert mean.ci95 == pytest.approx((0.5 - 1.96 * 0.025, 0.5 + 1.96 * 0.025), abs=0.004)


def test_intervals_cover_the_truth_of_enumerated_speakers():
    rules = Rules(rounds=3)
    infosets = Infosets("recall", rules)
    exact = enumerated_game(
        SPEAKER, SPEAKER.representatives(), infosets, token_budget=3 * MAX_NEW_TOKENS, weights=SPEAKER.weights
    ).priced(PRICE)
    controller = TabularController.uniform(infosets)
    profile = controller.profile(exact.trie.keys)
    truth = {
        "utility": expected_utility(exact, profile),
        "nash_gap": nash_gap(exact, profile),
        "team_gap": team_optimum(exact).value - expected_utility(exact, profile),
    }
    covered = dict.fromkeys(truth, 0)
    runs, n = 60, 50
    sample = trees(0, runs * n, rules)
    for run in range(runs):
        certificate = certify(
            sample[run * n : run * n + n],
            controller,
            utility=Utility(price_of_speech=PRICE, most=3 * MAX_NEW_TOKENS),
            rng=np.random.default_rng(run),
            resamples=300,
        )
        for name, value in truth.items():
            low, high = getattr(certificate, name).ci95
            covered[name] += low <= value <= high
    # 95% of 60 is 57; three binomial standard errors below is 52.
    assert all(count >= 52 for count in covered.values()), covered
