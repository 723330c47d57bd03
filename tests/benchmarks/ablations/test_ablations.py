"""Recorded questions under other settings: what is measured is what would be played, and differences are paired."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks.ablations import streams
from benchmarks.ablations.__main__ import main
from benchmarks.ablations.compare import Estimate, Measured, Row, compare, resampled
from benchmarks.ablations.page import MARK, Table, findings, speech_table
from benchmarks.ablations.replay import Outcome, Replay, Setting, expected
from benchmarks.ablations.sections import Section, sections
from benchmarks.ablations.trained import RECIPES, SPLITS, Speech, jobs_of_recipes, open_bench, speech
from benchmarks.ablations.trained import main as train_recipes
from benchmarks.suite import recordings
from benchmarks.suite.plan import Plan, make_plan
from tracer_agents.build import build_task
from tracer_agents.controllers.fixed import AlwaysSpeak
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.errors import RunError
from tracer_agents.evaluation.metrics import summarise
from tracer_agents.evaluation.statistics import bootstrap_p
from tracer_agents.rollout.records import record_dialogues
from tracer_agents.rollout.tree import Tree, play
from tracer_agents.speakers.tabular import TabularSpeaker
from tracer_agents.types import Episode
from tracer_agents.worlds.tabular_task import TabularTask
from tracer_env.cost import external_count, immediate_count
from tracer_env.dialogue import Role, Rules, Utterance, Verdict
from tracer_env.infosets import Infosets
from tracer_env.rewards import Utility

BUDGET, QUESTIONS = 500, 24
SETTING = Setting(
    rules=Rules(),
    infoset="consensus",
    minimiser="RegretMatchingPlus",
    weighting="gradient",
    iterations=20,
    price=0.1,
)


class Tabular(TabularTask):
    """Tabular questions as a task whose answers have a form."""

    answer_format = "#### <number>"


@pytest.fixture(scope="module")
def replay(tmp_path_factory) -> Replay:
    """Recorded dialogues of tabular speakers."""
    folder, task, recorded = tmp_path_factory.mktemp("recorded"), Tabular(), {}
    for split in SPLITS:
        questions = task.draw(split, 0, QUESTIONS, seed=0)
        episodes = [Episode(question=question, seed=at) for at, question in enumerate(questions)]
        path = folder / f"{split}.jsonl"
        recordings.record(path, episodes, Rules(), TabularSpeaker.load(), task, chunk=QUESTIONS)
        recorded[split] = recordings.load(path, episodes)
    return Replay(recordings=recorded, token_budget=BUDGET, batch=8, inner=5)


def mixed(infosets: Infosets, keys) -> TabularController:
    """A controller that speaks with a different chance at every infoset."""
    speak = np.random.default_rng(0).random(len(keys))
    tables = RegretTables.empty().grown(keys)
    return TabularController(infosets, replace(tables, strategy=np.stack([1 - speak, speak], axis=1)))


def along_every_line(tree: Tree, controller: TabularController, prefix: str = "") -> tuple[float, float]:
    """(chance of a right answer, expected tokens) from a node on, by walking the tree."""
    state, modes = tree.states[prefix], tree.children(prefix)
    if not modes:
        return float(tree.right(state)), float(state.generated_tokens)
    speak = controller.speak_probability([state])[0]
    chances = {0: 1 - speak, 1: speak} if len(modes) == 2 else {int(modes[0]): 1.0}
    below = [(chance, along_every_line(tree, controller, f"{prefix}{mode}")) for mode, chance in chances.items()]
    return sum(chance * right for chance, (right, _) in below), sum(chance * tokens for chance, (_, tokens) in below)


def test_a_mixed_strategy_is_measured_exactly(replay):
    infosets = SETTING.infosets
    game = replay.game("test", infosets)
    controller = mixed(infosets, game.trie.keys)

    outcome = expected(game, controller)

    walked = np.array([along_every_line(tree, controller) for tree in replay.trees("test", Rules())])
    np.testing.assert_allclose(outcome.right, walked[:, 0], atol=1e-12)
    np.testing.assert_allclose(outcome.tokens, walked[:, 1], rtol=1e-12)
    assert 0 < outcome.right.mean() < 1


def test_a_fixed_rule_is_measured_along_its_line(replay):
    outcome = replay.played(AlwaysSpeak(), Rules())

    for tree, right, tokens in zip(replay.trees("test", Rules()), outcome.right, outcome.tokens, strict=True):
        assert right == tree.right(tree.states["11111"])
        assert tokens == tree.states["11111"].generated_tokens


def test_a_setting_is_what_validation_prefers(replay):
    chosen = replay.outcome(SETTING)
    plays = {play: replay.outcome(replace(SETTING, play=play)) for play in ("current", "average", "greedy")}

    assert any(np.array_equal(chosen.tokens, other.tokens) for other in plays.values())
    assert not np.array_equal(plays["average"].tokens, plays["greedy"].tokens)


def test_few_questions_are_the_mean_of_disjoint_sets(replay):
    def with_training(start: int, stop: int) -> Outcome:
        train = replay.recordings["train"]
        part = replace(train, episodes=train.episodes[start:stop])
        alone = Replay(
            recordings={**replay.recordings, "train": part}, token_budget=BUDGET, batch=replay.batch, inner=replay.inner
        )
        return alone.outcome(SETTING)

    halves = with_training(0, 12), with_training(12, 24)
    outcome = replay.outcome(replace(SETTING, questions=12))

    np.testing.assert_allclose(outcome.right, (halves[0].right + halves[1].right) / 2)
    np.testing.assert_allclose(outcome.tokens, (halves[0].tokens + halves[1].tokens) / 2)
    assert outcome.generated == 12 * 16


def test_more_questions_than_there_are_is_refused(replay):
    with pytest.raises(RunError, match="fitted on 25 questions and 24 are recorded: raise fit_questions"):
        replay.outcome(replace(SETTING, questions=25))


def test_the_number_of_agents_changes_no_utterance(replay):
    alone, three = (replay.trees("test", Rules(n_agents=n)) for n in (1, 3))

    for one, other in zip(alone, three, strict=True):
        assert dict(one.spoken()) == dict(other.spoken())
        assert one.states["11111"].turns[3].agent != other.states["11111"].turns[3].agent


def test_external_sampling_of_a_lone_agent_is_full_expansion(replay):
    alone = replace(SETTING, rules=Rules(n_agents=1))

    sampled = streams.by_external_sampling(replay, alone)
    full = streams.in_full(replay, alone)

    np.testing.assert_array_equal(sampled.right, full.right)
    np.testing.assert_array_equal(sampled.tokens, full.tokens)
    assert sampled.generated == full.generated == QUESTIONS * 16


def test_what_was_asked_for_is_counted(replay):
    full = streams.in_full(replay, SETTING).generated
    external = streams.by_external_sampling(replay, SETTING).generated
    single = streams.by_single_rounds(replay, SETTING).generated

    assert full == QUESTIONS * 16
    for count, costs in (
        (external, [external_count(Rules(), player) for player in range(2)]),
        (single, [immediate_count(Rules())]),
    ):
        assert max(cost.always for cost in costs) * QUESTIONS <= count <= sum(cost.most for cost in costs) * QUESTIONS
    assert single < external < full


def outcome(right: np.ndarray, generated: float = 0.0) -> Outcome:
    return Outcome(right=right, tokens=np.full(len(right), 10.0), generated=generated)


def test_differences_are_paired_and_tested():
    rng = np.random.default_rng(0)
    seeds = []
    for seed in (0, 1):
        base = rng.random(200)
        rows = {
            "base": outcome(base, 1.0),
            "same": outcome(base.copy()),
            "a little better": outcome(base + 0.05),
            "noise": outcome(rng.random(200)),
        }
        seeds.append(Measured(seed=seed, question_ids=[f"{seed}-{at}" for at in range(200)], outcomes=rows))

    drawn = resampled(seeds, resamples=999, label="test")
    rows = {row.label: row for row in compare(seeds, drawn, default="base", price_per_token=0.01)}

    assert list(rows) == ["base", "same", "a little better", "noise"]
    assert [row.is_default for row in rows.values()] == [True, False, False, False]
    right = np.concatenate([one.outcomes["base"].right for one in seeds])
    assert rows["base"].utility.value == pytest.approx(2 * right.mean() - 1 - 0.1)
    assert rows["base"].generated == 1.0
    assert rows["same"].p == 1.0
    better = rows["a little better"]
    assert (better.difference.low, better.difference.value, better.difference.high) == pytest.approx((0.1, 0.1, 0.1))
    assert better.accuracy.high - better.accuracy.low > 0.02
    assert better.p == pytest.approx(3 * 2 / 1000)
    noise = rows["noise"].difference
    assert noise.low < 0 < noise.high


def row(label: str, difference: tuple[float, float, float], p: float) -> Row:
    low, value, high = difference
    nil, own = Estimate(value=0.0, low=0.0, high=0.0), Estimate(value=value, low=low, high=high)
    return Row(label=label, utility=nil, accuracy=nil, tokens=nil, difference=own, p=p, generated=0.0)


def test_findings_name_what_differs_and_bound_the_rest():
    section = Section(title="Colours", about="", default="grey", rows={})
    grey = row("grey", (0.0, 0.0, 0.0), float("nan"))
    rest = [row("red", (-0.02, 0.0, 0.01), 0.9), row("blue", (-0.01, 0.01, 0.03), 0.05)]
    some = Table(who="few speakers", extent="", rows=[grey, *rest, row("snake_green", (-0.3, -0.2, -0.1), 0.04)])
    none = Table(who="other speakers", extent="", rows=[grey, *rest])

    lines = findings([(section, [some, none])]).splitlines()

    bounds = "differs significantly, and all their intervals lie within [−0.020, +0.030]."
    assert lines == [
        f"- Colours, few speakers: snake_green −0.200 [−0.300, −0.100]; none of the others {bounds}",
        f"- Colours, other speakers: no row {bounds}",
    ]


def test_a_test_counts_the_smaller_side_twice():
    assert bootstrap_p(np.array([-1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])) == pytest.approx(2 * 2 / 10)
    assert bootstrap_p(-np.ones(99)) == pytest.approx(2 / 100)
    assert bootstrap_p(np.zeros(9)) == 1.0


def plan_fields() -> dict:
    return {
        "methods": ["tracer"],
        "tasks": {"easy": {"name": "arithmetic", "options": {"level": "1"}}},
        "settings": {"dialogue.rounds": 3, "trainer.questions_per_step": 4, "controllers.inner_iterations": 3},
        "seeds": [0, 1],
        "questions": 6,
        "fit_questions": 8,
        "validation_questions": 4,
    }


def test_every_section_has_its_default_once():
    chosen = sections(make_plan(plan_fields(), "test"))

    assert {"infosets", "minimisers", "expansion", "weighting", "play", "price", "seats", "rounds"} < set(chosen)
    for section in chosen.values():
        assert section.default in section.rows
        assert len(section.rows) > 1
    assert list(chosen["rounds"].rows) == ["1", "3"]
    assert "1 agent, parity" in chosen["seats"].rows


def test_a_setting_of_its_own_gets_a_row():
    plan = make_plan({**plan_fields(), "settings": {"dialogue.price_of_speech": 0.07}}, "test")

    assert sections(plan)["price"].default == "as configured"


class Guessing:
    """Speakers without a model, right more often than not and reviewing by luck; noise as the request says."""

    def speak(self, requests):
        said = []
        for request in requests:
            rng = np.random.default_rng(request.noise_seed)
            if request.state.role is Role.REVIEWER:
                verdict = (Verdict.RIGHT, Verdict.WRONG, None)[rng.integers(3)]
                said.append(Utterance(text="a review", verdict=verdict, generated_tokens=int(rng.integers(5, 20))))
            else:
                answer = (request.episode.question.gold, "1", "2")[max(0, rng.integers(-1, 3))]
                said.append(Utterance(text="a try", answer=answer, generated_tokens=int(rng.integers(10, 30))))
        return said


*RECORDED, UNRECORDED = RECIPES


@pytest.fixture
def benchmark(tmp_path) -> Path:
    """A benchmark's folder with recordings of the initial speakers, and of every recipe but one for seed 0."""
    plan = Plan.model_validate(plan_fields())
    out = tmp_path / "out"
    out.mkdir()
    (out / "plan.yaml").write_text(yaml.safe_dump(plan.model_dump(mode="json")))
    for seed, recipe in [(0, None), (1, None), *((0, RECIPES[label]) for label in RECORDED)]:
        bench = open_bench(out, seed)
        task = build_task(bench.config)
        for split in SPLITS:
            path = bench.recording_path(split, recipe)
            path.parent.mkdir(parents=True)
            recordings.record(path, bench.episodes(split), bench.config.rules, Guessing(), task, chunk=8)
    return out


def test_the_command_writes_the_page_and_keeps_what_was_written_by_hand(benchmark, tmp_path, capsys):
    report = tmp_path / "page" / "ablations.md"
    report.parent.mkdir()
    report.write_text(f"# Mine\n\nA finding.\n\n{MARK}\n\nold tables\n")

    command = [str(benchmark), "--report", str(report), "--resamples", "200", "--longer", str(benchmark)]
    command += ["--trained", str(benchmark)]
    command += ["--only", "fixed", "price", "rounds"]
    assert main(command) == 0, capsys.readouterr().err

    text = report.read_text("utf-8")
    assert text.startswith(f"# Mine\n\nA finding.\n\n{MARK}")
    assert "old tables" not in text
    assert f"python -m benchmarks.ablations {' '.join(command)}" in text
    assert text.count("Initial speakers, 12 test questions of seeds 0, 1:") == 4
    assert text.count("Trained speakers, 6 test questions of seed 0:") == 4
    assert text.count("Trained speakers of out, 6 test questions of seed 0:") == 1
    assert "## What the intervals support\n\n- Learned or fixed, initial speakers: " in text
    assert "## Longer dialogues" in text
    for label in (*RECORDED, "stop&#95;on&#95;agreement", "learned"):
        assert f"\n| {label.replace('&#95;', '_')} | " in text
    assert UNRECORDED not in text
    assert (report.parent / "ablations" / "frontier.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_not_recorded_is_named(benchmark, tmp_path, capsys):
    assert main([str(benchmark), "--report", str(tmp_path / "page.md"), "--only", "colours"]) == 1
    assert "there is no section 'colours'; there are fixed, infosets" in capsys.readouterr().err

    path = open_bench(benchmark, 1).recording_path("test", None)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    assert main([str(benchmark), "--report", str(tmp_path / "page.md")]) == 1
    assert "holds 3 of 6 questions; continue the benchmark" in capsys.readouterr().err

    shutil.rmtree(benchmark / "recordings")
    assert main([str(benchmark), "--report", str(tmp_path / "page.md")]) == 1
    assert "holds no recordings; python -m benchmarks run --methods tracer" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def test_speech_counts_reviews_of_right_and_of_wrong_solutions(replay):
    figures = speech(replay, Rules())

    trees = replay.trees("test", Rules())
    judged = [
        (tree.right(tree.states[prefix]), utterance.verdict)
        for tree in trees
        for prefix, utterance in tree.spoken()
        if len(prefix) % 2 == 1
    ]
    of_right = [verdict for right, verdict in judged if right]
    of_wrong = [verdict for right, verdict in judged if not right]
    assert figures.first == np.mean([tree.right(tree.states["1"]) for tree in trees])
    assert figures.sensitivity == of_wrong.count(Verdict.WRONG) / len(of_wrong)
    assert figures.specificity == of_right.count(Verdict.RIGHT) / len(of_right)


def test_the_ablations_and_a_run_say_the_same_of_the_same_reviews(replay):
    """In three rounds a tree holds one review, which whoever always speaks plays."""
    rules, recording = Rules(rounds=3), replay.recordings["test"]
    finals = play(replay.trees("test", rules), AlwaysSpeak())
    records = record_dialogues(recording.episodes, finals, recording, method="team", phase="after", seed=0)
    run = summarise(records, Utility(rounds=3), temperature=1.0, resamples=100, seed=0)

    figures = speech(replay, rules)

    assert (figures.sensitivity, figures.specificity) == (run.reviewer_sensitivity, run.reviewer_specificity)
    assert figures.sensitivity != figures.specificity


def test_the_table_of_speech_says_which_solutions_were_called_what():
    table = speech_table({"all": Speech(first=0.5, sensitivity=0.125, specificity=0.75, tokens=9.0)})

    head, _, row = table.splitlines()
    assert head == "|  | first proposals right | wrong called WRONG | right called RIGHT | tokens, all speak |"
    assert row == "| all | 0.500 | 0.125 | 0.750 | 9.0 |"


def test_recipes_are_trained_then_recorded(benchmark):
    recipe = RECIPES["reviews paid for uplift"]
    jobs = jobs_of_recipes(benchmark, [0, 1], [recipe])

    assert [job.kind for job in jobs] == ["train"] * 2 + ["record"] * 6
    assert all(job.needs == (jobs[job.bench.seed].name,) for job in jobs[2:])
    assert jobs[0].bench.training_config(recipe).credit.reviewer == "uplift"
    recorded = [job.is_done for job in jobs[2:]]
    assert recorded == [True] * 3 + [False] * 3  # of seed 0, as the fixture has it


def test_a_seed_that_the_plan_lacks_is_refused(benchmark, capsys):
    assert train_recipes([str(benchmark), "--seeds", "7"]) == 1
    assert "--seeds: the plan has [0, 1], not [7]" in capsys.readouterr().err
