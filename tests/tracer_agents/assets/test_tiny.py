"""The shipped models: they load as they were saved, stop by themselves, and are mid-range in every role."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import tracer_agents
from tracer_agents.build import build
from tracer_agents.config import load_config
from tracer_agents.controllers.fixed import AlwaysSpeak
from tracer_agents.evaluation.play import draw_episodes, play_team
from tracer_agents.speakers.prompts import prompts_for
from tracer_env.dialogue import Role, Rules
from tracer_env.grading.verdict import parse_verdict
from tracer_env.tasks.arithmetic import Arithmetic

ASSETS = Path(tracer_agents.__file__).parent / "assets"
FOLDER = ASSETS / "tracer-tiny"
TASK = Arithmetic()
MAX_NEW_TOKENS = 80


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def say(tokenizer):
    """Completions of tiny prompts: (texts, whether each stopped by itself)."""
    model = AutoModelForCausalLM.from_pretrained(FOLDER).eval()

    def answer(asked, do_sample):
        prompts = [
            tokenizer.apply_chat_template(
                prompts_for("tiny").messages(answer_format="", **one), add_generation_prompt=True, tokenize=False
            )
            for one in asked
        ]
        batch = tokenizer(prompts, padding=True, add_special_tokens=False, return_tensors="pt")
        torch.manual_seed(0)
        sampling = {"do_sample": True, "temperature": 1.0, "top_k": 0} if do_sample else {"do_sample": False}
        with torch.inference_mode():
            out = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                max_new_tokens=MAX_NEW_TOKENS,
                **sampling,
            )[:, batch["input_ids"].shape[1] :]
        return tokenizer.batch_decode(out, skip_special_tokens=True), (out == tokenizer.eos_token_id).any(dim=1)

    return answer


@pytest.mark.parametrize("folder", [FOLDER, ASSETS / "tracer-small"], ids=lambda folder: folder.name)
def test_folder_is_small(folder):
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 8_000_000


def test_the_second_model_has_the_same_tokenizer_four_times_the_parameters_and_is_better():
    folder = ASSETS / "tracer-small"
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (folder / name).read_bytes() == (FOLDER / name).read_bytes()
    with build(load_config(preset="pair")) as parts:
        cheap, dear = (model.policy.model.num_parameters() for model in parts.models)
        assert 3.5 < dear / cheap < 4.5
        episodes = draw_episodes(parts.task, "test", 0, 192, seed=5, phase="test")
        right = []
        for agent in (0, 1):
            rules = Rules(rounds=1, first_agent=agent)
            played = play_team(
                episodes, rules, parts.speakers, AlwaysSpeak(), parts.task, method="m", phase="p", seed=0
            )
            right.append(sum(record.correct for record in played) / len(played))
            assert sum(record.turns[0].finish_reason == "stop" for record in played) > 0.97 * len(played)
    assert right[1] > right[0] + 0.05


def test_tokenizer_is_the_trained_one_and_lossless(tokenizer):
    assert tokenizer.tokenize("24+13=37") == ["2", "4", "+", "1", "3", "=", "3", "7"]
    for text in ("24+13=37 ok\n#### 37", "Verdict: WRONG", "Ünïcode → \0 bytes \n\n"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_chat_template_renders_turns_with_control_tokens(tokenizer):
    shown = prompts_for("tiny").messages(question="Q", role=Role.REVIEWER, solution="S", review=None, answer_format="")
    rendered = tokenizer.apply_chat_template(shown, add_generation_prompt=True, tokenize=False)
    assert rendered == "<|user|>Q<|end|><|assistant|>S<|end|><|user|>Review.<|end|><|assistant|>"
    ids = tokenizer(rendered, add_special_tokens=False)["input_ids"]
    assert [ids.count(tokenizer.convert_tokens_to_ids(mark)) for mark in ("<|user|>", "<|assistant|>")] == [2, 2]
    assert ids.count(tokenizer.eos_token_id) == 3


def test_every_role_works_and_stops(say):
    problems = TASK.problems("test", 0, 96, seed=11)
    solve = [{"question": one.text, "role": Role.PROPOSER, "solution": None, "review": None} for one in problems]
    solutions, stopped = say(solve, True)
    right = [TASK.parse(text) == one.answer for one, text in zip(problems, solutions, strict=True)]
    assert stopped.float().mean() > 0.97
    assert 0.25 < sum(right) / len(right) < 0.9
    review = [{**one, "role": Role.REVIEWER, "solution": text} for one, text in zip(solve, solutions, strict=True)]
    reviews, stopped = say(review, True)
    assert stopped.float().mean() > 0.97
    fits = [(parse_verdict(text) == "RIGHT") == ok for text, ok in zip(reviews, right, strict=True)]
    assert sum(fits) / len(fits) > 0.6
    revise = [
        {**one, "solution": solution, "review": text}
        for one, solution, text in zip(solve, solutions, reviews, strict=True)
    ]
    revised, _ = say(revise, True)
    better = [TASK.parse(text) == one.answer for one, text in zip(problems, revised, strict=True)]
    assert sum(better) > sum(right)
