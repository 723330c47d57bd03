"""A model's reviews of its recorded solutions: ``python -m benchmarks.studies.reviews RUN --out FILE``.

RUN is a run or an evaluation by a language model. Its first solutions are reviewed once each, greedily, by the model
and in the style of that run, and every review goes to FILE. The figures say how many reviews end in a verdict that can
be read, how many of those are true, and what they cost; of the right and of the wrong solutions, how many are accepted.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tracer_agents.build import build
from tracer_agents.cli import status_of
from tracer_agents.config import Config, load_config
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.runs.files import write_lines
from tracer_agents.speakers.model import View
from tracer_env.dialogue import FinishReason, Role, Verdict
from tracer_env.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """A recorded proposal; ``right`` is False for one whose answer cannot be read, as in the grades of dialogues."""

    question_id: str
    question: str
    text: str
    right: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A review of a solution; ``verdict`` is None where none can be read."""

    question_id: str
    solution_right: bool
    text: str
    verdict: Verdict | None
    prompt_tokens: int
    generated_tokens: int
    finish_reason: FinishReason


def recorded_solutions(run: RunDirectory, count: int) -> list[Solution]:
    """The first proposal of each of a run's first ``count`` dialogues.

    Raises:
        ConfigError: the run has fewer.
    """
    solutions = [
        Solution(question_id=record.question_id, question=record.question, text=turn.text, right=bool(turn.right))
        for records in run.records().values()
        for record in records
        for turn in record.turns[:1]
        if turn.role is Role.PROPOSER and turn.text is not None
    ]
    if len(solutions) < count:
        raise ConfigError(f"{run.folder}: {len(solutions)} recorded solutions, not {count}; lower --solutions")
    return solutions[:count]


def review(config: Config, solutions: Sequence[Solution]) -> list[Review]:
    """One greedy review per solution, by the configured model, in order."""
    views = [
        View(role=Role.REVIEWER, question=solution.question, solution=solution.text, review=None, seed=row)
        for row, solution in enumerate(solutions)
    ]
    with build(config) as parts:
        utterances = parts.greedy_speakers.complete(views)
    return [
        Review(
            question_id=solution.question_id,
            solution_right=solution.right,
            text=utterance.text,
            verdict=utterance.verdict,
            prompt_tokens=utterance.prompt_tokens,
            generated_tokens=utterance.generated_tokens,
            finish_reason=utterance.finish_reason,
        )
        for solution, utterance in zip(solutions, utterances, strict=True)
    ]


def figures(reviews: Sequence[Review]) -> dict[str, float]:
    """Counts of reviews, and mean tokens per review."""
    right = [review for review in reviews if review.solution_right]
    wrong = [review for review in reviews if not review.solution_right]
    return {
        "reviews": len(reviews),
        "readable": sum(review.verdict is not None for review in reviews),
        "cut_off": sum(review.finish_reason is FinishReason.LENGTH for review in reviews),
        "right_solutions": len(right),
        "right_called_right": sum(review.verdict is Verdict.RIGHT for review in right),
        "right_called_wrong": sum(review.verdict is Verdict.WRONG for review in right),
        "wrong_solutions": len(wrong),
        "wrong_called_right": sum(review.verdict is Verdict.RIGHT for review in wrong),
        "wrong_called_wrong": sum(review.verdict is Verdict.WRONG for review in wrong),
        "prompt_tokens": round(sum(review.prompt_tokens for review in reviews) / len(reviews), 1),
        "generated_tokens": round(sum(review.generated_tokens for review in reviews) / len(reviews), 1),
    }


def main() -> None:
    """Writes the reviews, and prints their figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path, help="folder of a run or an evaluation by a language model")
    parser.add_argument("--solutions", type=int, default=40, help="how many of its solutions are reviewed")
    parser.add_argument("--tokens", type=int, default=256, help="the longest review, in tokens")
    parser.add_argument("--out", type=Path, required=True, help="file of the reviews, one JSON object per line")
    arguments = parser.parse_args()
    run = RunDirectory(arguments.run)
    run.config()  # a folder that is no run, or one of another version, is refused here
    config = load_config(
        file=arguments.run / "config.yaml", overrides={"speakers.reviewer_max_new_tokens": arguments.tokens}
    )
    reviews = review(config, recorded_solutions(run, arguments.solutions))
    write_lines(arguments.out, [asdict(each) for each in reviews])
    sys.stdout.write(json.dumps(figures(reviews), indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(status_of(main))
