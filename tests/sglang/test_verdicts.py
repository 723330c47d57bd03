"""Reviews of one token from a real SGLang server: P(RIGHT) is that of the engine in this process.

The shipped model's verdicts are trained first, so that they differ, and the server gets the new weights.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from tracer_agents.build import Parts, build
from tracer_agents.config import load_config
from tracer_agents.credit.verdicts import GradedSolution
from tracer_agents.generation.sglang.server import Server, running
from tracer_agents.speakers.model import View
from tracer_env.dialogue import Role
from tracer_env.tasks.base import Grade

pytestmark = [pytest.mark.sglang, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def own_server(spec, tmp_path_factory) -> Iterator[Server]:
    """Of this module alone, whose weights it changes."""
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("wb") as file, running(spec(), log=file) as started:
        yield started


@pytest.fixture(scope="module")
def make() -> Iterator[Callable[..., Parts]]:
    """Builds teams of the shipped model, with further settings by dotted name."""
    base = {
        "task.options": {"level": 2},
        "speakers.model": "tiny",
        "speakers.review": "verdict",
        "credit.verdict_learning_rate": 1e-3,
        "credit.verdict_batch": 4,
    }
    with ExitStack() as resources:
        yield lambda overrides: resources.enter_context(build(load_config(overrides=base | overrides)))


@pytest.fixture(scope="module")
def local(make) -> Parts:
    return make({"speakers.device": "cpu"})


@pytest.fixture(scope="module")
def solutions(local) -> list[GradedSolution]:
    """Thirty-two graded proposals."""
    questions = local.task.draw("train", 0, 32, seed=0)
    proposing = [
        View(role=Role.PROPOSER, question=question.text, solution=None, review=None, seed=row)
        for row, question in enumerate(questions)
    ]
    proposals = local.speakers.complete(proposing)
    grades = local.task.grade([each.answer for each in proposals], [question.gold for question in questions])
    return [
        GradedSolution(question=question.text, solution=proposal.text, right=grade is Grade.RIGHT)
        for question, proposal, grade in zip(questions, proposals, grades, strict=True)
    ]


@pytest.fixture(scope="module")
def reviewing(solutions) -> list[View]:
    return [
        View(role=Role.REVIEWER, question=each.question, solution=each.solution, review=None, seed=row)
        for row, each in enumerate(solutions)
    ]


@pytest.fixture(scope="module")
def served(make, own_server, local, solutions) -> Parts:
    """A team of the server's, and the one in this process: both are trained alike, and the server has the weights."""
    parts = make({"speakers.device": "cpu", "backend.name": "sglang", "backend.url": own_server.spec.url})
    for each in (local, parts):
        each.train_verdicts(solutions, lambda: np.random.default_rng(0), epochs=4)
    for model in parts.models:
        model.sync(1)
    return parts


def probabilities(reviews: Any) -> np.ndarray:
    assert all(review.p_right is not None for review in reviews)
    return np.array([review.p_right for review in reviews])


def test_the_engine_gives_the_probability_and_the_word_of_the_one_in_this_process(served, local, reviewing):
    there, here = served.speakers.complete(reviewing), local.speakers.complete(reviewing)
    assert np.ptp(probabilities(here)) > 0.1  # they do differ
    assert np.abs(probabilities(there) - probabilities(here)).max() < 1e-3
    assert all(review.generated_tokens == 1 for review in there)
    assert sum(a.verdict == b.verdict for a, b in zip(there, here, strict=True)) >= 31  # a tie may fall either way
    assert {review.verdict for review in here} == {"RIGHT", "WRONG"}


def test_the_chat_interface_lists_the_words(served, local, reviewing, own_server, make, tmp_path):
    """The shipped model would go on with numbers, so both words are made likelier alike: their ratio stays."""
    engine = {"name": "openai", "url": f"{own_server.spec.url}/v1", "cache": str(tmp_path / "kept")}
    engine["body"] = {"logit_bias": {str(token): 50 for token in local.speakers.verdict_ids}}
    chat = make({f"backend.{name}": value for name, value in engine.items()})
    there, here = chat.speakers.complete(reviewing), local.speakers.complete(reviewing)
    assert np.abs(probabilities(there) - probabilities(here)).max() < 1e-3
    assert all(review.generated_tokens == 1 for review in there)
    assert {review.verdict for review in there} == {"RIGHT", "WRONG"}
