"""The other side of ``benchmarks.peers.official``: the released code, from a checkout, with the embedded model.

Its own loops run as they are. What it lets its users set is set: the model, questions in a file, and functions for
prompts, answers and rewards, which are those that the embedded model was trained on.
"""

import argparse
import importlib
import json
import os
import re
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from tracer_agents.build import TINY
from tracer_agents.speakers.prompts import prompts_for
from tracer_env.dialogue import Role, Verdict
from tracer_env.grading.verdict import parse_verdict
from tracer_env.tasks.arithmetic import Arithmetic
from tracer_env.tasks.base import Split

TASK = Arithmetic(level="3")
_CONTEXT = re.compile(
    r"QUESTION:\n(?P<question>.*?)(?:\n\nCURRENT PENDING SOLUTION:\n(?P<solution>.*?))?(?:\n\nRECENT HISTORY:\n.*)?\Z",
    re.DOTALL,
)
_TURN = re.compile(r"\[Round \d+ \| agent\d+ \| (proposal|review)\]\n(.*?)(?=\n\n\[Round |\Z)", re.DOTALL)


@cache
def _tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(str(TINY))


def prompt(role: str, context: str, **_: Any) -> str:
    """What the embedded model is shown: the question, the pending solution, and the last review of it."""
    parts = _CONTEXT.search(context)
    assert parts is not None  # its contexts hold a question
    turns = _TURN.findall(context)
    review = turns[-1][1] if turns and turns[-1][0] == "review" else None
    messages = prompts_for("tiny").messages(
        question=parts["question"],
        role=Role.REVIEWER if role == "reviewer" else Role.PROPOSER,
        solution=parts["solution"] or ("" if role == "reviewer" else None),
        review=review,
        answer_format=TASK.answer_format,
    )
    return str(_tokenizer().apply_chat_template(messages, add_generation_prompt=True, tokenize=False))


def extract(text: str | None, **_: Any) -> str | None:
    """The answer of a proposal."""
    return TASK.parse(text or "")


def reward(role: str, text: str, default: float, **known: Any) -> float:
    """Its own of proposals; of reviews the same in the embedded model's words."""
    verdict = parse_verdict(text)
    if role != "reviewer" or verdict is None:
        return default
    right = str(known["pending_answer"]) == str(known["ground_truth"])
    return 1.0 if verdict is (Verdict.RIGHT if right else Verdict.WRONG) else -1.0


class Counted:
    """A model's ``generate`` that counts utterances and tokens."""

    def __init__(self) -> None:
        self.utterances = self.tokens = 0

    def of(self, model: Any) -> None:
        """Counts from now on what a model generates."""
        generate = model.generate

        def counted(*arguments: Any, **named: Any) -> Any:
            made = generate(*arguments, **named)
            self.utterances += len(made)
            self.tokens += int(made.shape[0] * (made.shape[1] - named["input_ids"].shape[1]))
            return made

        model.generate = counted


def measure(checkout: Path, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Its training after a dialogue that warms up, and its evaluation with what its controllers learned."""
    sys.path.insert(0, str(checkout))
    config, runtime, trainer, data = (
        importlib.import_module(f"src.{name}") for name in ("config", "runtime", "trainer", "data_loader")
    )
    here = "benchmarks.peers.official_theirs"
    chosen = {
        "num_agents": 2,
        "train_rounds": options.rounds,
        "eval_rounds": options.rounds,
        "agent_model": str(TINY),
        "custom_prompt_function": f"{here}:prompt",
        "custom_answer_extractor": f"{here}:extract",
        "custom_reward_function": f"{here}:reward",
        "generation": {"max_new_tokens": 80, "temperature": 1.0, "num_candidates": options.candidates},
    }
    team = runtime.Runtime.build(config.load_config(overrides=chosen))
    torch.manual_seed(0)

    def samples(split: Split, start: int, count: int) -> list[Any]:
        path = options.folder / f"{split}-{start}.jsonl"
        rows = [{"question": each.text, "answer": each.gold} for each in TASK.draw(split, start, count, seed=0)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return data.load_dataset(str(path), split)

    learning = {"num_rounds": options.rounds, "update_controller": True, "use_average": False, "greedy": False}
    playing = {"num_rounds": options.rounds, "update_controller": False, "use_average": True, "greedy": True}
    policies = [policy for agent in team.agents for policy in (agent.proposer, agent.reviewer)]
    for policy in policies:
        policy._ensure_gspo_training()  # its models and adapters are made before the time runs
    trainer._run_split(team, samples("train", 1000, 1), **learning)
    counted = Counted()
    for policy in policies:
        counted.of(policy._model)
    figures = {}
    phases: tuple[tuple[str, Split, int, dict[str, Any]], ...] = (
        ("train", "train", options.train, learning),
        ("eval", "test", options.eval, playing),
    )
    for name, split, count, how in phases:
        drawn, counted.utterances, counted.tokens = samples(split, 0, count), 0, 0
        began = time.process_time()
        trainer._run_split(team, drawn, **how)
        figures[name] = {
            "seconds": time.process_time() - began,
            "dialogues": count,
            "utterances": counted.utterances,
            "tokens": counted.tokens,
        }
    return figures


def main() -> int:
    """The command of this side; the last row that it prints is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="where questions go")
    for name in ("rounds", "candidates", "train", "eval"):
        parser.add_argument(f"--{name}", type=int, required=True)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(1)
    figures = measure(options.checkout, options)
    sys.stdout.write("\n" + json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
