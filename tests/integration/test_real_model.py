"""A real pretrained model, SmolLM2-135M-Instruct, through every part that trains and measures.

It answers next to never: what is tested is its own chat template, its tokenizer and its texts. The weights come from a
package, by ``../shared/models/fetch.py``.
"""

import json
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tracer_agents.build import Parts, build
from tracer_agents.cli import main
from tracer_agents.config import Config, load_config
from tracer_agents.config.fitting import default_style
from tracer_agents.learners.batches import Sample, micro_batches
from tracer_agents.learners.objectives import GSPO
from tracer_agents.learners.policy import GSPOLearner
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.speakers.model import View
from tracer_agents.training.experiment import run_training
from tracer_agents.training.export import export_run
from tracer_agents.training.report import StepReport
from tracer_agents.training.stages import Silent
from tracer_env.dialogue import FinishReason, Role

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SETTINGS = {
    "task.options": {"level": 1},
    "dialogue.rounds": 3,
    "speakers.policy": "per_role",
    "speakers.lora_rank": 4,
    "speakers.device": "cpu",
    "speakers.proposer_max_new_tokens": 24,
    "speakers.reviewer_max_new_tokens": 16,
    "gspo.learning_rate": 1e-4,
    "gspo.optimiser_steps": 2,
    "credit.group_size": 4,
    "trainer.steps": 2,
    "trainer.questions_per_step": 2,
    "trainer.checkpoint_every": 1,
    "controllers.validation_questions": 1,
    "controllers.exploration": 1.0,
    "evaluation.questions": 2,
    "evaluation.greedy": False,
    "evaluation.baselines": False,
    "evaluation.certificate_questions": 0,
    "evaluation.checkpoint_questions": 0,
    "evaluation.bootstrap": 200,
}


@pytest.fixture(scope="module")
def config(smollm2) -> Config:
    """A short training of the model, an adapter for each role."""
    return load_config(overrides={**SETTINGS, "speakers.model": str(smollm2)})


@pytest.fixture(scope="module")
def parts(config) -> Parts:
    return build(config)


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory) -> RunDirectory:
    """Two steps, without a stop."""
    out = tmp_path_factory.mktemp("real") / "whole"
    run_training(config, out, resume=False, display=Silent())
    return RunDirectory(out)


def utterances(parts: Parts, count: int):
    question = parts.task.draw("train", 0, 1, seed=0)[0]
    views = [
        View(role=Role.PROPOSER, question=question.text, solution=None, review=None, seed=seed) for seed in range(count)
    ]
    return parts.training_speakers.complete(views)


def test_the_prompt_is_the_models_own_conversation(parts):
    tokenizer = parts.policy.tokenizer
    [utterance] = utterances(parts, 1)

    text = tokenizer.decode(utterance.generation.prompt_ids)

    assert text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert text.endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert text.count("<|im_start|>user\n") == 1


def test_what_is_trained_is_what_was_sampled(parts):
    tokenizer = parts.policy.tokenizer
    for utterance in utterances(parts, 3):
        generation = utterance.generation
        assert len(generation.logps) == len(generation.output_ids) == utterance.generated_tokens
        ended = generation.output_ids[-1] == tokenizer.eos_token_id
        assert ended == (utterance.finish_reason is FinishReason.STOP)
        assert tokenizer.decode(generation.output_ids, skip_special_tokens=True).strip() == generation.text.strip()


def test_the_loss_falls_on_a_fixed_batch(config, parts):
    """Two steps of GSPO for either role, with advantages by hand."""
    spoken = utterances(parts, 4)
    for policy in parts.policy.weights.names:
        samples = [
            Sample(
                prompt_ids=utterance.generation.prompt_ids,
                output_ids=utterance.generation.output_ids,
                logps_engine=utterance.generation.logps,
                role=Role.PROPOSER,
                advantage=advantage,
                policy=policy,
            )
            for utterance, advantage in zip(spoken, (1.0, -1.0, 1.0, -1.0), strict=True)
        ]
        learner = GSPOLearner(parts.policy.weights, policy, pad_id=parts.policy.pad_id, config=config.gspo)
        before = logps(parts, learner, samples, policy)
        learner.update(samples, np.random.default_rng(0))
        after = logps(parts, learner, samples, policy)
        unclipped = GSPO(clip_low=1.0, clip_high=1e9)
        advantage = torch.tensor([sample.advantage for sample in samples])
        start, end = (float(unclipped.loss(now[0], before[0], before[1], advantage).mean()) for now in (before, after))
        assert start == pytest.approx(0, abs=1e-6)
        assert end < -1e-4


def logps(parts: Parts, learner: GSPOLearner, samples: list[Sample], policy: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of the samples' tokens, and their mask, (B, T) each."""
    rows = np.arange(len(samples))
    [batch] = micro_batches(samples, rows, pad_id=parts.policy.pad_id, max_tokens=10**6, device=torch.device("cpu"))
    order = np.argsort(batch.rows)
    with torch.no_grad(), parts.policy.weights.active(policy):
        return learner.logps(batch)[order], batch.mask[order]


def test_engine_and_learner_agree_in_training(finished):
    rows = finished.metrics()
    trained = [row["gspo"] for row in rows if row["gspo"]]

    assert [row["step"] for row in rows] == [1, 2]
    assert trained
    assert all(figures["engine_logp_difference_max"] < 1e-3 for figures in trained)
    assert all(figures["ratio_first_deviation"] < 1e-6 for figures in trained)


class _StopsAfterOne(Silent):
    def step(self, report: StepReport, steps: int) -> None:
        raise KeyboardInterrupt


def test_a_stopped_run_goes_on_to_the_same_bits(config, finished, tmp_path):
    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        run_training(config, stopped, resume=False, display=_StopsAfterOne())

    run_training(config, stopped, resume=True, display=Silent())

    whole, resumed = (figures(run) for run in (finished, RunDirectory(stopped)))
    assert whole == resumed
    names = ("transcripts.jsonl", "checkpoints/step_2/adapters/proposer/adapter_model.safetensors")
    for name in names:
        assert (finished.folder / name).read_bytes() == (stopped / name).read_bytes()


def figures(run: RunDirectory) -> list[str]:
    return [json.dumps(row | {"timing": None}) for row in run.metrics()]


def test_what_is_exported_is_what_was_trained(config, finished, tmp_path):
    folders = export_run(finished.folder, tmp_path / "out")
    with build(config, weights=finished.checkpoints.latest()) as trained:
        for name, folder in zip(trained.policy.weights.names, folders, strict=True):
            plain: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
            tokenizer = AutoTokenizer.from_pretrained(folder)
            ids = tokenizer("Ana has 12 pens. How many pens are in 3 such boxes?", return_tensors="pt")["input_ids"]
            with torch.no_grad(), trained.policy.weights.active(name):
                expected = trained.policy.model(input_ids=ids).logits
                assert torch.allclose(plain(ids).logits, expected, atol=1e-4)
            assert tokenizer.chat_template == trained.policy.tokenizer.chat_template


def test_an_evaluation_without_a_preset_is_right_for_an_instruct_model(smollm2, tmp_path):
    """Style, limits and template are the model's and the task's, and what is measured is on disk."""
    data, out = tmp_path / "questions.jsonl", tmp_path / "out"
    rows = [{"question": f"What is {n} plus 2?", "answer": f"#### {n + 2}"} for n in (3, 4)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["eval", "--model", str(smollm2), "--task", "gsm8k", "--data", str(data), "--out", str(out)]
    words += ["--dialogue.rounds", "1", "--evaluation.baselines", "false", "--speakers.device", "cpu"]

    assert main(words) == 0

    run = RunDirectory(out)
    config, summary = run.config(), run.summary()
    assert (config.style, config.limits.proposer, config.limits.reviewer) == (
        default_style(config.speakers.model),
        512,
        512,
    )
    assert summary["after"]["n"] == len(rows)
    turns = [turn for records in run.records().values() for record in records for turn in record.turns]
    assert len(turns) == 2 * len(rows)  # sampled, and greedy
    assert all(0 < turn.generated_tokens <= 512 for turn in turns)
    assert any(turn.finish_reason is FinishReason.STOP for turn in turns)
