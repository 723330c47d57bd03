"""Export: plain model folders that say what the trained policy says, with a card of true figures."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tracer_agents.build import load_policy
from tracer_agents.cli import main
from tracer_agents.config import load_config
from tracer_agents.errors import RunError
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.training.experiment import run_training
from tracer_agents.training.export import export_run
from tracer_agents.training.stages import Silent

BRIEF = {
    "evaluation.questions": 2,
    "evaluation.greedy": False,
    "evaluation.certificate_questions": 0,
    "evaluation.checkpoint_questions": 0,
    "trainer.steps": 1,
    "gspo.learning_rate": 1e-2,
}
ADAPTERS = {"speakers.policy": "per_role", "speakers.lora_rank": 3}


@pytest.fixture(scope="module")
def trained(small_settings, tmp_path_factory):
    """Makes a finished run once for each choice of settings."""
    made: dict[str, RunDirectory] = {}

    def run(overrides: dict) -> RunDirectory:
        key = json.dumps(overrides, sort_keys=True)
        if key not in made:
            folder = tmp_path_factory.mktemp("exported") / "run"
            config = load_config(overrides={**small_settings, **BRIEF, **overrides})
            run_training(config, folder, resume=False, display=Silent())
            made[key] = RunDirectory(folder)
        return made[key]

    return run


def logits(model, tokenizer) -> torch.Tensor:
    ids = tokenizer("Ana has 12 pens. How many?", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model(ids).logits


@pytest.mark.parametrize("overrides", [{}, ADAPTERS], ids=["whole", "adapters"])
def test_a_plain_folder_says_what_the_policy_says(trained, tmp_path, overrides):
    run = trained(overrides)
    policy = load_policy(run.config(), run.checkpoints.latest())

    folders = export_run(run.folder, tmp_path / "out")

    assert [folder.name for folder in folders] == (["proposer", "reviewer"] if overrides else ["out"])
    for name, folder in zip(policy.weights.names, folders, strict=True):
        plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        with policy.weights.active(name):
            expected = logits(policy.model, policy.tokenizer)
        assert torch.allclose(logits(plain, AutoTokenizer.from_pretrained(folder)), expected, atol=1e-4)
        assert load_config(overrides={"speakers.model": str(folder)}).style == run.config().style == "tiny"


def test_the_card_tells_the_figures_of_the_run(trained, tmp_path):
    run = trained({})

    [folder] = export_run(run.folder, tmp_path / "out")

    card = (folder / "README.md").read_text("utf-8")
    after = run.summary()["after"]
    assert f"| the team | {after['accuracy']:.3f} [" in card
    assert f"{after['generated_tokens_per_question']:.1f} |" in card
    assert "| speaks as | every proposer, every reviewer |" in card
    assert "1 of 1 steps" in card
    assert "\n\n\n" not in card


def test_a_run_that_has_not_ended_says_so_in_its_card(trained, tmp_path):
    run = trained({})
    ended = run.folder / "summary.json"
    hidden = ended.rename(tmp_path / "summary.json")
    try:
        [folder] = export_run(run.folder, tmp_path / "out")
    finally:
        hidden.rename(ended)

    assert "Not measured" in (folder / "README.md").read_text("utf-8")


def test_a_folder_with_something_in_it_is_left_alone(trained, tmp_path):
    kept = tmp_path / "kept.txt"
    kept.write_text("mine")

    with pytest.raises(RunError, match="holds something already"):
        export_run(trained({}).folder, tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_the_command_prints_the_folders(trained, tmp_path, capsys):
    out = tmp_path / "out"

    assert main(["export", str(trained({}).folder), "--out", str(out)]) == 0

    assert capsys.readouterr().out == f"{out}\n"
    assert main(["export", str(tmp_path / "nothing"), "--out", str(tmp_path / "other")]) == 1
    assert not (tmp_path / "other").exists()
