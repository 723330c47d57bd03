"""Beliefs are fitted on training questions and judged on others."""

from dataclasses import replace

import numpy as np
import pytest

from tracer_agents.controllers.calibration import auroc_within, diagnose, fit_belief, judge, rows_of
from tracer_agents.rollout.tree import Tree, expand
from tracer_agents.types import Episode
from tracer_env.beliefs import FEATURES
from tracer_env.dialogue import Role, Rules, Utterance, Verdict
from tracer_env.errors import ConfigError
from tracer_env.tasks.base import Grade, Question

RULES = Rules(revisions=False, sharing="view")


class Telling:
    """Speakers whose log-probability tells how likely a proposal is right, and whose verdicts know it."""

    def __init__(self, *, verdicts: bool = True) -> None:
        self.verdicts = verdicts

    def speak(self, requests):
        return [self.one(request) for request in requests]

    def one(self, request) -> Utterance:
        noise = np.random.default_rng(request.noise_seed)
        if request.state.role is Role.REVIEWER:
            right = request.state.answer == request.episode.question.gold
            chance = float(np.clip((0.8 if right else 0.3) + 0.1 * noise.normal(), 0.01, 0.99))
            verdict = Verdict.RIGHT if noise.random() < chance else Verdict.WRONG
            return Utterance(text=str(verdict), verdict=verdict, p_right=chance if self.verdicts else None)
        sure = noise.random()
        gold = request.episode.question.gold
        answer = gold if noise.random() < sure else f"not {gold} {noise.integers(3)}"
        return Utterance(text=f"{answer}:{request.noise_seed}", answer=answer, mean_logp=float(np.log(0.05 + sure)))


def grown(start: int, n: int, **options) -> list[Tree]:
    questions = [Question(id=f"q{index}", text=f"{index}?", gold=str(index)) for index in range(start, start + n)]
    episodes = [Episode(question=question, seed=index) for index, question in enumerate(questions, start=start)]
    grades = {True: Grade.RIGHT, False: Grade.WRONG}
    return expand(
        episodes,
        RULES,
        Telling(**options),
        lambda answers, golds: [grades[answer == gold] for answer, gold in zip(answers, golds, strict=True)],
    )


TRAINING, OTHERS = grown(0, 150), grown(1000, 150)


def test_a_belief_is_calibrated_on_questions_that_it_was_not_fitted_to():
    figures = diagnose(fit_belief(TRAINING), OTHERS)

    assert figures.auroc > 0.85
    assert figures.auroc_within_questions > 0.85
    assert figures.calibration_error < 0.05
    assert figures.questions == 150
    assert sum(weight for *_, weight in figures.reliability) == pytest.approx(1)


def test_each_signal_adds_to_what_is_known():
    known = [
        diagnose(fit_belief(TRAINING, signals=signals), OTHERS).auroc
        for signals in (["tokens"], ["agreement"], ["agreement", "logp"], ["agreement", "logp", "verdict"])
    ]

    assert known[0] == pytest.approx(0.5, abs=0.05)  # tokens say nothing here
    assert known == sorted(known)
    assert known[-1] > known[1] + 0.03


def test_signals_that_are_left_out_have_no_coefficient():
    belief = fit_belief(TRAINING, signals=["agreement"])

    assert [name for name, weight in zip(FEATURES, belief.coefficients, strict=True) if weight][-1] == "share"


def test_what_an_engine_never_tells_has_no_coefficient():
    silent = fit_belief(grown(0, 60, verdicts=False))

    coefficients = dict(zip(FEATURES, silent.coefficients, strict=True))
    assert coefficients["mean logit"] == coefficients["chance known"] == 0
    assert coefficients["mean logp"] > 0


@pytest.mark.parametrize("bins", [1, 4, 16])
def test_bins_are_equally_often_met(bins):
    belief = fit_belief(TRAINING, bins=bins)

    assert belief.bins == bins
    met = np.bincount(
        [
            belief.bin(belief.standing(state)[1])
            for tree in TRAINING
            for prefix, state in tree.states.items()
            if len(tree.children(prefix)) == 2
        ],
        minlength=bins,
    )
    assert met / met.sum() == pytest.approx(np.full(bins, 1 / bins), abs=0.02)


def test_a_fit_does_not_depend_on_how_often_a_state_is_reached():
    """Rows are different states: a question with many equal paths counts as much as another."""
    rows = rows_of(TRAINING)

    assert np.bincount(rows.question, rows.weight) == pytest.approx(np.ones(150))
    assert len(rows.right) < sum(len(tree.states) for tree in TRAINING)


def test_questions_that_are_all_wrong_are_believed_little():
    wrong = [
        Tree(episode=tree.episode, states=tree.states, grades=dict.fromkeys(tree.grades, Grade.WRONG))
        for tree in TRAINING[:20]
    ]

    belief = fit_belief(wrong)

    assert belief.probability((0.0,) * len(FEATURES)) == pytest.approx(1 / 22)
    assert diagnose(belief, wrong).auroc is None


def test_pairs_within_a_question_are_what_its_difficulty_cannot_tell():
    """An easy question's wrong answer may be believed more than a hard one's right answer."""
    chance = np.array([0.9, 0.8, 0.3, 0.2])
    right = np.array([True, False, True, False])
    question = np.array([0, 0, 1, 1])

    assert auroc_within(chance, right, question) == 1.0
    assert judge(chance, right, question, np.ones(4)).auroc == 0.75
    assert auroc_within(chance, right, np.arange(4)) is None
    assert auroc_within(np.full(4, 0.5), right, question) == 0.5


@pytest.mark.parametrize("wrong", [{"signals": ["mood"]}, {"bins": 0}])
def test_unknown_signals_and_no_bins_are_refused(wrong):
    with pytest.raises(ConfigError):
        fit_belief(TRAINING, **wrong)


def test_no_questions_are_refused():
    with pytest.raises(ConfigError, match="at least one"):
        fit_belief([])


class Mumbling(Telling):
    """The same speakers, none of whose answers can be read."""

    def one(self, request) -> Utterance:
        return replace(super().one(request), answer=None)


def test_where_no_answer_can_be_read_nothing_is_known_and_nothing_fails():
    episodes = [Episode(question=Question(id=f"q{index}", text="?", gold="1"), seed=index) for index in range(5)]
    trees = expand(episodes, RULES, Mumbling(), lambda answers, golds: [Grade.WRONG] * len(answers))
    belief = fit_belief(trees)
    assert (belief.intercept, set(belief.coefficients), belief.edges) == (0.0, {0.0}, ())
    figures = diagnose(belief, trees)
    assert (figures.answers, figures.auroc, figures.auroc_within_questions) == (0, None, None)
    assert (figures.calibration_error, figures.reliability) == (None, ())
