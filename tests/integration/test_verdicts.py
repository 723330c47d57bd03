"""A run whose reviews are one token, stopped and resumed, is the run that was never stopped."""

import json

import pytest
import torch
from safetensors.torch import load_file

from tracer_agents.training.experiment import run_training
from tracer_agents.training.stages import Silent


class _Stops(Silent):
    """Ends the process, as it were, after a step."""

    def step(self, report, steps: int) -> None:
        if report.step == 3:
            raise KeyboardInterrupt


def test_stopped_and_resumed_it_is_the_run_that_was_never_stopped(small_config, tmp_path):
    config = small_config({"speakers.review": "verdict", "dialogue.rounds": 3, "credit.verdict_epochs": 2})
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run_training(config, whole, resume=False, display=Silent())
    with pytest.raises(KeyboardInterrupt):
        run_training(config, stopped, resume=False, display=_Stops())  # its last checkpoint is of step 2
    run_training(config, stopped, resume=True, display=Silent())

    metrics = [
        [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()] for run in (whole, stopped)
    ]
    for one, other in zip(*metrics, strict=True):
        assert one | {"timing": None} == other | {"timing": None}
        assert one["verdicts"]["shared"]["samples"] > 0
    assert (whole / "transcripts.jsonl").read_bytes() == (stopped / "transcripts.jsonl").read_bytes()
    turns = [
        turn
        for row in (whole / "transcripts.jsonl").read_text().splitlines()
        for turn in json.loads(row)["turns"]
        if turn["role"] == "reviewer" and turn["text"] is not None
    ]
    assert turns
    assert all(turn["generated_tokens"] == 1 and 0 < turn["p_right"] < 1 for turn in turns)
    one, other = (load_file(run / "checkpoints" / "step_4" / "model.safetensors") for run in (whole, stopped))
    assert all(torch.equal(one[name], other[name]) for name in one)
