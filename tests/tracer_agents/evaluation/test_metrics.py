"""Every figure of M by hand, intervals and paired tests against known truth."""

import numpy as np
import pytest
from scipy import stats

from tracer_agents.evaluation.metrics import METRIC_NAMES, compare, summarise, values
from tracer_agents.rollout.records import DialogueRecord, Outcome, TurnRecord
from tracer_env.dialogue import FinishReason, Role, Verdict
from tracer_env.rewards import Utility

UTILITY = Utility(price_of_speech=0.5, rounds=3, max_new_tokens=10)  # 30 tokens cost 0.5


def turn(round_: int, mode: int = 1, **fields) -> TurnRecord:
    role = Role.PROPOSER if round_ % 2 else Role.REVIEWER
    said = {"text": "x", "finish_reason": FinishReason.STOP} if mode else {"text": None, "finish_reason": None}
    blank = {"answer": None, "verdict": None, "right": None, "reward": None, "prompt_tokens": 0, "generated_tokens": 0}
    if fields.get("reward"):
        fields["right"] = fields["reward"] > 0
    return TurnRecord(
        **{"round": round_, "agent": 0, "role": role, "mode": mode, "forced": round_ == 1, **said, **blank, **fields}
    )


def dialogue(number: int, correct: bool, *turns: TurnRecord, grade: str | None = None) -> DialogueRecord:
    return DialogueRecord(
        method="team",
        phase="after",
        seed=0,
        question_id=f"q{number}",
        question="?",
        gold="1",
        answer="1" if correct else "2",
        correct=correct,
        grade=Outcome(grade or ("right" if correct else "wrong")),
        turns=turns,
    )


@pytest.fixture
def four() -> list[DialogueRecord]:
    return [
        dialogue(  # wrong, told so, corrected
            0,
            True,
            turn(1, answer="2", reward=-1.0, generated_tokens=4, prompt_tokens=10),
            turn(2, verdict=Verdict.WRONG, reward=1.0, generated_tokens=3, prompt_tokens=20),
            turn(3, answer="1", reward=1.0, generated_tokens=5, prompt_tokens=30),
        ),
        dialogue(  # right, not reviewed, kept
            1,
            True,
            turn(1, answer="1", reward=1.0, generated_tokens=6, prompt_tokens=10),
            turn(2, 0),
            turn(3, 0),
        ),
        dialogue(  # right, doubted, spoiled by a proposal that was cut
            2,
            False,
            turn(1, answer="1", reward=1.0, generated_tokens=2, prompt_tokens=10),
            turn(2, verdict=Verdict.WRONG, reward=-1.0, generated_tokens=2, prompt_tokens=10),
            turn(3, reward=-1.0, generated_tokens=10, prompt_tokens=10, finish_reason=FinishReason.LENGTH),
            grade="ungradable",
        ),
        dialogue(  # wrong, a review without a verdict, kept
            3,
            False,
            turn(1, answer="2", reward=-1.0, generated_tokens=4, prompt_tokens=10),
            turn(2, reward=0.0, generated_tokens=4, prompt_tokens=10),
            turn(3, 0),
        ),
    ]


def test_figures_by_hand(four):
    m = summarise(four, UTILITY, temperature=0.7, resamples=200, seed=0, greedy=four[:3])
    assert m.accuracy == 0.5
    assert m.greedy_accuracy == pytest.approx(2 / 3)
    assert m.utility == pytest.approx(0 - 0.5 * (12 + 6 + 14 + 8) / 30 / 4)
    assert (m.correction_rate, m.preservation_rate) == (0.5, 0.5)
    assert m.reviewer_specificity == 0.0  # the one review of a right solution doubted it
    assert m.reviewer_sensitivity == 0.5  # of two reviews of wrong ones, one said so and one said nothing
    assert m.unparsed_rate == pytest.approx(1 / 6)
    assert m.truncation_rate == pytest.approx(1 / 9)
    assert m.ungradable_rate == 0.25
    assert m.generated_tokens_per_question == 10
    assert m.prompt_tokens_per_question == (60 + 10 + 30 + 20) / 4
    assert m.speak_rate == pytest.approx(5 / 8)
    assert m.speak_rate_by_round == {"2": 0.75, "3": 0.5}
    assert (m.temperature, m.n) == (0.7, 4)
    low, high = m.accuracy_ci95
    assert 0 <= low < 0.5 < high <= 1
    assert set(m.as_json()) >= {"accuracy", "accuracy_ci95", "greedy_accuracy", "utility", "n"}


def test_undefined_figures_are_none(four):
    m = summarise(four[1:2], UTILITY, temperature=1.0, resamples=200, seed=0)
    assert m.correction_rate is None
    assert (m.greedy_accuracy, m.reviewer_sensitivity, m.reviewer_specificity) == (None, None, None)
    assert (m.preservation_rate, m.accuracy_ci95) == (1.0, (1.0, 1.0))
    alone = dialogue(0, True, turn(1, answer="1", reward=1.0))
    assert summarise([alone], UTILITY, temperature=1.0, resamples=200, seed=0).speak_rate is None


def test_forced_rounds_are_no_decisions(four):
    forced = dialogue(9, True, turn(1, reward=-1.0), turn(2, 0), turn(3, answer="1", reward=1.0, forced=True))
    m = summarise([forced], UTILITY, temperature=1.0, resamples=200, seed=0)
    assert (m.speak_rate, m.speak_rate_by_round) == (0.0, {"2": 0.0})


def test_values_of_every_metric(four):
    assert values(four, "accuracy", UTILITY).tolist() == [1, 1, 0, 0]
    assert values(four, "generated_tokens", UTILITY).tolist() == [12, 6, 14, 8]
    assert values(four, "utility", UTILITY) == pytest.approx([0.8, 0.9, -1 - 7 / 30, -1 - 4 / 30])
    assert all(values(four, name, UTILITY).dtype == np.float64 for name in METRIC_NAMES)


def coin(number: int, right: bool, tokens: int = 4) -> DialogueRecord:
    reward = 1.0 if right else -1.0
    return dialogue(number, right, turn(1, answer="1", reward=reward, generated_tokens=tokens))


def comparison(a, b, metric="accuracy"):
    return compare(a, b, metric, UTILITY, names=("a", "b"), resamples=300, seed=0)


def test_accuracy_is_compared_by_exact_mcnemar():
    """Nine questions only a gets right, two only b: p = P(at most 2 or at least 9 of 11 fair tosses)."""
    pairs = [(True, False)] * 9 + [(False, True)] * 2 + [(True, True)] * 6 + [(False, False)] * 3
    result = comparison(*([coin(i, pair[k]) for i, pair in enumerate(pairs)] for k in (0, 1)))
    assert result.p == pytest.approx(2 * (1 + 11 + 55) / 2**11)
    assert result.difference == pytest.approx(7 / 20)
    assert result.n == 20
    assert result.ci95[0] < 7 / 20 < result.ci95[1]
    assert result.as_json()["ci95"] == result.ci95


def test_methods_that_agree_do_not_differ():
    same = [coin(i, i % 2 == 0) for i in range(6)]
    for metric in METRIC_NAMES:
        result = comparison(same, same, metric)
        assert (result.difference, result.ci95, result.p) == (0.0, (0.0, 0.0), 1.0)


def test_other_metrics_are_compared_by_a_paired_t_test():
    rng = np.random.default_rng(0)
    tokens = rng.integers(5, 25, (2, 30))
    a, b = ([coin(i, True, int(t)) for i, t in enumerate(row)] for row in tokens)
    result = comparison(a, b, "generated_tokens")
    assert result.p == pytest.approx(stats.ttest_rel(*tokens.astype(float)).pvalue)
    assert result.difference == pytest.approx((tokens[0] - tokens[1]).mean())


def test_a_constant_difference_is_certain():
    a, b = ([coin(i, True, tokens) for i in range(5)] for tokens in (6, 4))
    result = comparison(a, b, "generated_tokens")
    assert (result.difference, result.ci95, result.p) == (2.0, (2.0, 2.0), 0.0)


def test_only_the_same_questions_in_the_same_order_are_paired():
    a = [coin(i, True) for i in range(3)]
    with pytest.raises(ValueError, match="same questions"):
        comparison(a, a[::-1])
    with pytest.raises(ValueError, match="same questions"):
        comparison(a, a[:2])
