"""``python -m benchmarks pool``: the words of the command, real kills, trained speakers."""

import re
import subprocess
import sys

import pytest

from benchmarks.__main__ import main
from benchmarks.suite.drawing import distinct_episodes
from tracer_agents.build import build_task
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.runs.pools import load_pool
from tracer_agents.training import terminal
from tracer_env.errors import DataError


@pytest.fixture
def words(small_settings):
    """The command on the small model."""
    settings = [word for name, value in small_settings.items() for word in (f"--{name}", str(value))]

    def command(out, *options, split="train", questions=6):
        asked = ["pool", "--split", split, "--questions", str(questions), "--draws", "2", "--out", str(out)]
        return [*asked, *settings, *options]

    return command


def test_a_pool_that_was_killed_goes_on_to_the_same_bytes(words, tmp_path):
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed" / "pool.jsonl"
    options = ["--chunk", "1", "--seed", "3"]
    assert main(words(whole, *options, questions=40)) == 0
    command = [sys.executable, "-m", "benchmarks", *words(killed, *options, questions=40)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not killed.exists() or killed.stat().st_size < whole.stat().st_size / 3:
        try:
            process.wait(timeout=0.001)
        except subprocess.TimeoutExpired:
            continue
        break
    process.kill()
    process.wait()
    assert killed.stat().st_size < whole.stat().st_size  # it was killed, and had not ended
    assert main(words(killed, *options, questions=40)) == 0
    assert killed.read_bytes() == whole.read_bytes()


def test_a_pool_may_grow_and_holds_different_questions(words, tmp_path, capsys):
    out = tmp_path / "pool.jsonl"
    assert main(words(out, "--chunk", "2", questions=4)) == 0
    assert main(words(out, "--chunk", "2", questions=6)) == 0
    pool = load_pool(out)
    assert len({question.episode.question.id for question in pool.questions}) == 6
    assert (pool.header.split, pool.header.draws, pool.header.reviewed_draws) == ("train", 2, 2)
    assert all(len(draw.reviews) == 1 for question in pool.questions for draw in question.members[0])
    capsys.readouterr()
    assert main(words(out, "--chunk", "2", "--speakers.temperature", "0.5")) == 1
    assert "holds a pool with another speakers" in " ".join(capsys.readouterr().err.split())


def test_a_pool_says_how_many_utterances_of_its_part_are_there(words, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(terminal, "_LINE_EVERY", 0.0)
    assert main(words(tmp_path / "pool.jsonl", "--chunk", "3", questions=6)) == 0
    shown = re.findall(r"^(\d+)/(\d+) utterances$", capsys.readouterr().err, flags=re.M)
    assert ("6", "6") in shown  # the proposals of the first part
    assert shown[-1] == ("24", "24")  # proposals and reviews of both


def test_trained_speakers_draw_other_proposals_from_the_run_or_its_checkpoint(words, small_config, tmp_path, capsys):
    from tracer_agents.training.experiment import run_training
    from tracer_agents.training.stages import Silent

    brief = {
        "trainer.steps": 2,
        "trainer.checkpoint_every": 1,
        "evaluation.baselines": False,
        "gspo.learning_rate": 0.05,
    }
    run_training(small_config(brief), tmp_path / "run", resume=False, display=Silent())
    run = RunDirectory(tmp_path / "run")
    paths = {name: tmp_path / f"{name}.jsonl" for name in ("initial", "run", "checkpoint")}
    asked = ["pool", "--split", "test", "--questions", "4", "--draws", "2"]
    assert main(words(paths["initial"], split="test", questions=4)) == 0
    assert main([*asked, "--out", str(paths["run"]), "--weights", str(run.folder)]) == 0
    assert main([*asked, "--out", str(paths["checkpoint"]), "--weights", str(run.checkpoints.latest())]) == 0
    assert paths["run"].read_bytes() == paths["checkpoint"].read_bytes()
    texts = {
        name: [draw.utterance.text for question in load_pool(path).questions for draw in question.members[0]]
        for name, path in paths.items()
    }
    assert texts["run"] != texts["initial"]
    digests = {name: load_pool(path).header.about["model_sha256"] for name, path in paths.items()}
    assert None not in digests.values()
    assert digests["run"] != digests["initial"]
    capsys.readouterr()
    frozen = [*asked, "--out", str(tmp_path / "no.jsonl"), "--weights", str(run.folder), "--credit.train", "false"]
    assert main(frozen) == 1
    assert "nobody speaks with trained weights" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--draws", "0"], "--draws: must be ≥ 1, got 0"),
        (["--reviewed-draws", "3"], "--reviewed-draws: must be at most --draws 2, got 3"),
        (["--chunk", "0"], "--chunk: must be ≥ 1, got 0"),
        (["--weights", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_drawn_is_refused(words, tmp_path, capsys, options, message):
    assert main(words(tmp_path / "pool.jsonl", *options)) == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "pool.jsonl").exists()


def test_questions_are_different_and_more_of_them_begin_with_the_same(small_config):
    config = small_config()
    task = build_task(config)
    few, many = (distinct_episodes(task, config, "train", count) for count in (10, 30))
    assert many[:10] == few
    assert len({episode.question.id for episode in many}) == 30
    played = task.draw("train", 0, 4, seed=config.seed)  # what a training of these settings meets first
    assert not {question.id for question in played} & {episode.question.id for episode in many}


class TwoQuestions:
    """A split that ends."""

    name = "short"

    def draw(self, split, start, count, *, seed):
        from tracer_env.tasks.base import Question

        return [Question(id=str(number), text="?", gold="7") for number in range(2)][start : start + count]


def test_a_split_of_too_few_questions_is_named(small_config):
    with pytest.raises(DataError, match="--questions: the test split of short has 2 questions, 3 are asked for"):
        distinct_episodes(TwoQuestions(), small_config(), "test", 3)
