"""The shipped model: it loads as it was saved, stops by itself, and is mid-range in every role."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import tracer_agents
from tracer_agents.speakers.prompts import prompts_for
from tracer_env.dialogue import Role
from tracer_env.grading.verdict import parse_verdict
from tracer_env.tasks.arithmetic import Arithmetic

FOLDER = Path(tracer_agents.__file__).parent / "assets" / "tracer-tiny"
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


def test_folder_is_small():
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= 8_000_000


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
