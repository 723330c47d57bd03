"""The command: exit status, messages without tracebacks, and what a whole small run writes."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from tracer_agents.cli import main
from tracer_agents.config import Config, dump_config, load_config
from tracer_agents.config.options import sections, settings
from tracer_agents.config.sources import require_same_team
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.team import Team
from tracer_env.errors import ConfigError

DATA = Path(__file__).parents[2].parent / "shared" / "data"
M = {
    "accuracy", "accuracy_ci95", "greedy_accuracy", "utility", "correction_rate", "preservation_rate",
    "generated_tokens_per_question", "prompt_tokens_per_question", "speak_rate", "temperature", "n",
}  # fmt: skip
SUMMARY = {
    "schema_version", "task", "model", "seed", "versions", "config_sha256", "price_of_speech", "token_budget",
    "train_seconds", "before", "after", "baselines", "comparisons", "certificate",
}  # fmt: skip
TURN = {
    "round", "agent", "role", "mode", "forced", "text", "answer", "verdict", "right", "reward",
    "prompt_tokens", "generated_tokens", "finish_reason",
}  # fmt: skip


@pytest.fixture(scope="session")
def settings_file(small_settings, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("settings") / "small.yaml"
    file.write_text(dump_config(load_config(overrides=small_settings)))
    return file


@pytest.fixture(scope="session")
def run(settings_file, tmp_path_factory) -> Path:
    """A finished training run."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", "--config", str(settings_file), "--seed", "1", "--out", str(out)]) == 0
    return out


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def fails(capsys, *arguments: str | Path) -> str:
    """Runs a command that must end with status 1 and a message; returns the message."""
    assert main([str(argument) for argument in arguments]) == 1
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err + printed.out
    assert "error:" in printed.err
    return " ".join(printed.err.split())


# a whole run


def test_the_run_directory_is_complete(run):
    names = {path.name for path in run.iterdir()}
    assert names >= {"config.yaml", "summary.json", "metrics.jsonl", "tb", "transcripts.jsonl", "checkpoints"}
    last = run / "checkpoints" / "step_4"
    assert {path.name for path in last.iterdir()} >= {
        "model.safetensors", "config.json", "controllers.npz", "optimiser.pt", "state.json", "tokenizer.json",
    }  # fmt: skip
    assert json.loads((last / "state.json").read_text()) == {"step": 4, "policy_version": 4, "questions_drawn": 8}
    assert not [path for path in (run / "checkpoints").iterdir() if path.name.startswith(".")]


def test_the_settings_are_complete_and_rerunnable(run, settings_file):
    assert load_config(file=run / "config.yaml") == load_config(file=settings_file, overrides={"seed": 1})


def test_the_summary_has_every_field(run):
    summary = RunDirectory(run).summary()
    assert set(summary) >= SUMMARY
    methods = {"before": summary["before"], "after": summary["after"], **summary["baselines"]}
    assert set(methods) >= {"single", "self_consistency", "self_consistency_next", "always_speak", "random_speak"}
    for figures in methods.values():
        assert set(figures) >= M
        assert figures["n"] == 6
        low, high = figures["accuracy_ci95"]
        assert 0 <= low <= figures["accuracy"] <= high <= 1
    assert summary["after"]["greedy_accuracy"] is not None
    for comparison in summary["comparisons"]:
        assert set(comparison) == {"a", "b", "metric", "difference", "ci95", "n", "p"}
    assert {c["b"] for c in summary["comparisons"]} == set(methods) - {"after"}


def test_figures_follow_from_the_transcripts(run):
    """Anybody can recompute the table from the recorded dialogues."""
    summary = RunDirectory(run).summary()
    dialogues = rows(run / "transcripts.jsonl")
    assert len({(d["phase"], d["method"], d["question_id"]) for d in dialogues}) == len(dialogues)
    for phase in ("before", "after"):
        mine = [d for d in dialogues if (d["phase"], d["method"]) == (phase, "team")]
        tokens = [sum(turn["generated_tokens"] for turn in d["turns"]) for d in mine]
        assert summary[phase]["accuracy"] == np.mean([d["correct"] for d in mine])
        assert summary[phase]["generated_tokens_per_question"] == pytest.approx(np.mean(tokens))
    for name, figures in summary["baselines"].items():
        mine = [d for d in dialogues if (d["phase"], d["method"]) == ("after", figures["method"])]
        assert len(mine) == figures["n"], name
        assert figures["accuracy"] == np.mean([d["correct"] for d in mine])


def test_transcripts_have_every_field(run):
    for dialogue in rows(run / "transcripts.jsonl"):
        assert set(dialogue) >= {
            "method", "phase", "seed", "question_id", "question", "gold", "answer", "correct", "turns",
        }  # fmt: skip
        for turn in dialogue["turns"]:
            assert set(turn) == TURN | ({"mean_logp"} if turn["text"] is not None else set())


def test_wall_times_are_in_timing_and_nowhere_else(run):
    metrics = rows(run / "metrics.jsonl")
    assert [row["step"] for row in metrics] == [1, 2, 3, 4]
    for row in metrics:
        assert set(row["timing"]) >= {"expand", "groups", "gspo", "regret"}
        assert not [name for name in (*row, *(row["gspo"] or ())) if "second" in name or "time" in name.split("_")]
        assert row["questions"] == 2
        assert row["gspo"]["ratio_first_deviation"] < 1e-6


def test_curves_are_those_of_the_metrics(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tb"))
    events.Reload()
    assert [event.step for event in events.Scalars("team/accuracy")] == [1, 2, 3, 4]
    expected = [row["gspo"]["gradient_norm"] for row in rows(run / "metrics.jsonl")]
    assert [event.value for event in events.Scalars("learning/gradient_norm")] == pytest.approx(expected, rel=1e-6)


def test_the_table_names_every_method(run, capsys, settings_file, tmp_path):
    out = tmp_path / "again"
    arguments = ["train", "--config", str(settings_file), "--out", str(out), "--trainer.steps=1"]
    assert main([*arguments, "--evaluation.greedy", "false"]) == 0
    printed = capsys.readouterr().out
    for words in ("before training", "after training", "single answer", "self_consistency@", "always speak", "95%"):
        assert words in printed
    assert str(out) in "".join(printed.split("\n"))


def test_a_finished_run_may_be_resumed_to_the_same_end(run, settings_file, tmp_path):
    from shutil import copytree

    out = copytree(run, tmp_path / "copy")
    (out / "metrics.jsonl").write_bytes((out / "metrics.jsonl").read_bytes() + b'{"step": 5}\n{"st')
    assert main(["train", "--resume", "--out", str(out)]) == 0
    assert (out / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()
    assert (out / "transcripts.jsonl").read_bytes() == (run / "transcripts.jsonl").read_bytes()


# evaluation


def test_eval_of_a_run_is_its_own_after(run, tmp_path):
    assert main(["eval", str(run), "--out", str(tmp_path / "e")]) == 0
    summary, trained = RunDirectory(tmp_path / "e").summary(), RunDirectory(run).summary()
    assert summary["after"] == trained["after"]
    assert summary["before"] is None
    assert summary["baselines"]["self_consistency"] == trained["baselines"]["self_consistency"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("speakers.model", "somebody/else"),
        ("speakers.lora_rank", "4"),
        ("dialogue.infoset", "recall"),
        ("dialogue.rounds", "1"),
        ("controllers.play", "greedy"),
        ("gspo.learning_rate", "1"),
    ],
)
def test_eval_of_a_run_refuses_what_contradicts_it(run, tmp_path, capsys, name, value):
    """It would measure the run's checkpoint and record something else."""
    message = fails(capsys, "eval", run, f"--{name}", value, "--out", tmp_path / "e")
    assert f"{name}: the run was trained with" in message
    assert not (tmp_path / "e").exists()


def test_eval_of_a_run_may_change_what_is_asked_and_how(run):
    trained = RunDirectory(run).config()
    others = {"seed": 9, "task": {"name": "gsm8k"}, "evaluation.questions": 3, "speakers.temperature": 0.5}
    prices = {"dialogue.price_of_speech": 0.5, "speakers.proposer_max_new_tokens": 7, "backend.batch_size": 3}
    require_same_team(trained, load_config(file=run / "config.yaml", overrides={**others, **prices}))


def test_a_summary_says_which_weights_were_measured(run, tmp_path):
    """Anybody can compare it with ``sha256sum``."""
    weights = run / "checkpoints" / "step_4" / "model.safetensors"
    summary = RunDirectory(run).summary()
    assert run / summary["weights"] == weights.parent
    assert summary["model_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_eval_of_a_bare_model(settings_file, small_folder, tmp_path):
    out = tmp_path / "e"
    arguments = ["eval", "--model", str(small_folder), "--config", str(settings_file), "--limit", "3"]
    assert main([*arguments, "--out", str(out)]) == 0
    summary = RunDirectory(out).summary()
    assert summary["after"]["n"] == 3
    assert summary["after"]["speak_rate"] == 1.0
    assert (summary["model"], summary["train_seconds"]) == (str(small_folder), None)
    assert summary["weights"] == str(small_folder)
    assert len(summary["model_sha256"]) == 64


@pytest.mark.parametrize(("task", "file"), [("gsm8k", "gsm8k_test.jsonl"), ("math500", "math500_test.jsonl")])
def test_eval_on_real_questions(settings_file, small_folder, tmp_path, task, file):
    if not (DATA / file).is_file():
        pytest.skip(f"needs the real questions at {DATA / file}")
    out = tmp_path / "e"
    arguments = ["eval", "--model", str(small_folder), "--config", str(settings_file), "--task", task]
    more = ["--data", str(DATA / file), "--limit", "2", "--evaluation.greedy", "false"]
    shorter = ["--speakers.proposer_max_new_tokens", "8", "--speakers.reviewer_max_new_tokens", "8"]
    assert main([*arguments, *more, *shorter, "--out", str(out)]) == 0
    summary = RunDirectory(out).summary()
    assert (summary["task"], summary["after"]["n"]) == (task, 2)
    questions = {row["question"] for row in rows(DATA / file) if "question" in row} or {
        row["problem"] for row in rows(DATA / file)
    }
    assert {dialogue["question"] for dialogue in rows(out / "transcripts.jsonl")} <= questions


def replayed(tmp_path: Path, *made: dict[str, Any]) -> Path:
    file = tmp_path / "completions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in made))
    return file


def test_eval_of_recorded_completions(tmp_path, capsys):
    """Two models on three questions: one knows the answers, one guesses twice and is right once."""
    from tracer_env.tasks.arithmetic import Arithmetic

    asked = Arithmetic(level=1).draw("test", 0, 3, seed=0)
    knows = [{"question": q.text, "completion": f"#### {q.gold}", "model": "[bold]knows{0}"} for q in asked]
    guesses = [
        {"question": q.text, "completion": f"#### {answer}", "model": "guesses", "generated_tokens": 5}
        for q in asked[:2]
        for answer in ("-1", q.gold if q is asked[0] else "-2")
    ]
    out = tmp_path / "e"
    arguments = ["eval", "--speaker", "replay", "--completions", str(replayed(tmp_path, *knows, *guesses))]
    options = ["--task.options", "{level: 1}", "--limit", "3", "--evaluation.bootstrap=200"]
    assert main([*arguments, *options, "--out", str(out)]) == 0
    assert "[bold]knows{0}" in capsys.readouterr().out
    models = RunDirectory(out).summary()["models"]
    assert set(models) == {"[bold]knows{0}", "guesses"}
    assert (models["[bold]knows{0}"]["accuracy"], models["[bold]knows{0}"]["n"]) == (1.0, 3)
    guessed = models["guesses"]
    assert (guessed["accuracy"], guessed["pass_at_k"], guessed["samples"], guessed["unanswered"]) == (0.0, 0.5, 2, 1)
    assert guessed["generated_tokens_per_question"] == 5


def test_without_a_limit_everything_recorded_is_graded_and_what_matches_nothing_is_counted(tmp_path, capsys):
    """More than the 500 questions of other evaluations, of which one differs in spacing and one is not the task's."""
    from tracer_env.tasks.arithmetic import Arithmetic

    questions = Arithmetic(level=1).draw("test", 0, 520, seed=0)
    made = [{"question": q.text, "completion": f"#### {q.gold}"} for q in questions]
    made[-1]["question"] = "  " + made[-1]["question"].replace(" ", "  ")
    file = replayed(tmp_path, *made, {"question": "Who?", "completion": "#### 1"})
    options = ["--task.options", "{level: 1}", "--evaluation.bootstrap=200", "--out", str(tmp_path / "e")]
    assert main(["eval", "--speaker", "replay", "--completions", str(file), *options]) == 0
    figures = RunDirectory(tmp_path / "e").summary()["models"]["recorded"]
    assert (figures["n"], figures["accuracy"], figures["unanswered"], figures["unmatched"]) == (520, 1.0, 0, 1)
    assert "unmatched" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["{", '{"question": "Q"}'])
def test_malformed_completions_are_named(tmp_path, capsys, content):
    file = tmp_path / "bad.jsonl"
    file.write_text(content + "\n")
    message = fails(capsys, "eval", "--speaker", "replay", "--completions", file, "--out", tmp_path / "e")
    assert "bad.jsonl,line1" in message.replace(" ", "")


def test_completions_of_other_questions_are_refused(tmp_path, capsys):
    file = replayed(tmp_path, {"question": "Who?", "completion": "#### 1"})
    message = fails(capsys, "eval", "--speaker", "replay", "--completions", file, "--out", tmp_path / "e")
    assert "no completion of 'recorded' answers a question of arithmetic" in message


# the team


def test_a_loaded_team_plays_the_recorded_dialogues(run):
    """The ten lines of the README, against the transcripts of the same seeds."""
    from tracer_agents.evaluation.play import draw_episodes

    team = Team.load(run)
    env = team.env()
    episodes = draw_episodes(team.parts.task, "test", 0, 6, seed=1, phase="test")
    recorded = {
        d["question_id"]: d for d in rows(run / "transcripts.jsonl") if (d["phase"], d["method"]) == ("after", "team")
    }
    for episode in episodes:
        env.reset(seed=episode.seed, options={"question": episode.question.text, "gold": episode.question.gold})
        for _ in env.agent_iter():
            observation, _, terminated, truncated, info = env.last()
            env.step(None if terminated or truncated else team.act(observation, info))
        turns = [turn.utterance.text if turn.utterance else None for turn in env.unwrapped.dialogue.turns]
        assert turns == [turn["text"] for turn in recorded[episode.question.id]["turns"]]


# refusals


@pytest.mark.parametrize(("task", "file"), [("math500", "math500_test.jsonl"), ("gpqa_diamond", None)])
def test_evaluation_only_tasks_are_not_trained_on(tmp_path, capsys, settings_file, task, file):
    data: list[str | Path] = []
    if file is None:
        made = tmp_path / "gpqa.jsonl"
        made.write_text(
            json.dumps(
                {
                    "Question": "Which?",
                    "Correct Answer": "a",
                    "Incorrect Answer 1": "b",
                    "Incorrect Answer 2": "c",
                    "Incorrect Answer 3": "d",
                }
            )
        )
        data = ["--data", made]
    elif (DATA / file).is_file():
        data = ["--data", DATA / file]
    else:
        pytest.skip(f"needs the real questions at {DATA / file}")
    out = tmp_path / "run"
    message = fails(capsys, "train", "--config", settings_file, "--task", task, *data, "--out", out)
    assert task in message
    assert "evaluation" in message
    assert not (out / "transcripts.jsonl").exists()
    assert main(["train", "--config", str(settings_file), "--trainer.steps", "0", "--out", str(out)]) == 0


def test_a_used_directory_is_refused(run, capsys, settings_file):
    assert "holds a run already" in fails(capsys, "train", "--config", settings_file, "--out", run)
    assert "holds a run already" in fails(capsys, "eval", run, "--out", run)


def test_resuming_with_other_settings_is_refused(run, capsys):
    message = fails(capsys, "train", "--resume", "--seed", "2", "--out", run)
    assert "other settings" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "nope"], "no preset 'nope'"),
        (["train", "demo", "--steps", "3"], "there is no option '--steps'; did you mean --trainer.steps?"),
        (["train", "demo", "--trainer.steps"], "--trainer.steps"),
        (["train", "demo", "--trainer.steps", "["], "cannot be read as YAML"),
        (["train", "demo", "--trainer.stepz", "3"], "'--trainer.stepz'; did you mean --trainer.steps?"),
        (["train", "gsm8k-qwen2.5-1.5"], "did you mean gsm8k-qwen2.5-1.5b?"),
        (["eval", "demo"], "demo is a preset, and eval measures what was trained: tracer train demo --out RUN"),
        (["train", "demo", "--trainer.steps", "-3"], "trainer.steps"),
        (["train", "demo", "--controllers.minimiser", "Foo"], "controllers.minimiser"),
        (["train", "demo", "--dialogue.rounds", "4"], "rounds must be an odd integer"),
        (["train", "demo", "--task", "chess"], "chess"),
        (["train", "demo", "--task.options", "{levle: 2}"], "levle"),
        (["train", "demo", "--speakers.device", "abacus"], "speakers.device"),
        (["train", "demo", "--resume"], "no config.yaml"),
        (["eval"], "give one of RUN, --model NAME_OR_PATH, --speaker replay, or a team"),
        (["eval", "somewhere", "--model", "tiny"], "give one of"),
        (["eval", "--speaker", "replay"], "go together"),
        (["eval", "--model", "tiny", "--limit", "0"], "evaluation.questions"),
        (["eval", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_told_without_a_traceback(tmp_path, capsys, arguments, message):
    assert message in fails(capsys, *arguments, "--out", tmp_path / "out")


def test_models_that_cannot_be_loaded(tmp_path, capsys, small_folder):
    from shutil import copytree

    empty = tmp_path / "empty"
    empty.mkdir()
    assert "speakers.model" in fails(capsys, "eval", "--model", empty, "--out", tmp_path / "a")
    broken = copytree(small_folder, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"broken")
    assert "speakers.model" in fails(capsys, "eval", "--model", broken, "--out", tmp_path / "b")
    mute = copytree(small_folder, tmp_path / "mute")
    (mute / "chat_template.jinja").unlink()
    assert "chat template" in fails(capsys, "eval", "--model", mute, "--out", tmp_path / "c")


@pytest.fixture
def started(monkeypatch) -> list[tuple[Config, Path, bool]]:
    """What ``tracer train`` would have run: settings, directory, whether it goes on with a run."""
    calls: list[tuple[Config, Path, bool]] = []

    def run_training(
        config: Config, out: Path, *, resume: bool, allow_older: bool, display: object, logs: object, ranks: object
    ) -> Mock:
        calls.append((config, out, resume))
        return Mock()

    monkeypatch.setattr("tracer_agents.training.experiment.run_training", run_training)
    monkeypatch.setattr("tracer_agents.training.terminal.print_summary", lambda summary, out: None)
    return calls


@pytest.mark.parametrize(
    "words",
    [
        "train --trainer.steps 3 demo --out x --gspo.learning_rate=1e-3 --task.options.level 2",
        "train --out x --gspo.learning_rate 1e-3 demo --task.options.level=2 --trainer.steps 3",
        "train demo --trainer.steps 9 --out x --task.options.level 2 --trainer.steps=3 --gspo.learning_rate 1e-3",
    ],
)
def test_settings_may_stand_anywhere_and_the_last_wins(started, words):
    """A setting's value is never taken for the preset."""
    settings = {"trainer.steps": 3, "trainer.controller_steps": 1, "gspo.learning_rate": 1e-3, "task.options.level": 2}

    assert main(words.split()) == 0

    assert started == [(load_config(preset="demo", overrides=settings), Path("x"), False)]


def test_settings_of_a_resumed_run_are_compared_with_its_own(started):
    words = "train demo --trainer.steps 20 --task.options.level 1 --resume --out RUN --seed 3"

    assert main(words.split()) == 0

    settings = {"trainer.steps": 20, "task.options.level": 1, "seed": 3}
    assert started == [(load_config(preset="demo", overrides=settings), Path("RUN"), True)]


def test_another_task_forgets_the_presets_data(started):
    assert main(["train", "demo", "--task", "gsm8k", "--data", "d.jsonl", "--out", "x"]) == 0
    assert started[0][0].task.model_dump() == {"name": "gsm8k", "data": "d.jsonl", "eval_data": None, "options": {}}


def test_the_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"tracer {metadata.version('tracer-debate')}\n"


@pytest.mark.parametrize("command", ["train", "eval", "doctor"])
def test_help_lists_every_setting_with_type_default_and_meaning(command, capsys):
    assert main([command, "--help"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    for setting in settings():
        assert f"--{setting.name} {setting.type}" in page or setting.name == "seed"
        assert setting.meaning in page or setting.name == "seed"
        assert f"[default: {setting.default}]" in page
    for name, meaning in sections().items():
        assert f"Settings of {name}: {meaning.rstrip('.')}:" in page
    assert all(preset in page for preset in ("demo", "gsm8k-qwen2.5-7b"))


def test_a_servers_own_flags_stand_after_two_dashes(monkeypatch, capsys):
    specs = []
    monkeypatch.setattr("tracer_agents.generation.sglang.server.find_python", lambda given: given)
    monkeypatch.setattr(
        "tracer_agents.generation.sglang.server.watch", lambda server, restarts: specs.append(server.spec) or []
    )
    words = "serve Qwen/Qwen2.5-1.5B-Instruct --python P --device cpu --port 5 -- --context-length 4096"

    assert main(words.split()) == 0

    assert (specs[0].model, specs[0].python, specs[0].port) == ("Qwen/Qwen2.5-1.5B-Instruct", Path("P"), 5)
    assert specs[0].further == ("--context-length", "4096")


def test_interruption_is_no_error_but_no_success(monkeypatch, capsys):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tracer_agents.training.experiment.run_training", interrupted)
    assert main(["train", "demo", "--out", "x"]) == 130
    assert "go on with: tracer train --resume --out x" in capsys.readouterr().err


def test_a_message_with_brackets_is_printed_whole(monkeypatch, capsys):
    def fail(*_: object, **__: object) -> None:
        raise ConfigError("options: [bold]{0}[/] and [0, 1]")

    monkeypatch.setattr("tracer_agents.training.experiment.run_training", fail)
    assert main(["train", "demo", "--out", "x"]) == 1
    assert "options: [bold]{0}[/] and [0, 1]" in capsys.readouterr().err


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "tracer_agents", "--help"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: tracer" in done.stdout


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["--version"], ["train", "--trainer.stepz", "3"]])
def test_help_and_mistakes_load_no_torch(words):
    script = f"import sys; from tracer_agents.cli import main; main({words!r}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_the_shell_completes_settings_their_values_and_presets(tmp_path):
    """As Click's completion scripts ask for it."""
    for words, count, completed in (
        ("tracer train --controllers.pl", 2, "--controllers.play"),
        ("tracer train --controllers.play val", 3, "validated"),
        ("tracer train demo-p", 2, "demo-paper"),
    ):
        done = subprocess.run(
            [Path(sys.executable).with_name("tracer")],
            env={**os.environ, "_TRACER_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == f"plain,{completed}\n"


# stopped from outside


@pytest.mark.parametrize("place", ["step", "checkpoint"])
def test_sigterm_ends_a_run_cleanly_and_resume_goes_on(settings_file, run, tmp_path, monkeypatch, capsys, place):
    """As Slurm does before it kills: between figures, or while a checkpoint is being written."""
    from tracer_agents.generation.weights import WholeModel
    from tracer_agents.training.trainer import Trainer

    kind, name = (Trainer, "step") if place == "step" else (WholeModel, "save")
    before, calls = getattr(kind, name), []

    def stopped(self: Any, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return before(self, *arguments)

    monkeypatch.setattr(kind, name, stopped)
    out = tmp_path / "run"
    arguments = ["train", "--config", str(settings_file), "--seed", "1", "--out", str(out)]
    assert main([*arguments, "--trainer.checkpoint_every=1"]) == 143
    message = " ".join(capsys.readouterr().err.split())
    assert f"terminated; finished steps are on disk, go on with: tracer train --resume --out {out}" in message
    assert not [path for path in out.rglob("*") if ".draft" in path.name]
    assert not (out / "summary.json").exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    monkeypatch.setattr(kind, name, before)
    assert main(["train", "--resume", "--out", str(out)]) == 0
    figures = [
        {k: v for k, v in row.items() if k not in ("timing", "certificate")} for row in rows(out / "metrics.jsonl")
    ]
    assert figures == [
        {k: v for k, v in row.items() if k not in ("timing", "certificate")} for row in rows(run / "metrics.jsonl")
    ]


def test_what_cannot_be_resumed_does_not_advise_it(run, monkeypatch, capsys):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tracer_agents.evaluation.certify.certify_run", interrupted)
    assert main(["certify", str(run)]) == 130
    message = capsys.readouterr().err
    assert "interrupted; the run is as it was" in message
    assert "--resume" not in message


def test_a_killed_evaluation_goes_on_question_by_question(run, tmp_path, monkeypatch, capsys):
    """Killed in its second part, with a torn row: only what is missing is played, and the end is the same."""
    from tracer_agents.evaluation.examiner import Examiner

    monkeypatch.setattr("tracer_agents.training.experiment.QUESTIONS_PER_PART", 2)
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert main(["eval", str(run), "--out", str(whole)]) == 0
    assert "4/6 questions" in capsys.readouterr().err
    played, team = [], Examiner.team

    def killed(self: Examiner, *arguments: Any, **named: Any) -> Any:
        if len(played) == 2:
            raise KeyboardInterrupt
        played.append([episode.question.id for episode in self.episodes])
        return team(self, *arguments, **named)

    monkeypatch.setattr(Examiner, "team", killed)
    assert main(["eval", str(run), "--out", str(out)]) == 130
    assert "go on with the same command and --resume" in capsys.readouterr().err
    with (out / "transcripts.jsonl").open("ab") as file:
        file.write(b'{"method": "team", "pha')
    played.clear()
    assert main(["eval", str(run), "--resume", "--out", str(out)]) == 0
    assert len(played) == 1
    assert (out / "transcripts.jsonl").read_bytes() == (whole / "transcripts.jsonl").read_bytes()
    first, second = (RunDirectory(each).summary() for each in (whole, out))
    assert {**first, "stage_seconds": {}} == {**second, "stage_seconds": {}}


def test_what_an_evaluation_goes_on_from_must_be_its_own(run, tmp_path, capsys, small_folder):
    out = tmp_path / "out"
    arguments = ["eval", run, "--limit", "2", "--evaluation.greedy", "false", "--out", out]
    assert "no config.yaml" in fails(capsys, *arguments, "--resume")
    assert main([str(each) for each in arguments]) == 0
    assert "holds an evaluation run" in fails(capsys, "train", "--resume", "--out", out)
    settings = ["--config", out / "config.yaml", "--model", small_folder]
    assert "was measuring other weights" in fails(capsys, "eval", *settings, "--resume", "--out", out)
    text = (out / "transcripts.jsonl").read_bytes()
    (out / "transcripts.jsonl").write_bytes(text.replace(b'"seed": 1', b'"seed": 2', 1))
    assert "transcripts.jsonl: damaged" in fails(capsys, *arguments, "--resume")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
@pytest.mark.parametrize("mode", [0o000, 0o500])
def test_folders_that_cannot_be_used_are_named(tmp_path, capsys, mode):
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(mode)
    try:
        assert "closed" in fails(capsys, "eval", "--model", "tiny", "--out", closed / "e")
        assert "closed" in fails(capsys, "train", "demo", "--out", closed)
    finally:
        closed.chmod(0o700)


def test_a_damaged_checkpoint_is_named_and_an_older_one_taken_if_asked_for(run, tmp_path, capsys):
    from shutil import copytree

    out = copytree(run, tmp_path / "run")
    weights = out / "checkpoints" / "step_4" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    for arguments in (["train", "--resume", "--out", out], ["eval", out, "--out", tmp_path / "e"], ["certify", out]):
        assert f"{weights}: damaged" in fails(capsys, *arguments)
    assert main(["train", "--resume", "--allow-older", "--out", str(out)]) == 0
    assert f"note: {weights}: damaged" in " ".join(capsys.readouterr().err.split())
    assert (out / "transcripts.jsonl").read_bytes() == (run / "transcripts.jsonl").read_bytes()


@pytest.mark.parametrize("name", ["controllers.npz", "regret.npz", "optimiser.pt", "state.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "removed"])
def test_damage_that_no_manifest_tells_is_named_when_it_is_met(run, tmp_path, capsys, name, damage):
    """Runs of versions that wrote none."""
    from shutil import copytree

    out = copytree(run, tmp_path / "run")
    for path in [out / "run.json", *out.rglob("manifest.json")]:
        path.unlink()
    path = out / "checkpoints" / "step_4" / name
    path.write_bytes(path.read_bytes()[:20]) if damage == "cut" else path.unlink()
    message = fails(capsys, "train", "--resume", "--out", out)
    assert str(path.parent) in message
    if name == "controllers.npz":
        assert str(path) in fails(capsys, "eval", out, "--out", tmp_path / "e")
    if name == "regret.npz":
        assert str(path) in fails(capsys, "certify", out)
