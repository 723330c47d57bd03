"""What the doctor says of memory, and what a server is to load."""

import pytest

from tracer_agents.build import TINY, build, load_policy
from tracer_agents.config import load_config
from tracer_agents.doctor import _shape, examine_setup, served_model
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.training.trainer import Trainer


def memory(**sections) -> str:
    settings = {"task.name": "gsm8k", "speakers.device": "cpu"} | {
        f"{section}.{name}": value for section, values in sections.items() for name, value in values.items()
    }
    config = load_config(overrides=settings)
    [finding] = [finding for finding in examine_setup(config) if finding.name.startswith("memory")]
    return finding.detail


def test_memory_of_fine_tuning_counts_weight_gradient_and_moments():
    assert "the learner needs 113.5 GiB (float32, AdamW)" in memory(speakers={"model": "Qwen/Qwen2.5-7B-Instruct"})


def test_memory_of_adapters_is_little_more_than_the_frozen_models():
    speakers = {"model": "Qwen/Qwen2.5-7B-Instruct", "policy": "per_role", "lora_rank": 32, "dtype": "bfloat16"}
    assert "the learner needs 16.6 GiB (bfloat16, frozen, and 2 adapters of rank 32 in float32)" in memory(
        speakers=speakers
    )


def test_the_shape_counts_an_adapters_parameters(small_folder, small_config):
    """Against PEFT's own."""
    weights = load_policy(small_config({"speakers.lora_rank": 5})).weights
    shape = _shape(str(small_folder))
    assert shape is not None
    assert 5 * shape.layers * shape.linear_width == sum(factor.numel() for factor in weights.parameters("shared"))


@pytest.mark.parametrize("rank", [None, 3])
def test_a_run_is_served_by_its_checkpoint_or_by_the_model_under_its_adapters(small_config, tmp_path, rank):
    config = small_config({"speakers.lora_rank": rank})
    trainer = Trainer(config, build(config))
    with RunDirectory.create(tmp_path / "run", config) as run:
        run.checkpoints.save(0, lambda folder: trainer.save(folder, 0))
        expected = str(run.checkpoints.latest()) if rank is None else config.speakers.model
    assert served_model(str(tmp_path / "run")) == expected
    assert served_model("tiny") == str(TINY)
    assert served_model("OWNER/NAME") == "OWNER/NAME"
