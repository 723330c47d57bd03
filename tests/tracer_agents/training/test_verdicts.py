"""A team whose reviews are one token: what its steps train, and that they go on to the same bits."""

import json

import numpy as np
import pytest
import torch

from tracer_agents.build import build
from tracer_agents.config import Config
from tracer_agents.controllers.fixed import AlwaysSpeak
from tracer_agents.credit.verdicts import GradedSolution, graded_solutions
from tracer_agents.learners.verdicts import VerdictStats
from tracer_agents.rollout.tree import expand
from tracer_agents.speakers.model import View
from tracer_agents.training.trainer import Trainer
from tracer_env.dialogue import Role, Utterance, Verdict
from tracer_env.tasks.base import Grade

SCHEMES = {"shared": {}, "per_role": {"speakers.lora_rank": 3}, "per_agent_role": {"speakers.lora_rank": 3}}


@pytest.fixture
def trainer(small_config):
    def make(scheme: str = "shared", weights=None, **overrides) -> Trainer:
        settings = {"speakers.review": "verdict", "speakers.policy": scheme, "dialogue.rounds": 3, **SCHEMES[scheme]}
        config: Config = small_config({**settings, **overrides})
        return Trainer(config, build(config, weights=weights), AlwaysSpeak())

    return make


def learned(trainer: Trainer) -> list[torch.Tensor]:
    model = trainer.parts.policy
    return [each.detach().clone() for name in model.weights.names for each in model.weights.parameters(name)]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_reviewers_learn_from_graded_proposals_and_form_no_groups(trainer, scheme):
    made = trainer(scheme)
    known = graded_solutions(made._expand(1, AlwaysSpeak()))
    report = made.step(1)
    names = {"shared": ["shared"], "per_role": ["reviewer"], "per_agent_role": ["reviewer_0", "reviewer_1"]}[scheme]
    assert list(report.verdicts) == names
    assert report.reviewer_reward is None
    further = 3 * 2 * made.config.trainer.questions_per_step  # candidates of groups of 4, in two proposal rounds
    for stats in report.verdicts.values():
        assert len(known) <= stats.samples <= len(known) + further
        assert stats.optimiser_steps == 1
    row = json.loads(json.dumps(report.as_json()))
    assert set(row["verdicts"][names[0]]) == set(VerdictStats.__dataclass_fields__)


@pytest.mark.parametrize("scheme", ["shared", "per_role"])
def test_a_saved_trainer_goes_on_to_the_same_bits(trainer, scheme, tmp_path):
    whole = trainer(scheme)
    whole.step(1)
    whole.save(tmp_path, 1)
    resumed = trainer(scheme, weights=tmp_path)
    assert resumed.load(tmp_path) == 1
    reports = [{**each.step(2).as_json(), "timing": None} for each in (whole, resumed)]
    assert reports[0] == reports[1]
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(learned(whole), learned(resumed), strict=True))


def test_trees_reviews_are_one_token_and_proposers_do_not_see_them(trainer):
    made = trainer()
    [tree, *_] = expand(made._episodes(1), made.rules, made.parts.training_speakers, made.parts.task.grade)
    prompts = {Role.PROPOSER: set(), Role.REVIEWER: set()}
    for prefix, utterance in tree.spoken():
        role = tree.states[prefix].role
        prompts[role].add(utterance.generation.prompt_ids)
        if role is Role.REVIEWER:
            assert (utterance.generated_tokens, 0 < utterance.p_right < 1) == (1, True)
            assert utterance.verdict is not None
    assert len(prompts[Role.PROPOSER]) == 1


def test_distinct_proposals_are_learned_from_once_with_their_grades(trainer):
    made = trainer()

    class Script:
        def speak(self, requests):
            return [
                Utterance(text="Verdict: RIGHT", verdict=Verdict.RIGHT)
                if request.state.role is Role.REVIEWER
                else Utterance(text=f"it is {request.state.round // 2}", answer=str(request.state.round // 2))
                for request in requests
            ]

    def grade(answers, golds):
        return [Grade.RIGHT if answer == "1" else Grade.WRONG for answer in answers]

    episodes = made._episodes(1)
    solutions = graded_solutions(expand(episodes, made.rules, Script(), grade))
    assert solutions == [
        GradedSolution(question=episode.question.text, solution=text, right=right)
        for episode in episodes
        for text, right in (("it is 0", False), ("it is 1", True))
    ]


def test_verdicts_can_be_trained_apart_from_any_step(trainer):
    made = trainer(**{"credit.verdict_learning_rate": 3e-3, "credit.verdict_batch": 8})
    solutions = [
        GradedSolution(question=f"How many are {row}?", solution=f"#### {row + row % 2}", right=row % 2 == 0)
        for row in range(16)
    ]
    stats = made.parts.train_verdicts(solutions, lambda: np.random.default_rng(0), epochs=20)
    assert (stats["shared"].samples, stats["shared"].right, stats["shared"].optimiser_steps) == (16, 8, 40)
    views = [
        View(role=Role.REVIEWER, question=each.question, solution=each.solution, review=None, seed=1)
        for each in solutions
    ]
    sure = [said.p_right for said in made.parts.speakers.complete(views)]  # the engine has the new weights
    assert np.mean(sure[::2]) > np.mean(sure[1::2]) + 0.3
