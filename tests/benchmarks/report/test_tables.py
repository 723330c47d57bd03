"""Tests of the report's figures, comparisons and budgets against numbers computed from the records by hand."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.report.holm import holm
from benchmarks.report.load import Results, load
from benchmarks.report.scores import FIGURES, Scores, score_mean, score_task
from benchmarks.report.tables import budgets_table, comparisons_table, points_table
from benchmarks.suite.point import Point
from tracer_agents.rollout.records import DialogueRecord
from tracer_env.errors import DataError

TASKS = ("arithmetic-3", "arithmetic-4")


def scored(results: Results, task: str = "arithmetic-3", reference: str = "tracer") -> Scores:
    scores = score_task(results, task, reference=reference, resamples=400)
    assert scores is not None
    return scores


@pytest.fixture
def results(out, methods) -> Results:
    return load(out, methods)


def records_of(results: Results, method: str, label: str, task: str = "arithmetic-3") -> list[DialogueRecord]:
    return [record for _, points in results.records(method, task) for record in points[Point.of(label)]]


def test_figures_are_those_of_the_records(results):
    scores = scored(results)
    at = [point.label for point in scores.points].index("tracer@price=0.1")
    records = records_of(results, "tracer", "tracer@price=0.1")
    value = {name: float(scores.figures[name].value[at]) for name in FIGURES}
    right = np.array([record.correct for record in records])
    first = np.array([record.first_correct for record in records])
    free = [turn for record in records for turn in record.turns[1:]]
    utility = results.plan.base.utility

    assert value["accuracy"] == pytest.approx(right.mean())
    assert value["tokens"] == pytest.approx(np.mean([record.generated_tokens for record in records]))
    assert value["prompt_tokens"] == pytest.approx(np.mean([record.prompt_tokens for record in records]))
    expected = [utility(record.correct, record.generated_tokens) for record in records]
    assert value["utility"] == pytest.approx(np.mean(expected))
    assert value["correction"] == pytest.approx(right[~first].mean())
    assert value["preservation"] == pytest.approx(right[first].mean())
    assert value["speak_rate"] == pytest.approx(np.mean([turn.mode for turn in free]))
    assert value["no_answer"] == value["failed"] == value["ungradable"] == 0.0


def test_intervals_hold_their_figures(results):
    for estimate in scored(results).figures.values():
        defined = ~np.isnan(estimate.value)
        assert (estimate.interval[0, defined] <= estimate.value[defined] + 1e-9).all()
        assert (estimate.interval[1, defined] >= estimate.value[defined] - 1e-9).all()


def test_votes_have_no_speak_rate(results):
    scores = scored(results)

    votes = scores.of("self_consistency")
    assert np.isnan(scores.figures["speak_rate"].value[votes]).all()


def test_the_mean_over_tasks_weighs_tasks_equally(results):
    per_task = [scored(results, task) for task in TASKS]
    mean = score_mean(per_task)

    values = [scores.figures["accuracy"].value for scores in per_task]
    np.testing.assert_allclose(mean.figures["accuracy"].value, np.mean(values, axis=0))
    assert mean.n == 120
    assert set(mean.runs) == set(TASKS)


def test_a_method_that_lacks_a_task_is_not_in_the_mean(out, methods):
    shutil.rmtree(out / "cells" / "single" / "arithmetic-4")
    results = load(out, methods)

    mean = score_mean([scored(results, task) for task in TASKS])

    assert "single" not in {point.method for point in mean.points}
    assert len(mean.points) == 6


def test_tasks_without_a_common_method_have_an_empty_mean(out, methods):
    for method in ("single", "self_consistency"):
        shutil.rmtree(out / "cells" / method / "arithmetic-4")
    for method in ("always_speak", "tracer"):
        shutil.rmtree(out / "cells" / method / "arithmetic-3")
    results = load(out, methods)

    assert score_mean([scored(results, task) for task in TASKS]).points == ()


def test_a_method_that_lacks_a_seed_of_the_reference_is_left_out(out, methods):
    (out / "cells" / "single" / "arithmetic-3" / "seed-1" / "cell.json").unlink()
    (out / "cells" / "tracer" / "arithmetic-4" / "seed-0" / "cell.json").unlink()
    results = load(out, methods)

    assert "single" not in {point.method for point in scored(results).points}
    other = scored(results, "arithmetic-4")
    assert other.seeds == (1,)
    assert other.n == 30
    assert len(other.points) == 7


def test_without_the_reference_the_fullest_method_sets_the_seeds(out, methods):
    (out / "cells" / "single" / "arithmetic-3" / "seed-1" / "cell.json").unlink()

    scores = scored(load(out, methods), reference="nobody")

    assert scores.seeds == (0, 1)
    assert scores.headline("nobody") is None
    assert comparisons_table(scores, reference="nobody", resamples=10).empty
    assert budgets_table(scores, reference="nobody").empty


def test_a_task_of_which_nothing_ended_has_no_scores(out, methods):
    for method in methods:
        shutil.rmtree(out / "cells" / method / "arithmetic-4")

    assert score_task(load(out, methods), "arithmetic-4", reference="tracer", resamples=10) is None


def test_a_headline_that_was_not_recorded_is_named(out, methods):
    methods["tracer"] = replace(methods["tracer"], head="tracer@price=7")

    with pytest.raises(DataError, match="headline 'tracer@price=7'"):
        scored(load(out, methods))


def test_points_carry_their_training_cost_and_seeds(results):
    scores = scored(results)
    table = points_table(results, scores).set_index("point")

    row = table.loc["tracer@price=0.1"]
    by_seed = scores.runs["arithmetic-3"][:, [point.label for point in scores.points].index("tracer@price=0.1")]
    assert row["training_tokens"] == 500.0  # 0 under seed 0, 1000 under seed 1
    assert row["accuracy_sd"] == pytest.approx(np.std(by_seed, ddof=1))
    assert row["accuracy_by_seed"] == " ".join(f"{one:.4f}" for one in by_seed)
    assert list(table.index[table["headline"]]) == [
        "single",
        "self_consistency@k=3",
        "always_speak",
        "tracer@price=0.1",
    ]


def test_comparisons_are_paired_question_by_question(results):
    table = comparisons_table(scored(results), reference="tracer", resamples=100).set_index("method")

    mine = np.array([record.correct for record in records_of(results, "tracer", "tracer@price=0.1")])
    theirs = np.array([record.correct for record in records_of(results, "always_speak", "always_speak")])
    row = table.loc["always_speak"]
    assert row["accuracy"] == pytest.approx(mine.mean() - theirs.mean())
    assert (row["only_reference_right"], row["only_method_right"]) == ((mine & ~theirs).sum(), (~mine & theirs).sum())
    assert row["p"] == pytest.approx(stats.binomtest((mine & ~theirs).sum(), (mine != theirs).sum()).pvalue)
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    assert list(table.index) == ["single", "self_consistency", "always_speak"]
    np.testing.assert_allclose(table["p_holm"], holm(table["p"].to_list()))


def test_one_run_tells_no_probability_of_improvement(out, methods):
    shutil.rmtree(out / "cells" / "tracer" / "arithmetic-4" / "seed-0")
    results = load(out, methods)

    one, two = (comparisons_table(scored(results, task), reference="tracer", resamples=10) for task in TASKS[::-1])

    assert one["improvement"].isna().all()
    assert two["improvement"].notna().all()
    assert one["p"].notna().all()


def test_a_bound_is_in_no_family_of_tests_and_on_no_frontier(out, methods):
    methods["always_speak"] = replace(methods["always_speak"], bound=True)
    results = load(out, methods)
    scores = scored(results)

    table = comparisons_table(scores, reference="tracer", resamples=10).set_index("method")
    points = points_table(results, scores).set_index("point")

    tested = table.drop("always_speak")
    assert np.isnan(table.loc["always_speak", "p_holm"])
    np.testing.assert_allclose(tested["p_holm"], holm(tested["p"].to_list()))
    assert not points.loc["always_speak", "frontier"]
    assert points.loc["self_consistency@k=3", "frontier"]


def test_the_mean_pools_the_tests_questions(results):
    scores = score_mean([scored(results, task) for task in TASKS])

    row = comparisons_table(scores, reference="tracer", resamples=100).set_index("method").loc["always_speak"]

    per_task = [comparisons_table(scored(results, task), reference="tracer", resamples=10) for task in TASKS]
    won = sum(int(table.set_index("method").loc["always_speak", "only_reference_right"]) for table in per_task)
    assert row["only_reference_right"] == won
    assert row["n"] == 120


def test_budgets_take_the_points_on_either_side_and_the_line_between(results):
    scores = scored(results, reference="always_speak")
    table = budgets_table(scores, reference="always_speak")
    dialogue = table[table["method"] == "tracer"]  # 20 and about 70 tokens, the reference 100

    assert list(dialogue["at"]) == ["at most"]
    assert list(dialogue["point"]) == ["tracer@price=0.1"]


def test_the_line_at_equal_tokens_by_hand(results):
    scores = scored(results, reference="tracer")
    labels = [point.label for point in scores.points]
    tokens, accuracy = scores.figures["tokens"].value, scores.figures["accuracy"].value
    cheap, dear = labels.index("tracer@price=1.0"), labels.index("tracer@price=0.1")
    budget, at = tokens[labels.index("self_consistency@k=2")], labels.index("self_consistency@k=2")

    table = budgets_table(scores, reference="self_consistency")
    row = table[(table["reference"] == "self_consistency@k=2") & (table["at"] == "equal")].iloc[0]

    share = (budget - tokens[cheap]) / (tokens[dear] - tokens[cheap])
    on_line = (1 - share) * accuracy[cheap] + share * accuracy[dear]
    assert row["tokens"] == budget == 40.0
    assert row["accuracy"] == pytest.approx(on_line)
    assert row["difference"] == pytest.approx(accuracy[at] - on_line)
    assert row["difference_low"] < row["difference"] < row["difference_high"]


def test_a_budget_equal_to_a_points_tokens_is_met_by_that_point(results):
    table = budgets_table(scored(results), reference="tracer")

    row = table[(table["reference"] == "tracer@price=1.0") & (table["at"] == "at most")].iloc[0]
    assert (row["point"], row["tokens"]) == ("self_consistency@k=1", 20.0)


def test_seeds_that_share_questions_are_resampled_jointly(tmp_path, out, methods, make_record, make_turn, add_cell):
    shared = tmp_path / "shared"
    shared.mkdir()
    shutil.copy(out / "plan.yaml", shared)
    for seed in (0, 1):  # the same outcome of a question under both seeds
        for method, label in {"single": "single", "tracer": "tracer@price=0.1"}.items():
            records = [make_record(label, f"q{at}", [make_turn(1, right=at % 2 == 0)], seed=seed) for at in range(40)]
            add_cell(shared, method, "arithmetic-3", seed, records)

    scores = score_task(load(Path(shared), methods), "arithmetic-3", reference="tracer", resamples=4000)

    assert scores is not None
    low, high = scores.figures["accuracy"].interval[:, 0]
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(0.25 / 40), rel=0.1)  # 40 questions, not 80
