"""What ``tracer export`` writes is an ordinary model: SGLang serves it, and says what transformers says with it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tracer_agents.build import TINY, build_task
from tracer_agents.cli import main
from tracer_agents.config import load_config
from tracer_agents.generation.sglang.server import Server, running
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.training.experiment import run_training
from tracer_agents.training.stages import Silent

pytestmark = [pytest.mark.sglang, pytest.mark.timeout(600)]

TOKENS, QUESTIONS = 64, 16


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """Three steps of an adapter on the shipped model, merged into it."""
    out = tmp_path_factory.mktemp("trained")
    overrides = {
        "speakers.device": "cpu",
        "speakers.lora_rank": 4,
        "gspo.learning_rate": 3e-3,  # so that three steps can be seen
        "trainer.steps": 3,
        "trainer.controller_steps": 0,
        "trainer.questions_per_step": 4,
        "trainer.checkpoint_every": 3,
        "controllers.validation_questions": 4,
        "evaluation.questions": 4,
        "evaluation.baselines": False,
        "evaluation.greedy": False,
        "evaluation.certificate_questions": 0,
        "evaluation.checkpoint_questions": 0,
        "evaluation.bootstrap": 200,
    }
    run_training(load_config(preset="demo-paper", overrides=overrides), out / "run", resume=False, display=Silent())
    assert sum(row["gspo"]["optimiser_steps"] for row in RunDirectory(out / "run").metrics()) > 0
    assert main(["export", str(out / "run"), "--out", str(out / "model")]) == 0
    return out / "model"


@pytest.fixture(scope="module")
def serving(spec, exported, tmp_path_factory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("wb") as file, running(spec(exported), log=file) as server:
        yield server


def conversations() -> list[list[dict[str, str]]]:
    """First turns on training questions."""
    task = build_task(load_config(preset="demo-paper"))
    return [[{"role": "user", "content": each.text}] for each in task.draw("train", 0, QUESTIONS, seed=0)]


def greedily(folder: Path) -> list[str]:
    """What transformers alone says with the folder."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    texts = []
    for messages in conversations():
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.no_grad():
            ids = model.generate(**inputs, do_sample=False, max_new_tokens=TOKENS)[0]
        texts.append(tokenizer.decode(ids[inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip())
    return texts


def test_the_server_says_what_transformers_says(serving, exported):
    expected = greedily(exported)
    answers = []
    for messages in conversations():
        body = {"model": "any", "messages": messages, "temperature": 0, "max_tokens": TOKENS}
        answer = httpx.post(f"{serving.spec.url}/v1/chat/completions", json=body, timeout=120, trust_env=False).json()
        answers.append(answer["choices"][0]["message"]["content"].strip())
    assert sum(a == b for a, b in zip(answers, expected, strict=True)) >= QUESTIONS - 1  # a tie may fall either way
    assert any(text != untrained for text, untrained in zip(expected, greedily(TINY), strict=True))
