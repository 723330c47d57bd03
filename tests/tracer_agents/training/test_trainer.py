"""The training step: what it draws, what it learns, and that it goes on to the same bits."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from tracer_agents.build import build
from tracer_agents.config import Config
from tracer_agents.controllers.fixed import AlwaysSpeak
from tracer_agents.credit.groups import sample_groups
from tracer_agents.credit.rewards import Penalties
from tracer_agents.errors import GenerationFailed, ParityFailed
from tracer_agents.rollout.tree import expand, set_apart
from tracer_agents.speakers.model import View
from tracer_agents.training.report import StepReport
from tracer_agents.training.trainer import Explorer, Trainer
from tracer_agents.types import Speakers, SpeakRequest
from tracer_env.dialogue import FinishReason, Role, Rules, Utterance, initial


@pytest.fixture
def trainer(small_config):
    def make(overrides=None, weights=None, behaviour=None) -> Trainer:
        config: Config = small_config(overrides)
        return Trainer(config, build(config, weights=weights), behaviour)

    return make


def figures(report: StepReport) -> dict:
    return {name: value for name, value in report.as_json().items() if name != "timing"}


def weights(trainer: Trainer) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in trainer.parts.policy.model.parameters()]


def equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_step_counts_what_it_does(trainer):
    made = trainer({"trainer.questions_per_step": 3})
    before = weights(made)
    report = made.step(1)
    assert (report.step, report.questions, report.policy_version) == (1, 3, 1)
    spoken_candidates = report.utterances - 3 * 16
    assert spoken_candidates % 3 == 0  # three further completions of each spoken turn
    assert report.gspo is not None
    assert report.groups_dropped < report.groups <= spoken_candidates // 3
    assert report.gspo.sequences <= (report.groups - report.groups_dropped) * 4 * 3
    assert report.gspo.ratio_first_deviation < 1e-6
    assert report.gspo.engine_logp_difference_max < 1e-4
    assert report.infosets == len(made.tables.keys) > 0
    assert report.regret_iterations == made.config.controllers.inner_iterations
    assert 0 < report.generated_tokens <= 5 * 16
    assert report.utterances < report.all_tokens <= report.utterances * 16
    assert set(report.seconds) >= {"expand", "groups", "gspo", "regret"}
    assert not equal(before, weights(made))
    assert made.parts.backend.generate([]) == []


def test_another_controller_may_play_the_dialogues(trainer):
    made = trainer({"controllers.train": False}, behaviour=AlwaysSpeak())
    report = made.step(1)
    assert report.speak_rate == 1.0
    assert report.infosets == 0


def test_a_lone_proposer_can_be_trained(trainer):
    made = trainer({"controllers.train": False, "dialogue.rounds": 1, "dialogue.n_agents": 1})
    report = made.step(1)
    assert (report.utterances, report.groups, report.speak_rate) == (2 * 4, 2, None)
    assert report.reviewer_reward is None


ANSWERS_FIRST = {"trainer.steps": 4, "trainer.answer_share": 0.5, "credit.answer_group_size": 6}


def test_proposers_answer_alone_first(trainer):
    made = trainer(ANSWERS_FIRST)
    alone = made.step(2)
    assert (alone.utterances, alone.groups, alone.speak_rate) == (2 * 6, 2, None)
    assert (alone.reviewer_reward, alone.infosets) == (None, 0)
    team = made.step(3)
    assert team.utterances > 2 * 16
    assert team.infosets > 0


def test_answers_alone_are_those_of_a_lone_proposer(trainer):
    lone = {"controllers.train": False, "dialogue.rounds": 1, "dialogue.n_agents": 1, "credit.group_size": 6}
    one, other = trainer(ANSWERS_FIRST), trainer(lone)
    of_the_team, of_the_lone = figures(one.step(1)), figures(other.step(1))
    del of_the_team["utility"], of_the_lone["utility"]  # a shorter dialogue has a smaller budget of tokens
    assert of_the_team == of_the_lone
    assert equal(weights(one), weights(other))


def test_utterances_that_are_not_the_policys_stop_the_training(trainer, monkeypatch):
    def corrupted(overrides=None) -> Trainer:
        made = trainer(overrides)
        generate = made.parts.backend.generate

        def shifted(requests):
            return [replace(said, logps=tuple(logp - 0.02 for logp in said.logps)) for said in generate(requests)]

        monkeypatch.setattr(made.parts.backend, "generate", shifted)
        return made

    made = corrupted()
    with pytest.raises(ParityFailed, match=r"step 1, policy 'shared': .* differ by 0.02 per token.*parity_tolerance"):
        made.step(1)
    assert made.version == 0
    assert corrupted({"backend.parity_tolerance": 0.01}).step(1).policy_version == 1


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_trains_on_numbers(trainer, tmp_path, dtype):
    """Whole models in float16 would be NaN after one step: AdamW's epsilon is 0 there."""
    made = trainer({"speakers.dtype": dtype, "gspo.learning_rate": 1e-5, "backend.parity_tolerance": 0.1})
    before = weights(made)
    report = made.step(1)
    assert report.gspo.optimiser_steps > 0
    assert all(torch.isfinite(tensor).all() for tensor in weights(made))
    assert not equal(before, weights(made))
    made.save(tmp_path, 1)


def test_questions_that_do_not_fit_teach_nothing_and_stop_nothing(trainer, tmp_path):
    made = trainer({"trainer.questions_per_step": 6})
    speakers = made.parts.training_speakers
    questions = made.parts.task.draw("train", 0, 40, seed=0)
    lengths = [
        len(speakers.prompt_ids(View(role=Role.PROPOSER, question=each.text, solution=None, review=None, seed=0)))
        for each in questions
    ]
    context = int(np.median(lengths)) + speakers.proposer_max_new_tokens
    made.parts = replace(made.parts, training_speakers=replace(speakers, context=context))
    report = made.step(1)
    assert report.failed_questions == ()
    assert 0 < report.groups < trainer({"trainer.questions_per_step": 6}).step(1).groups
    assert report.gspo.refused_minibatches == 0
    assert report.gspo.optimiser_steps > 0
    json.dumps(report.as_json(), allow_nan=False)


def test_an_engine_without_numbers_stops_training_before_a_checkpoint(trainer, monkeypatch):
    """A difference that is no number is not within any limit."""
    made = trainer()
    stats = made.parts.learner.update

    def flawed(samples, rng):
        return {name: replace(each, engine_logp_difference=math.nan) for name, each in stats(samples, rng).items()}

    monkeypatch.setattr(made.parts.learner, "update", flawed)
    with pytest.raises(ParityFailed, match="differ by nan"):
        made.step(1)


def test_the_same_settings_take_the_same_steps(trainer):
    one, two = trainer(), trainer()
    assert [figures(one.step(n)) for n in (1, 2)] == [figures(two.step(n)) for n in (1, 2)]
    assert equal(weights(one), weights(two))
    assert np.array_equal(one.tables.regret, two.tables.regret)
    other = trainer({"seed": 1})
    assert figures(other.step(1)) != figures(one.step(3))


def test_a_saved_trainer_goes_on_to_the_same_bits(trainer, tmp_path):
    whole = trainer()
    whole.step(1)
    whole.save(tmp_path, 1)
    resumed = trainer(weights=tmp_path)
    assert resumed.load(tmp_path) == 1
    assert equal(weights(whole), weights(resumed))
    assert figures(whole.step(2)) == figures(resumed.step(2))
    assert equal(weights(whole), weights(resumed))
    for name in ("regret", "memory", "strategy", "average"):
        assert np.array_equal(getattr(whole.tables, name), getattr(resumed.tables, name))


ADAPTERS = {"speakers.policy": "per_role", "speakers.lora_rank": 3, "gspo.learning_rate": 1e-2}


def adapters(trainer: Trainer) -> dict[str, list[torch.Tensor]]:
    held = trainer.parts.policy.weights
    return {name: [factor.detach().clone() for factor in held.parameters(name)] for name in held.names}


def test_a_step_trains_both_adapters_and_not_the_model(trainer):
    made = trainer({**ADAPTERS, "gspo.kl": 0.1, "trainer.questions_per_step": 3})
    before, whole = adapters(made), weights(made)
    report = made.step(1)
    assert list(report.gspo_by_policy) == ["proposer", "reviewer"]
    assert report.gspo is not None
    assert report.gspo.sequences == sum(stats.sequences for stats in report.gspo_by_policy.values())
    for name, stats in report.gspo_by_policy.items():
        assert stats.optimiser_steps > 0
        assert stats.ratio_first_deviation < 1e-6
        assert stats.engine_logp_difference_max < 1e-4  # each policy's own samples, scored by itself
        assert stats.kl is not None
        assert not equal(before[name], adapters(made)[name])
    changed = [not torch.equal(a, b) for a, b in zip(whole, weights(made), strict=True)]
    assert 0 < sum(changed) <= sum(len(factors) for factors in before.values())
    assert report.policy_version == 1


def test_saved_adapters_go_on_to_the_same_bits(trainer, tmp_path):
    whole = trainer(ADAPTERS)
    whole.step(1)
    whole.save(tmp_path, 1)
    assert not (tmp_path / "model.safetensors").exists()
    resumed = trainer(ADAPTERS, weights=tmp_path)
    assert resumed.load(tmp_path) == 1
    assert figures(whole.step(2)) == figures(resumed.step(2))
    assert equal(weights(whole), weights(resumed))


def test_kl_goes_back_to_the_beginnings_of_a_resumed_run(trainer, tmp_path):
    """Fine-tuned whole, the model before training is not the one in the checkpoint."""
    settings = {"gspo.kl": 0.1}
    whole = trainer(settings)
    whole.step(1)
    whole.save(tmp_path, 1)
    resumed = trainer(settings, weights=tmp_path)
    resumed.load(tmp_path)
    one, two = whole.step(2), resumed.step(2)
    assert figures(one) == figures(two)
    assert one.gspo is not None
    assert one.gspo.kl is not None
    assert one.gspo.kl > 1e-6
    assert equal(weights(whole), weights(resumed))


def test_weights_lie_aligned_wherever_they_were_loaded_from(trainer, tmp_path):
    """Kernels may round unaligned memory differently, and files hold tensors at any offset."""
    first = trainer()
    first.save(tmp_path, 0)
    for made in (first, trainer(weights=tmp_path)):
        assert all(parameter.data_ptr() % 64 == 0 for parameter in made.parts.policy.model.parameters())


def test_frozen_speakers_leave_more_questions_to_controllers_that_start_afresh(trainer):
    made = trainer({"trainer.steps": 3, "trainer.controller_steps": 2, "controllers.inner_iterations": 7})
    assert made.step(1).gspo is not None
    assert made.tables.iterations == 7
    before = weights(made)
    report = made.step(2)
    assert (report.gspo, report.groups, report.proposer_reward, report.policy_version) == (None, 0, None, 1)
    assert report.questions == 4
    assert report.utterances == 4 * 16
    assert equal(before, weights(made))
    assert made.tables.iterations == 7  # what was learned about other speakers is void
    assert made.step(3).regret_iterations == 14


def test_no_question_is_drawn_twice(trainer):
    made = trainer({"trainer.steps": 4, "trainer.controller_steps": 2})
    seen = [episode.question.id for number in range(1, 5) for episode in made._episodes(number)]
    assert len(seen) == len(set(seen)) == 2 + 2 + 4 + 4
    assert all("-train-" in one for one in seen)


@pytest.mark.parametrize("layer", ["credit", "controllers"])
def test_a_layer_that_does_not_train_stays_as_it_is(trainer, layer):
    made = trainer({f"{layer}.train": False})
    before = weights(made)
    report = made.step(1)
    assert equal(before, weights(made)) == (layer == "credit")
    assert (report.gspo is None) == (layer == "credit")
    assert (report.infosets == 0) == (layer == "controllers")


def test_settings_of_credit_reach_the_groups(trainer, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "tracer_agents.training.trainer.sample_groups",
        lambda *a, **named: seen.append(named) or sample_groups(*a, **named),
    )
    settings = {"group_size": 3, "reviewer": "uplift", "format_penalty": 0.25, "truncation_penalty": 0.75}
    trainer({f"credit.{name}": value for name, value in settings.items()} | {"credit.normalise_std": False}).step(1)
    assert seen == [
        {
            "agents": {0, 1},
            "group_size": 3,
            "penalties": Penalties(format=0.25, truncation=0.75),
            "uplift": True,
            "normalise_std": False,
            "reviews": True,
        }
    ]


def test_controllers_explore_in_training_only(trainer):
    made = trainer()
    made.step(1)
    state = initial(Rules(), "?")

    class Sure:
        def speak_probability(self, states) -> np.ndarray:
            return np.array([1.0, 0.0])

    assert Explorer(Sure(), 0.2).speak_probability([state, state]).tolist() == pytest.approx([0.9, 0.1])
    assert made.deployed(made.validation_trees()).play == "current"


@pytest.mark.parametrize("play", ["average", "greedy", "validated"])
def test_the_deployed_strategy_is_the_one_asked_for(trainer, play):
    made = trainer({"controllers.play": play})
    made.step(1)
    deployed = made.deployed(made.validation_trees())
    assert deployed.play == play or (play == "validated" and deployed.play in ("current", "average", "greedy"))


def test_training_teaches(trainer):
    """Proposals of the small model are nearly always wrong: its reviewers learn to say so."""
    made = trainer(
        {
            "trainer.steps": 15,
            "controllers.exploration": 1.0,
            "trainer.questions_per_step": 6,
            "credit.group_size": 8,
            "gspo.learning_rate": 2e-3,
            "gspo.clip_low": 0.2,
            "gspo.clip_high": 0.3,
        }
    )
    reward = [made.step(number).reviewer_reward for number in range(1, 16)]
    assert np.mean(reward[-3:]) > np.mean(reward[:3]) + 0.4  # pyright: ignore[reportArgumentType]


def test_questions_an_engine_did_not_finish_are_set_apart(trainer):
    """They are named in the report, and a step without any other stops the run."""
    made = trainer({"trainer.questions_per_step": 3})
    episodes = made._episodes(1)
    trees = expand(episodes, made.rules, _FailingFor(made.parts.speakers, {1}), made.parts.task.grade)
    whole, lost = set_apart(trees)
    assert [tree.episode for tree in whole] == [episodes[0], episodes[2]]
    assert [tree.episode for tree in lost] == [episodes[1]]
    assert set_apart(whole) == (whole, [])
    with pytest.raises(GenerationFailed, match="--resume"):
        set_apart(lost)


class _FailingFor:
    """Loses the reviews of some questions, counted from 0 in the order they are first met."""

    def __init__(self, speakers: Speakers, lost: set[int]) -> None:
        self._speakers, self._lost = speakers, lost
        self._met: dict[str, int] = {}

    def speak(self, requests: Sequence[SpeakRequest]) -> list[Utterance]:
        for request in requests:
            self._met.setdefault(request.episode.question.id, len(self._met))
        return [
            Utterance(text="", finish_reason=FinishReason.FAILED)
            if request.state.role is Role.REVIEWER and self._met[request.episode.question.id] in self._lost
            else said
            for request, said in zip(requests, self._speakers.speak(requests), strict=True)
        ]
