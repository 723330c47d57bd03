"""Measures an embedded model in every role and writes its model card."""

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tiny_demonstrations import TASK, Mix, truth
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from tracer_agents.evaluation.metrics import review_rates
from tracer_agents.speakers.prompts import prompts_for
from tracer_env.dialogue import Role, Verdict
from tracer_env.grading.verdict import parse_verdict
from tracer_env.tasks.arithmetic import Arithmetic

MAX_NEW_TOKENS = 80  # the longest demonstration of the default level takes 64, end token included
Figures = dict[str, float]


@dataclass(slots=True)
class Cost:
    """What training took so far: optimiser steps, tokens with padding, wall-clock seconds."""

    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What the card says of how the model came about; ``falling``: whether its rate fell to zero at the end."""

    name: str
    falling: bool
    mix: Mix
    level: int | str
    cost: Cost
    seed: int


@torch.inference_mode()
def generate(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    asked: Sequence[dict[str, Any]],
    *,
    temperature: float,
    seed: int,
    rows: int = 256,
) -> list[str]:
    """Completions of the ``tiny`` prompts, in order; ``asked`` holds the arguments of ``messages``."""
    torch.manual_seed(seed)
    prompts = [
        tokenizer.apply_chat_template(
            prompts_for("tiny").messages(answer_format=TASK.answer_format, **request),
            add_generation_prompt=True,
            tokenize=False,
        )
        for request in asked
    ]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    completions = [""] * len(prompts)
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    for start in range(0, len(order), rows):
        chunk = order[start : start + rows]
        batch = tokenizer([prompts[i] for i in chunk], padding=True, add_special_tokens=False, return_tensors="pt")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                max_new_tokens=MAX_NEW_TOKENS,
                **sampling,
            )
        texts = tokenizer.batch_decode(output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        for i, text in zip(chunk, texts, strict=True):
            completions[i] = text
    return completions


def evaluate(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    *,
    count: int,
    seed: int,
    level: int | str,
    tries: int,
) -> Figures:
    """Accuracies in every role on ``count`` validation problems that no training saw; rates in 0 … 1.

    ``tries`` is how many solutions are sampled for the share of problems with at least one right.
    """
    model.eval()
    problems = Arithmetic(level).problems("validation", 0, count, seed=seed)
    ask = [{"question": problem.text, "role": Role.PROPOSER, "solution": None, "review": None} for problem in problems]

    def right(texts: Sequence[str]) -> list[bool]:
        return [truth(problem, text) is Verdict.RIGHT for problem, text in zip(problems, texts, strict=True)]

    def say(requests: list[dict[str, Any]], temperature: float = 1.0, seed: int = seed) -> list[str]:
        return generate(model, tokenizer, requests, temperature=temperature, seed=seed)

    solutions = say(ask)
    solved = right(solutions)
    samples = [solved, *(right(say(ask, seed=seed + k)) for k in range(1, tries))]
    reviews = say(
        [{**request, "role": Role.REVIEWER, "solution": text} for request, text in zip(ask, solutions, strict=True)]
    )
    revisions = say(
        [
            {**request, "solution": solution, "review": review}
            for request, solution, review in zip(ask, solutions, reviews, strict=True)
        ]
    )
    figures = {
        "solve_greedy": _mean(right(say(ask, 0.0))),
        "solve_any": _mean([any(of_problem) for of_problem in zip(*samples, strict=True)]),
        "tries": tries,
        "questions": count,
        **_proposer_figures(solutions, solved),
        **_reviewer_figures(reviews, solved),
        **_revision_figures(solved, [parse_verdict(review) for review in reviews], right(revisions)),
    }
    model.train()
    return {name: round(float(value), 4) for name, value in figures.items()}


def _proposer_figures(solutions: Sequence[str], solved: Sequence[bool]) -> Figures:
    worked = [right for right, text in zip(solved, solutions, strict=True) if "=" in text]
    direct = [right for right, text in zip(solved, solutions, strict=True) if "=" not in text]
    return {
        "solve_sampled": _mean(solved),
        "worked_share": len(worked) / len(solved),
        "worked_accuracy": _mean(worked),
        "direct_accuracy": _mean(direct),
    }


def _reviewer_figures(reviews: Sequence[str], solved: Sequence[bool]) -> Figures:
    verdicts = [parse_verdict(text) for text in reviews]
    rates = review_rates(zip(solved, verdicts, strict=True))
    fits = [(verdict is Verdict.RIGHT) == right for verdict, right in zip(verdicts, solved, strict=True)]
    checked = [fit for fit, text in zip(fits, reviews, strict=True) if "=" in text]
    return {
        "review_sensitivity": float("nan") if rates.sensitivity is None else rates.sensitivity,
        "review_specificity": float("nan") if rates.specificity is None else rates.specificity,
        "review_unparsed": _mean([verdict is None for verdict in verdicts]),
        "checked_share": len(checked) / len(reviews),
        "checked_accuracy": _mean(checked),
    }


def _revision_figures(solved: Sequence[bool], verdicts: Sequence[Verdict | None], revised: Sequence[bool]) -> Figures:
    played = list(zip(solved, verdicts, revised, strict=True))

    def after(right: bool, verdict: Verdict) -> float:
        """Accuracy of the revisions of right or wrong solutions that were given this verdict."""
        return _mean([later for earlier, given, later in played if earlier == right and given is verdict])

    return {
        "revise_wrong_called_wrong": after(False, Verdict.WRONG),
        "revise_wrong_called_right": after(False, Verdict.RIGHT),
        "revise_right_called_right": after(True, Verdict.RIGHT),
        "revise_right_called_wrong": after(True, Verdict.WRONG),
        "propose_review_revise": _mean(
            [later if given is Verdict.WRONG else earlier for earlier, given, later in played]
        ),
        "always_revise": _mean(revised),
    }


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else float("nan")


_CARD = """\
# {name}

A causal language model of {parameters:,} parameters that solves, reviews and revises short arithmetic stories. {place}
It knows nothing else; outside its task its output is noise.

## Task
The `arithmetic` task, level {level} by default: a quantity changes two to four times; the answer is the quantity at the
end. In every role the model continues a conversation in the prompt style `tiny`: the question is answered by a
solution, `Review.` by a review that ends with `Verdict: RIGHT` or `Verdict: WRONG`, `Revise.` by a new solution.
Solutions end with `#### <number>`. {max_new_tokens} new tokens are enough for any role.

## Measured
On {count} questions of the validation split, which no training sees (splits are disjoint by calculation, not by
wording), sampled at temperature 1 unless said otherwise. "Wrong" and "right" are the model's own first solutions,
reviewed and revised by the model itself.

| role | figure | value |
|---|---|---|
{rows}

## Where the room to learn comes from
No error was injected: every text that the model was trained to say is right. Wrong solutions and mistaken reviews
occur in the training data only as what another agent said, without loss; in the last stage half of the dialogues
quote the model's own. Three things leave room, and a gain by reinforcement learning mixes them:

- **Habit.** {direct:.0%} of the demonstrated solutions are the answer alone, {snap:.0%} of the reviews the verdict
  alone; the rest work everything out, a line a calculation. The model answers at once far more often than it was
  shown ({direct_share:.0%} of its solutions: short demonstrations are batched together, where each token weighs
  more) and is then right {direct_accuracy:.1%} of the time. If it only ever worked solutions out, sampled accuracy
  would be about {worked_accuracy:.2f} instead of {solve_sampled:.2f}: that much is learning to show the work.
- **Sharpening.** {sharpening}
- **Calculating.** What remains wrong at temperature 0.

## Data and training
Procedurally generated problems of the training split, levels {levels}; the tokenizer (byte-level
BPE, {vocabulary} tokens, single digits) is trained on such texts too. {steps:,} optimiser steps, {tokens:,} tokens
with padding, {minutes:.0f} minutes on {threads} thread{s} of a machine with {machine}; seed {seed}. Made by
`scripts/train_tiny.py --size {size}`, which writes this page.
"""

_PLACES = {
    "tracer-tiny": """It is
the embedded default of TRACER: small enough to train on a laptop's CPU, and weak on purpose, so that there is room
to learn.""",
    "tracer-small": """It is
the strong agent of TRACER's preset `pair`, beside `tracer-tiny`: a token of it costs about four times as much.
Both have the same tokenizer and prompts.""",
}
_SHARPENING = {
    False: "Training stopped early, at a rate that was never lowered, which leaves a flat distribution.",
    True: "Training stopped early; the rate fell to zero over the final stage, which leaves a sharp distribution.",
}

_ROWS = (
    ("proposer", "accuracy, sampled", "solve_sampled"),
    ("proposer", "accuracy, greedy", "solve_greedy"),
    ("proposer", "at least one right of {tries} samples", "solve_any"),
    ("proposer", "share of solutions that are worked out", "worked_share"),
    ("proposer", "accuracy of those", "worked_accuracy"),
    ("proposer", "accuracy of immediate answers", "direct_accuracy"),
    ("reviewer", "sensitivity: wrong called WRONG", "review_sensitivity"),
    ("reviewer", "specificity: right called RIGHT", "review_specificity"),
    ("reviewer", "no verdict", "review_unparsed"),
    ("reviewer", "share of reviews that recompute", "checked_share"),
    ("reviewer", "accuracy of their verdicts", "checked_accuracy"),
    ("reviser", "right after a wrong solution called WRONG", "revise_wrong_called_wrong"),
    ("reviser", "right after a wrong solution called RIGHT", "revise_wrong_called_right"),
    ("reviser", "right after a right solution called RIGHT", "revise_right_called_right"),
    ("reviser", "right after a right solution called WRONG", "revise_right_called_wrong"),
    ("team", "accuracy: propose, review, revise if called WRONG", "propose_review_revise"),
    ("team", "accuracy: propose, review, always revise", "always_revise"),
)


def write_card(folder: Path, measured: Figures, model: LlamaForCausalLM, made: Made) -> None:
    """Writes the folder's README from what was measured."""
    threads = torch.get_num_threads()
    (folder / "README.md").write_text(
        _CARD.format(
            name=made.name,
            size=made.name.removeprefix("tracer-"),
            place=_PLACES[made.name],
            sharpening=_SHARPENING[made.falling],
            parameters=sum(weight.numel() for weight in model.parameters()),
            vocabulary=model.config.vocab_size,
            level=made.level,
            max_new_tokens=MAX_NEW_TOKENS,
            count=int(measured["questions"]),
            rows="\n".join(
                f"| {role} | {figure.format(tries=int(measured['tries']))} | {measured[name]:.3f} |"
                for role, figure, name in _ROWS
            ),
            direct_share=1 - measured["worked_share"],
            direct_accuracy=measured["direct_accuracy"],
            worked_accuracy=measured["worked_accuracy"],
            solve_sampled=measured["solve_sampled"],
            direct=made.mix.direct,
            snap=made.mix.snap,
            levels=", ".join(f"{of_mix} ({weight:.0%})" for of_mix, weight in made.mix.levels.items()),
            steps=made.cost.steps,
            tokens=made.cost.tokens,
            minutes=made.cost.seconds / 60,
            threads=threads,
            s="" if threads == 1 else "s",
            machine=_processor(),
            seed=made.seed,
        ),
        encoding="utf-8",
    )


def _processor() -> str:
    """The processor's model name where the system tells, else its architecture."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else []
    return names[0].strip() if names else platform.machine()
