"""Every method of the benchmark, on a plan so small that it runs in seconds."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks.methods import METHODS, ippo
from benchmarks.methods.best_of_n import best
from benchmarks.methods.immediate import fitted
from benchmarks.methods.multi_agent_debate import AGENTS, ROUNDS, hold, voted
from benchmarks.methods.self_refine import UntilContent
from benchmarks.suite.bench import Bench
from benchmarks.suite.cells import answer_cell, jobs_of
from benchmarks.suite.estimate import declared_size, work_of
from benchmarks.suite.plan import Plan, make_plan
from benchmarks.suite.point import Point
from benchmarks.suite.recordings import Recording
from benchmarks.suite.runner import run_jobs, run_plan
from benchmarks.suite.workers import ThisProcess
from tracer_agents.config import load_config
from tracer_agents.controllers.calibration import fit_belief
from tracer_agents.errors import RunError
from tracer_agents.evaluation.play import draw_episodes, majority
from tracer_agents.rollout.records import DialogueRecord, Kind, Outcome, TurnRecord, record_dialogues, record_from_json
from tracer_agents.speakers.model import View
from tracer_agents.speakers.prompts import prompts_for
from tracer_agents.types import Episode, SpeakRequest
from tracer_env.dialogue import FinishReason, Mode, Role, Rules, Utterance, Verdict, initial, transition
from tracer_env.errors import ConfigError
from tracer_env.infosets import Infosets
from tracer_env.tasks.arithmetic import Arithmetic
from tracer_env.tasks.base import Grade, Question

HOWTO = Path(__file__).parents[3] / "docs" / "howto" / "benchmark.md"
ALONE = {name for name, method in METHODS.items() if not method.several_models}  # the others: test_pools
NAMES = sorted(ALONE - (set() if find_spec("torchrl") else {"ippo"}))
GENERATING = ("best_of_n", "multi_agent_debate", "self_consistency", "single_gspo", "speakers_only")
QUESTIONS, VOTES, CHUNK = 6, 3, 4


@pytest.fixture(scope="module")
def fields(small_settings) -> dict[str, Any]:
    """A plan on the small model: the easiest questions, speakers trained for two steps."""
    settings = {
        "trainer.steps": 2,
        "trainer.checkpoint_every": 1,
        "evaluation.checkpoint_questions": 0,
        "backend.batch_size": 64,
    }
    return {
        "preset": "demo-paper",
        "settings": {**small_settings, **settings},
        "methods": NAMES,
        "tasks": {"easy": {"name": "arithmetic", "options": {"level": "1"}}},
        "questions": QUESTIONS,
        "fit_questions": 8,
        "validation_questions": 4,
        "prices": [0.0],
        "votes": VOTES,
        "chunk": CHUNK,
    }


@pytest.fixture(scope="module")
def few_steps():
    """IPPO that learns nothing, but in no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ippo, "STEPS", 50)
        yield


@pytest.fixture(scope="module")
def bench(fields, few_steps, tmp_path_factory) -> Bench:
    """The only (task, seed) of the plan, with all its cells answered."""
    plan, out = make_plan(fields, "test"), tmp_path_factory.mktemp("benchmark")
    run_plan(plan, out, workers=ThisProcess(), watch=lambda jobs, running: None)
    return Bench(plan=plan, out=out, label="easy", seed=0)


def folder(bench: Bench, method: str) -> Path:
    return bench.out / "cells" / method / "easy" / "seed-0"


def records(bench: Bench, method: str) -> list[DialogueRecord]:
    lines = (folder(bench, method) / "records.jsonl").read_text("utf-8").splitlines()
    return [record_from_json(json.loads(line)) for line in lines]


def facts(bench: Bench, method: str) -> dict[str, Any]:
    return json.loads((folder(bench, method) / "cell.json").read_text("utf-8"))


# all methods


@pytest.mark.parametrize("name", NAMES)
def test_every_point_answers_the_questions_in_their_order(bench, name):
    points = METHODS[name].points(records(bench, name))
    assert METHODS[name].headline(bench.plan) in points
    asked = [episode.question.id for episode in bench.episodes("test")]
    assert len(set(asked)) == QUESTIONS
    for point, answered in points.items():
        assert point.method == name
        assert [record.question_id for record in answered] == asked
        assert {record.method for record in answered} == {point.label}


@pytest.mark.parametrize("name", NAMES)
def test_only_an_answer_that_was_read_and_graded_right_is_right(bench, name):
    for answered in METHODS[name].points(records(bench, name)).values():
        for record in answered:
            proposed = {turn.answer: turn.reward for turn in record.turns if turn.role == Role.PROPOSER and turn.mode}
            assert record.correct == (record.answer is not None and proposed[record.answer] == 1.0)
            assert record.correct == (record.grade == "right")


def test_some_answers_are_right_and_some_cannot_be_read(bench):
    """Otherwise the test above says nothing."""
    turns = [turn for name in NAMES for record in records(bench, name) for turn in record.turns]
    assert {turn.reward for turn in turns if turn.role == Role.PROPOSER and turn.mode} == {1.0, -1.0}
    assert any(turn.answer is None for turn in turns if turn.role == Role.PROPOSER and turn.mode)


@pytest.mark.parametrize("name", [name for name in NAMES if METHODS[name].recordings])
def test_what_is_played_was_recorded(bench, name):
    method = METHODS[name]
    said = bench.recording("test", method.recipes[0] if method.recipes else None).utterances
    for record in records(bench, name):
        modes = "".join(str(turn.mode) for turn in record.turns)
        assert len(modes) == bench.plan.base.dialogue.rounds
        for turn in record.turns:
            spoken = said[record.question_id, modes[: turn.round - 1]] if turn.mode else Utterance(text="")
            assert (turn.text or "", turn.generated_tokens) == (spoken.text, spoken.generated_tokens)


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_killed_midway_ends_with_the_same_bytes(bench, name, tmp_path):
    """The chunk that was cut short is answered again whole."""
    whole = (folder(bench, name) / "records.jsonl").read_bytes()
    cut = whole[: int(len(whole) * 0.4)]
    (tmp_path / "records.jsonl").write_bytes(cut)
    answer_cell(bench, METHODS[name], tmp_path)
    assert (tmp_path / "records.jsonl").read_bytes() == whole
    again = json.loads((tmp_path / "cell.json").read_text("utf-8"))
    points = len(again["points"])
    answered = cut.count(b"\n") // points
    assert again.pop("timing")["questions"] == QUESTIONS - answered + answered % CHUNK
    assert again == {key: value for key, value in facts(bench, name).items() if key != "timing"}


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.55, 0.999, 1.0])
def test_wherever_it_was_cut(bench, share, tmp_path):
    whole = (folder(bench, "best_of_n") / "records.jsonl").read_bytes()
    (tmp_path / "records.jsonl").write_bytes(whole[: int(len(whole) * share)])
    answer_cell(bench, METHODS["best_of_n"], tmp_path)
    assert (tmp_path / "records.jsonl").read_bytes() == whole


def test_a_cell_of_other_questions_is_refused(bench, tmp_path):
    lines = (folder(bench, "single") / "records.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "records.jsonl").write_text("".join(lines[1:3]), "utf-8")
    with pytest.raises(RunError, match=r"line 1: holds 'single' on .* where the plan asks for"):
        answer_cell(bench, METHODS["single"], tmp_path)


def test_training_tokens_are_counted(bench):
    def spent(recipe: str) -> int:
        rows = (bench.out / "speakers" / recipe / "easy" / "seed-0" / "metrics.jsonl").read_text().splitlines()
        return sum(json.loads(row)["all_tokens"] for row in rows)

    fit = bench.recording("train").generated_tokens
    check = bench.recording("validation").generated_tokens
    [recipe] = METHODS["tracer"].recipes
    retold = sum(bench.recording(split, recipe).generated_tokens for split in ("train", "validation"))
    tokens = {name: facts(bench, name)["training_tokens"] for name in NAMES}
    assert tokens["single"] == tokens["self_refine"] == tokens["multi_agent_debate"] == tokens["best_of_n"] == 0
    assert tokens["immediate"] == fit > 0
    assert tokens["controllers_only"] == fit + check
    assert tokens["single_gspo"] == spent("single_gspo") > 0
    assert tokens["tracer_votes"] == spent("tracer") > 0
    assert tokens["tracer"] == spent("tracer") + retold
    questions = {name: facts(bench, name)["training_questions"] for name in NAMES}
    assert (questions["single"], questions["immediate"], questions["controllers_only"]) == (0, 8, 12)
    assert questions["tracer"] == 1 * 2 + 12  # one of the two steps is the controllers', who are fitted here


def test_estimates_are_what_was_generated(bench):
    """Exact wherever no controller's choices enter."""
    work = {job.name: work_of(job) for job in jobs_of(bench.plan, bench.out, declared_size)}
    for split in ("train", "validation", "test"):
        assert work[f"record initial/easy/seed-0/{split}"].generations == len(bench.recording(split).utterances)
    for recipe in ("single_gspo", "speakers_only"):
        rows = (bench.out / "speakers" / recipe / "easy" / "seed-0" / "metrics.jsonl").read_text().splitlines()
        utterances = sum(json.loads(row)["utterances"] for row in rows)
        assert work[f"train {recipe} on easy, seed 0"].generations == utterances
    for name in GENERATING:
        turns = [turn for record in records(bench, name) for turn in record.turns]
        unread = sum(turn.role == Role.PROPOSER and turn.answer is None for turn in turns)
        expected = work[f"{name} on easy, seed 0"].generations
        assert len(turns) == expected - (unread if name == "best_of_n" else 0)


# the plan


def test_a_plan_may_grow_and_not_change(bench, fields):
    grown = make_plan({**fields, "methods": ["single"]}, "test")
    run_plan(grown, bench.out, workers=ThisProcess(), watch=lambda jobs, running: None)
    stored = yaml.safe_load((bench.out / "plan.yaml").read_text("utf-8"))
    assert stored["methods"] == NAMES
    changed = make_plan({**fields, "questions": 5, "votes": 2}, "test")
    with pytest.raises(RunError, match="a plan with another questions, votes; choose another --out"):
        run_plan(changed, bench.out, workers=ThisProcess(), watch=lambda jobs, running: None)


def test_a_method_that_does_not_exist_is_refused_with_those_that_do(fields):
    plan = make_plan({**fields, "methods": ["single", "telepathy"]}, "test")
    with pytest.raises(ConfigError, match=r"there is no 'telepathy'; there are always_speak, .*tracer_votes"):
        jobs_of(plan, Path("nowhere"))


def test_what_methods_share_is_done_once_and_before(fields):
    plan: Plan = make_plan({**fields, "seeds": [0, 1], "methods": ["always_speak", "tracer", "tracer_votes"]}, "test")
    jobs = [job.name for job in jobs_of(plan, Path("nowhere"), declared_size)]
    assert len(set(jobs)) == len(jobs)
    assert [name for name in jobs if name.startswith("train")] == [f"train tracer on easy, seed {s}" for s in (0, 1)]
    assert sum("initial/easy" in name for name in jobs) == 2
    for at, job in enumerate(jobs_of(plan, Path("nowhere"), declared_size)):
        assert set(job.needs) <= set(jobs[:at])


# points and single methods


@pytest.mark.parametrize("name", ["self_consistency", "tracer_votes", "single_gspo", "single_grpo"])
def test_votes_are_the_first_samples(bench, name):
    whole = records(bench, name)
    for k in range(1, VOTES + 1):
        for record, kept in zip(whole, METHODS[name].points(whole)[Point(method=name, setting=f"k={k}")], strict=True):
            assert kept.turns == record.turns[:k]
            assert kept.answer == majority(record, k).answer


def test_samples_are_shared_between_methods(bench):
    """Best of n and debate begin with self-consistency's samples, and a single answer is the first of them."""
    voted_ = records(bench, "self_consistency")
    for sampled, best_, debated, alone in zip(
        voted_, *(records(bench, name) for name in ("best_of_n", "multi_agent_debate", "single")), strict=True
    ):
        proposals = [turn for turn in best_.turns if turn.role == Role.PROPOSER]
        assert [turn.text for turn in proposals] == [turn.text for turn in sampled.turns]
        assert [turn.text for turn in debated.turns[:AGENTS]] == [turn.text for turn in sampled.turns[:AGENTS]]
        assert alone.turns[0].text == sampled.turns[0].text


def turn(answer: str | None, verdict: str | None = None, *, review: bool = False, right: bool = False) -> TurnRecord:
    return TurnRecord(
        round=2 if review else 1,
        agent=int(review),
        role=Role.REVIEWER if review else Role.PROPOSER,
        mode=Mode.SPEAK,
        forced=False,
        text="",
        answer=answer,
        verdict=None if verdict is None else Verdict(verdict),
        right=right,
        reward=1.0 if right else -1.0,
        prompt_tokens=1,
        generated_tokens=2,
        finish_reason=FinishReason.STOP,
    )


def record_of(turns: Sequence[TurnRecord]) -> DialogueRecord:
    return DialogueRecord(
        method="m",
        phase="p",
        seed=0,
        question_id="q",
        question="?",
        gold="7",
        answer=None,
        correct=False,
        grade=Outcome.WRONG,
        turns=tuple(turns),
    )


@pytest.mark.parametrize(
    ("verdicts", "chosen"),
    [
        (["WRONG", None, "RIGHT", "RIGHT"], ["0", "1", "2", "2"]),
        ([None, "WRONG", None, "WRONG"], ["0", "0", "0", "0"]),
        (["WRONG", "WRONG"], ["0", "0"]),
        (["unread", "WRONG", "unread", None], [None, "1", "1", "3"]),
        (["unread", "unread"], [None, None]),
    ],
)
def test_best_of_n_by_hand(verdicts, chosen):
    """Samples answer 0, 1, 2, …; "unread" could not be, and has no review; 2 is right."""
    turns = []
    for number, verdict in enumerate(verdicts):
        read = verdict != "unread"
        turns.append(turn(str(number) if read else None, right=number == 2 and read))
        turns += [turn(None, verdict, review=True)] if read else []
    for n, answer in enumerate(chosen, start=1):
        made = best(record_of(turns), n)
        assert (made.method, made.answer) == (f"best_of_n@k={n}", answer)
        assert (made.correct, made.grade) == ((True, "right") if answer == "2" else (False, "wrong"))
        assert sum(one.role == Role.PROPOSER for one in made.turns) == n
        assert made.generated_tokens == 2 * len(made.turns)
        assert all(one.forced for one in made.turns)


class Debaters:
    """Agent i of round r says "r.i"; the answers are given."""

    def __init__(self, answers: Sequence[Sequence[str]]) -> None:
        self._answers = answers
        self.calls: list[list[View]] = []

    def speak(self, requests: Sequence[SpeakRequest]) -> list[Utterance]:
        return [self._said(0, request.candidate) for request in requests]

    def complete(self, views: Sequence[View]) -> list[Utterance]:
        self.calls.append(list(views))
        return [self._said(len(self.calls), at % AGENTS) for at in range(len(views))]

    def _said(self, round_: int, agent: int) -> Utterance:
        return Utterance(text=f"{round_}.{agent}", answer=self._answers[round_][agent], generated_tokens=1)


def test_debate_by_hand():
    task = Arithmetic(level=1)
    episodes = draw_episodes(task, "test", 0, 2, seed=0, phase="p")
    speakers = Debaters([["1", "2", "2"], ["1", "2", "1"], ["3", "1", "3"]])
    finals = hold(episodes, Rules(), speakers)
    assert len(speakers.calls) == ROUNDS  # each of all agents and questions
    for round_, views in enumerate(speakers.calls):
        assert [view.question for view in views] == [e.question.text for e in episodes for _ in range(AGENTS)]
        assert [view.solution for view in views] == [f"{round_}.{agent}" for agent in range(AGENTS)] * 2
        assert views[1].others == (f"{round_}.0", f"{round_}.2")
    assert len({view.seed for views in speakers.calls for view in views}) == ROUNDS * AGENTS * 2
    for record in record_dialogues(episodes, finals, task, method="m", phase="p", seed=0):
        points = [voted(record, rounds) for rounds in range(ROUNDS + 1)]
        assert [point.answer for point in points] == ["2", "1", "3"]
        assert [point.generated_tokens for point in points] == [3, 6, 9]
        assert [(one.round, one.agent) for one in record.turns] == [(r, a) for r in (1, 2, 3) for a in range(3)]


@pytest.mark.parametrize("style", ["tiny", "chat", "boxed"])
def test_debaters_see_their_own_solution_and_the_others(style):
    shown = "\n".join(
        message["content"] for message in METHODS["multi_agent_debate"].prompts(prompts_for(style, None))["update"]
    )
    places = [shown.index(part) for part in ("{question}", "{own solution}", "another agent, 1}", "another agent, 2}")]
    assert places == sorted(places)


def test_self_refine_stops_when_content():
    state = transition(initial(Rules(n_agents=1), "?"), Mode.SPEAK)
    state = transition(state, Utterance(text="", answer="1"))
    controller = UntilContent()
    assert controller.speak_probability([state]) == [1.0]

    def reviewed(verdict: Verdict | None):
        return transition(transition(state, Mode.SPEAK), Utterance(text="", verdict=verdict))

    verdicts = (Verdict.RIGHT, Verdict.WRONG, None)
    assert controller.speak_probability([reviewed(verdict) for verdict in verdicts]).tolist() == [0.0, 1.0, 1.0]
    still = transition(reviewed(Verdict.RIGHT), Mode.SKIP)  # nothing new was proposed: still content
    assert controller.speak_probability([still]) == [0.0]


def test_self_refine_is_one_agent_that_ends_content_or_out_of_rounds(bench):
    for record in records(bench, "self_refine"):
        assert {one.agent for one in record.turns} == {0}
        verdicts = [one.verdict for one in record.turns if one.role == Role.REVIEWER and one.mode]
        assert "RIGHT" not in verdicts[:-1]
        rounds = sum(one.mode for one in record.turns)
        assert rounds == (2 * len(verdicts) if verdicts[-1] == "RIGHT" else bench.plan.base.dialogue.rounds)


@pytest.fixture
def recorded():
    """Makes a recording whose first proposals are right or not, later ones the other, and whose reviews say WRONG."""

    def make(*, first_right: bool, questions: int = 4) -> Recording:
        episodes = tuple(
            Episode(question=Question(id=str(at), text=f"Question {at}", gold="7"), seed=at) for at in range(questions)
        )
        first, later = ("7", "8") if first_right else ("8", "7")
        said = {
            "": Utterance(text=f"#### {first}", answer=first, generated_tokens=5),
            "1": Utterance(text="Verdict: WRONG", verdict=Verdict.WRONG, generated_tokens=5),
            **{prefix: Utterance(text=f"#### {later}", answer=later, generated_tokens=5) for prefix in ("10", "11")},
        }
        return Recording(
            episodes=episodes,
            utterances={(episode.question.id, prefix): one for episode in episodes for prefix, one in said.items()},
            grades={("7", "7"): Grade.RIGHT, ("8", "7"): Grade.WRONG},
        )

    return make


RULES = Rules(rounds=3)


@pytest.mark.parametrize("first_right", [False, True])
def test_the_released_rule_by_hand(recorded, first_right):
    """A true WRONG pays at once, a false one costs; a better second try earns SPEAK no regret, and a tie is a SKIP."""
    recording = recorded(first_right=first_right)
    controller = fitted(recording, Infosets("consensus", RULES))
    [tree, *_] = recording.trees(RULES)
    reviews, proposals = [tree.states["1"]], [tree.states["10"], tree.states["11"]]
    assert controller.speak_probability(reviews).tolist() == [0.0 if first_right else 1.0]
    assert controller.speak_probability(proposals).tolist() == [0.0, 0.0]


@pytest.mark.skipif("ippo" not in NAMES, reason="TorchRL is not installed: pip install -e '.[marl]'")
@pytest.mark.parametrize("first_right", [False, True])
def test_ippo_learns_what_pays_in_the_end(recorded, first_right):
    ppo = ippo.learner()
    recording = recorded(first_right=first_right)
    config = load_config(overrides={"dialogue.rounds": 3, "dialogue.price_of_speech": 0.1})
    team = ppo.train(recording, config, Infosets("consensus", RULES), Arithmetic(level=1), steps=600)
    [tree, *_] = recording.trees(RULES)
    choices = team.speak_probability([tree.states["10"], tree.states["11"]])
    assert np.all(choices < 0.3) if first_right else np.all(choices > 0.7)
    assert ppo.LikelierMode(team).speak_probability([tree.states["10"]]) == [float(not first_right)]
    assert team.speak_probability([tree.states[""]]) == [1.0]


# beliefs


@pytest.fixture(scope="module")
def believing(fields, tmp_path_factory) -> Bench:
    """The same plan with beliefs, and of its methods a learned one, a fixed one and one of IPPO's library."""
    names = [name for name in ("always_speak", "controllers_only", "ippo", "self_refine") if name in NAMES]
    settings = {**fields["settings"], "dialogue.infoset": "belief", "dialogue.answer_rule": "belief"}
    plan = make_plan({**fields, "settings": settings, "methods": names}, "test")
    out = tmp_path_factory.mktemp("believing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ippo, "STEPS", 50)
        run_plan(plan, out, workers=ThisProcess(), watch=lambda jobs, running: None)
    return Bench(plan=plan, out=out, label="easy", seed=0)


def test_a_belief_is_fitted_to_the_recorded_training_questions(believing):
    trees = believing.recording("train").trees(believing.config.rules)
    belief = believing.rules().belief
    assert belief == fit_belief(trees, bins=believing.config.dialogue.belief_bins)
    assert belief.bins > 1
    assert believing.infosets() == Infosets("belief", believing.rules())


def test_what_is_played_answers_by_the_belief(believing):
    belief = fit_belief(believing.recording("train").trees(believing.config.rules))
    trees = believing.recording("test").trees(replace(believing.config.rules, belief=belief))
    finals = [tree.states["11111"] for tree in trees]
    answers = [record.answer for record in records(believing, "always_speak")]
    assert answers == [final.team_answer for final in finals]
    without = [replace(final, rules=believing.config.rules).team_answer for final in finals]
    assert answers != without  # otherwise the test says nothing


def test_a_lone_agent_that_refines_answers_with_its_last_revision(believing):
    for record in records(believing, "self_refine"):
        assert record.answer == [turn.answer for turn in record.turns if turn.role == Role.PROPOSER and turn.mode][-1]


# the how-to


def test_the_method_of_the_howto_is_complete(bench, tmp_path):
    page = HOWTO.read_text("utf-8")
    source = page.split("```python\n")[1].split("```")[0]
    namespace: dict[str, Any] = {"__name__": "benchmarks.methods.example"}
    exec(compile(source, str(HOWTO), "exec"), namespace)
    [method] = namespace["METHODS"]
    assert method.name not in METHODS
    answer_cell(bench, method, tmp_path)
    lines = (tmp_path / "records.jsonl").read_text("utf-8").splitlines()
    answered = [record_from_json(json.loads(line)) for line in lines]
    assert len(answered) == QUESTIONS
    assert set(method.points(answered)) == {method.headline(bench.plan)}
    spoken = [sum(one.mode for one in record.turns) for record in answered]
    assert all(2 <= count <= 3 for count in spoken)


# damage


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("cells/best_of_n/easy/seed-0/records.jsonl", "best_of_n on easy, seed 0"),
        ("recordings/initial/easy/seed-0/test/trees.jsonl", "record initial/easy/seed-0/test"),
    ],
)
@pytest.mark.parametrize("damage", [b"\x00\xff", b"[1, 2]", b'{"method": "best_of_n"}', b"[" * 100_000])
def test_a_damaged_file_of_a_finished_job_is_named_with_its_line(bench, tmp_path, file, name, damage):
    out = tmp_path / "copy"
    shutil.copytree(bench.out, out)
    lines = (out / file).read_bytes().split(b"\n")
    lines[2] = damage
    (out / file).write_bytes(b"\n".join(lines))
    plan = bench.plan.model_copy(update={"methods": ["best_of_n", "always_speak"]})

    with pytest.raises(RunError, match=r"1 of \d+ jobs were not done") as raised:
        run_jobs(jobs_of(plan, out), plan, workers=ThisProcess(), watch=lambda jobs, running: None)

    assert f"{name}: {out / file}, line 3: " in str(raised.value)


def test_records_without_a_kind_are_continued_and_then_say_it(bench, tmp_path):
    """A cell that was begun before records said their kind ends as if it had been begun now."""
    whole = (folder(bench, "multi_agent_debate") / "records.jsonl").read_bytes()
    begun = [json.loads(line) for line in whole.splitlines()[:4]]
    assert {row.pop("kind") for row in begun} == {"multi_agent_debate"}
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in begun), "utf-8")

    answer_cell(bench, METHODS["multi_agent_debate"], tmp_path)

    assert (tmp_path / "records.jsonl").read_bytes() == whole


def test_every_record_says_its_kind(bench):
    kinds = {name: {record.kind for record in records(bench, name)} for name in NAMES}
    assert kinds["multi_agent_debate"] == {Kind.MULTI_AGENT_DEBATE}
    for name, kind in kinds.items():
        ballots = (
            METHODS[name].pools
            or "votes" in name
            or name in ("self_consistency", "single_gspo", "single_grpo", "best_of_n")
        )
        if name != "multi_agent_debate":
            assert kind == {Kind.BALLOT if ballots else Kind.DIALOGUE}, name
