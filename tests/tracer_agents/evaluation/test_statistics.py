"""The statistics against numbers by hand, scipy, and what they gave when results were published."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from tracer_agents.evaluation.statistics import (
    Z95,
    bootstrap_p,
    draw_resamples,
    interval95,
    mcnemar_p,
    mean_interval95,
    paired_t_p,
    probability_of_improvement,
    ratio,
    resampled_counts,
)
from tracer_env.seeding import stream

PUBLISHED = {
    "mean": (-0.19821170382660558, 0.20115141076178183),
    "weights": [-0.19578592084817845, 0.18886753068488552],
    "clusters": [-0.16305145141313793, 0.17437470943787167],
    "p": 0.9358059914407989,
    "improvement": (0.4833333333333333, 0.18291666666666667, 0.775),
    "z": 1.959963984540054,
}


def own_questions(seeds: int, questions: int) -> tuple[list[int], list[str]]:
    """Rows of seeds that share no question."""
    rows = [(seed, f"{seed}-{question}") for seed in range(seeds) for question in range(questions)]
    return [seed for seed, _ in rows], [question for _, question in rows]


def shared_questions(seeds: int, questions: int) -> tuple[list[int], list[str]]:
    """Rows of seeds that have the same questions."""
    rows = [(seed, str(question)) for seed in range(seeds) for question in range(questions)]
    return [seed for seed, _ in rows], [question for _, question in rows]


def test_seeds_with_their_own_questions_keep_their_size_in_every_resample():
    seeds, questions = own_questions(3, 20)
    resamples = draw_resamples(seeds, questions, resamples=200, rng=stream(0))

    of_seed = (np.array(seeds)[:, None] == np.arange(3)).astype(float)

    np.testing.assert_array_equal(resamples.sums(of_seed), np.full((200, 3), 20.0))
    assert np.ptp(resamples.sums(np.arange(60.0)[:, None])) > 0


def test_a_shared_question_is_drawn_under_all_seeds_or_none():
    seeds, questions = shared_questions(2, 30)
    resamples = draw_resamples(seeds, questions, resamples=50, rng=stream(0))
    weight = np.arange(30.0)

    sums = resamples.sums(np.column_stack([np.append(weight, np.zeros(30)), np.append(np.zeros(30), weight)]))

    np.testing.assert_array_equal(sums[:, 0], sums[:, 1])


def test_partly_shared_questions_are_strata_of_their_own():
    seeds = [0, 0, 0, 1, 1, 1]
    questions = ["both", "both too", "first", "both", "both too", "second"]
    resamples = draw_resamples(seeds, questions, resamples=100, rng=stream(0))

    alone = resamples.sums(np.array([[0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]], dtype=float).T)

    np.testing.assert_array_equal(alone, np.ones((100, 2)))


def test_sums_are_those_of_rows_written_out():
    seeds, questions = own_questions(2, 7)
    resamples = draw_resamples(seeds, questions, resamples=20, rng=stream(3))
    columns = stream(4).normal(size=(14, 3))

    written = [columns[np.repeat(np.arange(14), counts[resamples.cluster])].sum(axis=0) for counts in resamples.counts]

    np.testing.assert_allclose(resamples.sums(columns), written)


def test_the_interval_of_a_mean_agrees_with_scipys_percentile_bootstrap():
    sample = stream(5).gamma(2.0, size=400)
    resamples = draw_resamples([0] * 400, [str(row) for row in range(400)], resamples=10_000, rng=stream(6))

    low, high = interval95(resamples.sums(sample[:, None]) / 400)[:, 0]

    theirs = stats.bootstrap((sample,), np.mean, n_resamples=10_000, method="percentile", rng=stream(7))
    width = high - low
    assert low == pytest.approx(theirs.confidence_interval.low, abs=0.05 * width)
    assert high == pytest.approx(theirs.confidence_interval.high, abs=0.05 * width)


def coverage(rows: tuple[list[int], list[str]], draw, truth: float, trials: int = 300) -> float:
    """How often the interval of a mean holds the truth."""
    resamples = draw_resamples(*rows, resamples=600, rng=stream(8))
    rng = stream(9)
    samples = np.column_stack([draw(rng) for _ in range(trials)])
    low, high = interval95(resamples.sums(samples) / len(samples))
    return float(np.mean((low <= truth) & (truth <= high)))


def test_the_stratified_interval_covers_the_truth():
    chances = np.repeat([0.2, 0.5, 0.8], 60)

    covered = coverage(own_questions(3, 60), lambda rng: rng.random(180) < chances, truth=0.5)

    assert 0.90 <= covered <= 0.99  # 0.95 within three standard errors of 300 trials, and the percentile's own error


def test_shared_questions_resampled_apart_would_be_overconfident():
    def draw(rng: np.random.Generator) -> np.ndarray:
        hardness = rng.random(60) < 0.5  # a question is right under all seeds or none
        return np.tile(hardness, 3)

    together = coverage(shared_questions(3, 60), draw, truth=0.5)
    apart = coverage(own_questions(3, 60), draw, truth=0.5)

    assert together >= 0.90
    assert apart < 0.85


def test_the_same_resamples_pair_two_methods():
    seeds, questions = own_questions(1, 200)
    resamples = draw_resamples(seeds, questions, resamples=1000, rng=stream(10))
    a = (stream(11).random(200) < 0.5).astype(float)

    draws = resamples.sums(np.column_stack([a, a + 0.25])) / 200

    np.testing.assert_allclose(draws[:, 1] - draws[:, 0], 0.25)


def test_an_undefined_column_has_no_interval_and_undefined_draws_do_not_count():
    draws = np.array([[np.nan, 1.0], [np.nan, np.nan], [np.nan, 1.0]])

    low, high = interval95(draws)

    assert np.isnan(low[0])
    assert np.isnan(high[0])
    assert (low[1], high[1]) == (1.0, 1.0)


def test_a_ratio_over_nothing_is_undefined():
    got = ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0]))

    assert got[0] == 0.5
    assert np.isnan(got[1])


def test_mcnemar_is_the_binomial_test_of_the_discordant_pairs():
    a = np.array([True] * 9 + [False] * 3 + [True] * 20 + [False] * 5)
    b = np.array([False] * 9 + [True] * 3 + [True] * 20 + [False] * 5)

    assert mcnemar_p(a, b) == pytest.approx(mcnemar([[20, 9], [3, 5]], exact=True).pvalue)
    assert mcnemar_p(a, b) == pytest.approx(2 * sum([1, 12, 66, 220]) / 2**12)


def test_mcnemar_without_a_discordant_pair_sees_nothing():
    same = np.array([True, False, True])

    assert mcnemar_p(same, same) == 1.0


def test_probability_of_improvement_counts_ties_half():
    estimate, low, high = probability_of_improvement(
        [np.array([0.5, 0.7])], [np.array([0.5, 0.6])], resamples=2000, rng=stream(13)
    )

    assert estimate == (0.5 + 0 + 1 + 1) / 4
    assert 0 <= low < estimate < high <= 1


def test_probability_of_improvement_is_averaged_over_tasks_not_over_runs():
    wins, loses = [np.array([1.0] * 9), np.array([0.0])], [np.array([0.5] * 9), np.array([0.5])]

    assert probability_of_improvement(wins, loses, resamples=100, rng=stream(14)) == (0.5, 0.5, 0.5)


def test_probability_of_improvement_agrees_with_mann_whitney():
    x, y = stream(15).integers(6, size=11).astype(float), stream(16).integers(5, size=7).astype(float)

    estimate, _, _ = probability_of_improvement([x], [y], resamples=10, rng=stream(17))

    assert estimate == pytest.approx(stats.mannwhitneyu(x, y).statistic / (11 * 7))


def test_bootstrap_interval_is_that_of_a_normal_mean():
    sample = np.random.default_rng(0).normal(3, 2, 900)
    low, high = mean_interval95(sample, resamples=4000, rng=stream(1))
    half = 1.96 * sample.std(ddof=1) / 30
    assert (low, high) == pytest.approx((sample.mean() - half, sample.mean() + half), abs=0.02)


def test_bootstrap_interval_is_seeded_and_degenerates_to_a_point():
    sample = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    first, again, other = (mean_interval95(sample, resamples=300, rng=stream(seed)) for seed in (1, 1, 2))
    assert first == again
    assert mean_interval95(np.full(5, 0.25), resamples=300, rng=stream(0)) == (0.25, 0.25)
    assert mean_interval95(np.array([2.0]), resamples=300, rng=stream(0)) == (2.0, 2.0)
    assert np.isfinite(other).all()


@pytest.mark.slow
def test_bootstrap_interval_covers():
    """Of 400 samples of 60 coin tosses, about 95% of intervals hold the truth."""
    rng = np.random.default_rng(0)
    held = [
        low <= 0.6 <= high
        for low, high in (
            mean_interval95((rng.random(60) < 0.6).astype(float), resamples=500, rng=stream(seed))
            for seed in range(400)
        )
    ]
    assert 0.91 < np.mean(held) < 0.98


def test_counts_of_a_resample_add_up_and_differ():
    counts = resampled_counts(40, resamples=1200, rng=stream(18))

    assert counts.shape == (1200, 40)
    assert (counts.sum(axis=1) == 40).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(40), abs=0.15)  # five standard errors of 1 / sqrt(1200)
    assert len(np.unique(counts, axis=0)) == 1200


def test_differences_that_never_vary_are_certain():
    assert paired_t_p(np.zeros(5)) == 1.0
    assert paired_t_p(np.full(5, 2.0)) == 0.0
    assert paired_t_p(np.array([1.0, 2.0, 4.0])) == pytest.approx(stats.ttest_1samp([1.0, 2.0, 4.0], 0).pvalue)


def test_what_was_published_comes_out_again():
    """The draws and their order are those of the results on record: a change changes every published interval."""
    sample = stream(20).normal(size=90)
    weights = resampled_counts(90, resamples=700, rng=stream(22)) / 90
    seeds = np.repeat([0, 1, 2], 30)
    questions = [f"{seed % 2}-{row % 30}" for row, seed in enumerate(seeds)]
    drawn = draw_resamples(seeds, questions, resamples=700, rng=stream(23))

    got = {
        "mean": mean_interval95(sample, resamples=700, rng=stream(21, "bootstrap")),
        "weights": interval95((weights @ sample)[:, None])[:, 0].tolist(),
        "clusters": interval95(drawn.sums(sample[:, None]) / 90)[:, 0].tolist(),
        "p": bootstrap_p(drawn.sums(sample[:, None])[:, 0]),
        "improvement": probability_of_improvement(
            [sample[:5], sample[5:8]], [sample[8:12], sample[12:15]], resamples=700, rng=stream(24)
        ),
        "z": Z95,
    }

    for name, value in got.items():
        assert value == pytest.approx(PUBLISHED[name], rel=1e-12), name
