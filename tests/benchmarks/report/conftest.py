"""A small benchmark's records, written by hand: what the report is rebuilt from."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from benchmarks.report import write
from benchmarks.suite.plan import Plan, dump_plan, make_plan
from benchmarks.suite.point import Point
from tracer_agents.evaluation.play import majority
from tracer_agents.rollout.records import DialogueRecord, Kind, Outcome, TurnRecord
from tracer_env.dialogue import FinishReason, Mode, Role, Verdict
from tracer_env.seeding import stream

QUESTIONS = 30


@dataclass(frozen=True, kw_only=True)
class FakeMethod:
    """A method as the report knows one."""

    name: str
    title: str
    reference: str = "a paper"
    head: str = ""
    bound: bool = False
    own_prompts: Mapping[str, list[dict[str, str]]] = field(default_factory=dict)

    def headline(self, plan: Plan) -> Point:
        return Point.of(self.head or self.name)

    def points(self, records: Sequence[DialogueRecord]) -> dict[Point, list[DialogueRecord]]:
        if self.name == "self_consistency":
            every = {k: Point(method=self.name, setting=f"k={k}") for k in (1, 2, 3)}
            return {point: [majority(record, k) for record in records] for k, point in every.items()}
        points: dict[Point, list[DialogueRecord]] = {}
        for record in records:
            points.setdefault(Point.of(record.method), []).append(record)
        return points

    def prompts(self, style: str) -> Mapping[str, list[dict[str, str]]]:
        return self.own_prompts


METHODS = {
    method.name: method
    for method in (
        FakeMethod(name="single", title="Single answer"),
        FakeMethod(name="self_consistency", title="Self-consistency", head="self_consistency@k=3"),
        FakeMethod(name="always_speak", title="Always speak"),
        FakeMethod(
            name="tracer",
            title="TRACER",
            head="tracer@price=0.1",
            own_prompts={"vote": [{"role": "user", "content": "```Who is {right}?"}]},
        ),
    )
}
TASKS = ("arithmetic-3", "arithmetic-4")
PLAN = {
    "methods": list(METHODS),
    "tasks": {task: {"name": "arithmetic", "options": {"level": task[-1]}} for task in TASKS},
    "seeds": [0, 1],
    "questions": QUESTIONS,
}


def turn(round_: int, *, right: bool | None, gold: str = "7", wrong: str | None = "8", tokens: int = 20) -> TurnRecord:
    """A turn of that round, a proposal's answer or a review's verdict being right or not; None: skipped."""
    proposes = round_ % 2 == 1
    spoken = right is not None
    return TurnRecord(
        round=round_,
        agent=(round_ // 2) % 2,
        role=Role.PROPOSER if proposes else Role.REVIEWER,
        mode=Mode(spoken),
        forced=round_ == 1,
        text="some text" if spoken else None,
        answer=(gold if right else wrong) if spoken and proposes else None,
        verdict=(Verdict.RIGHT if right else Verdict.WRONG) if spoken and not proposes else None,
        right=right,
        reward=(1.0 if right else -1.0) if spoken else None,
        prompt_tokens=30 if spoken else 0,
        generated_tokens=tokens if spoken else 0,
        finish_reason=FinishReason.STOP if spoken else None,
    )


def record(
    label: str, question_id: str, turns: Sequence[TurnRecord], *, seed: int = 0, kind: Kind = Kind.DIALOGUE
) -> DialogueRecord:
    """A dialogue, or votes, in which the last proposal is the answer."""
    last = [one for one in turns if one.mode and one.role == "proposer"][-1]
    right = last.right is True
    return DialogueRecord(
        method=label,
        phase="benchmark",
        seed=seed,
        question_id=question_id,
        question=f"What is {question_id}?",
        gold="7",
        answer=last.answer,
        correct=right,
        grade=Outcome.RIGHT if right else Outcome.WRONG,
        kind=kind,
        turns=tuple(turns),
    )


def answers(method: str, question_id: str, seed: int, rng: np.random.Generator) -> list[DialogueRecord]:
    """What a method recorded for one question, all its points."""
    first, second, third = (bool(rng.random() < chance) for chance in (0.5, 0.6, 0.7))
    if method == "single":
        turns = [turn(1, right=first), *(turn(at, right=None) for at in range(2, 6))]
        return [record("single", question_id, turns, seed=seed)]
    if method == "self_consistency":
        votes = [turn(1, right=first), turn(1, right=second, wrong=None), turn(1, right=third)]
        return [record("self_consistency@k=3", question_id, votes, seed=seed, kind=Kind.BALLOT)]
    spoken = [turn(1, right=first), turn(2, right=first), turn(3, right=second), turn(4, right=True)]
    if method == "always_speak":
        return [record(method, question_id, [*spoken, turn(5, right=third)], seed=seed)]
    return [
        record(f"tracer@price={price}", question_id, turns, seed=seed)
        for price, turns in {
            0.1: [*spoken[:3], turn(4, right=None), turn(5, right=None if first else third)],
            1.0: [*spoken[:1], *(turn(at, right=None) for at in range(2, 6))],
        }.items()
    ]


def write_cell(out: Path, method: str, task: str, seed: int, records: Sequence[DialogueRecord]) -> Path:
    """A finished cell's files; returns its folder."""
    folder = out / "cells" / method / task / f"seed-{seed}"
    folder.mkdir(parents=True)
    lines = [json.dumps(one.as_json(), ensure_ascii=False) + "\n" for one in records]
    (folder / "records.jsonl").write_text("".join(lines), encoding="utf-8")
    about = {
        "method": method,
        "task": task,
        "seed": seed,
        "questions": len({one.question_id for one in records}),
        "training_tokens": 1000 * seed if method == "tracer" else 0,
        "training_questions": 10 if method == "tracer" else 0,
        "timing": {"seconds": 1.0},
    }
    (folder / "cell.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def write_benchmark(folder: Path, tasks: Sequence[str] = TASKS) -> Path:
    """A benchmark of four methods and two seeds, whose speakers were trained for three steps."""
    folder.mkdir()
    plan = {**PLAN, "tasks": {task: PLAN["tasks"][task] for task in tasks}}
    (folder / "plan.yaml").write_text(dump_plan(make_plan(plan, "test")), encoding="utf-8")
    for task in tasks:
        for seed in PLAN["seeds"]:
            for method in METHODS:
                rng = stream(seed, task, method)
                ids = [f"{task}-{seed}-{at}" for at in range(QUESTIONS)]
                records = [one for question_id in ids for one in answers(method, question_id, seed, rng)]
                write_cell(folder, method, task, seed, records)
            run = folder / "speakers" / "tracer" / task / f"seed-{seed}"
            run.mkdir(parents=True)
            steps = [
                {"step": step, "accuracy": 0.1 * step, "first_proposal_accuracy": 0.1, "generated_tokens": 50.0 + seed}
                for step in (1, 2, 3)
            ]
            (run / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps), encoding="utf-8")
    return folder


@pytest.fixture
def out(tmp_path) -> Path:
    """The small benchmark on two tasks, to be changed."""
    return write_benchmark(tmp_path / "bench")


@pytest.fixture
def one_task(tmp_path) -> Path:
    """The small benchmark on one task and without training, to be changed."""
    out = write_benchmark(tmp_path / "bench", TASKS[:1])
    shutil.rmtree(out / "speakers")
    return out


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> Path:
    """The small benchmark with its report, to be looked at."""
    out = write_benchmark(tmp_path_factory.mktemp("reported") / "bench")
    write(out, methods=METHODS, resamples=200)
    return out


@pytest.fixture
def methods() -> dict[str, FakeMethod]:
    """The methods of the small benchmark."""
    return dict(METHODS)


@pytest.fixture
def make_turn():
    """``turn``: one round."""
    return turn


@pytest.fixture
def make_record():
    """``record``: one dialogue."""
    return record


@pytest.fixture
def add_cell():
    """``write_cell``: one finished cell."""
    return write_cell
