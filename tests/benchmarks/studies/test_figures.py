"""Tests of the pictures drawn from a run's records."""

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks.studies.figures import choose_dialogue, curves, dialogue_svg, main, shown, smoothed
from tracer_agents.config import Config
from tracer_agents.rollout.records import DialogueRecord, Outcome, TurnRecord
from tracer_agents.runs.directory import RunDirectory
from tracer_env.dialogue import FinishReason, Mode, Role, Verdict
from tracer_env.errors import DataError


def turn(round_: int, *, reward: float | None, text: str | None = "text") -> TurnRecord:
    """A turn of that round; no reward: it was skipped."""
    spoken = reward is not None
    proposes = round_ % 2 == 1
    return TurnRecord(
        round=round_,
        agent=(round_ // 2) % 2,
        role=Role.PROPOSER if proposes else Role.REVIEWER,
        mode=Mode(spoken),
        forced=round_ == 1,
        text=text if spoken else None,
        answer="7" if spoken and proposes else None,
        verdict=Verdict.WRONG if spoken and not proposes else None,
        right=reward > 0 if reward else None,
        reward=reward,
        prompt_tokens=10,
        generated_tokens=5 if spoken else 0,
        finish_reason=FinishReason.STOP if spoken else None,
    )


def dialogue(*rewards: float | None, text: str = "text", question_id: str = "q") -> DialogueRecord:
    """A dialogue whose last proposal decides."""
    turns = tuple(turn(at, reward=reward, text=text) for at, reward in enumerate(rewards, start=1))
    right = [t.reward for t in turns if t.mode and t.role == "proposer"][-1] == 1.0
    return DialogueRecord(
        method="team",
        phase="after",
        seed=0,
        question_id=question_id,
        question="How many?",
        gold="7",
        answer="7",
        correct=right,
        grade=Outcome.RIGHT if right else Outcome.WRONG,
        turns=turns,
    )


def text_of(svg: str) -> str:
    """The visible text, spaces as spaces."""
    return " ".join(ElementTree.fromstring(svg).itertext()).replace("\xa0", " ")


def test_a_corrected_dialogue_is_chosen_over_right_and_wrong_ones():
    corrected = dialogue(-1.0, 1.0, 1.0)
    others = [dialogue(1.0, 1.0, 1.0), dialogue(1.0, None, None), dialogue(-1.0, 1.0, -1.0)]

    assert choose_dialogue([*others, corrected, *others]) is corrected


def test_among_corrected_dialogues_the_one_with_true_reviews_is_chosen():
    luck, merit = dialogue(-1.0, -1.0, 1.0), dialogue(-1.0, 1.0, 1.0, text="a longer text")

    assert choose_dialogue([luck, merit]) is merit


def test_without_dialogues_there_is_an_error():
    with pytest.raises(DataError, match="no dialogue"):
        choose_dialogue([])


def test_the_picture_tells_who_spoke_and_how_it_was_judged():
    seen = text_of(dialogue_svg(dialogue(-1.0, 1.0, None, None, 1.0)))

    assert "agent 0" in seen
    assert "a wrong answer" in seen
    assert "a true verdict" in seen
    assert "agent 1 does not propose" in seen
    assert "a right answer" in seen
    assert "15 tokens in all" in seen


def test_hostile_text_is_shown_and_not_obeyed():
    hostile = "[bold red]loud[/] \x1b[31m</text><script>alert(1)</script>\u202e"
    svg = dialogue_svg(replace(dialogue(1.0, None, None, text=hostile), question=hostile))

    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(svg).iter()}
    assert "script" not in tags
    seen = text_of(svg)
    assert "[bold red]loud[/]" in seen
    assert "\\x1b[31m" in seen
    assert "\\u202e" in seen
    assert "\x1b" not in svg


def test_the_picture_fetches_nothing():
    svg = dialogue_svg(dialogue(1.0, None, None))

    assert "@font-face" not in svg
    assert [part for part in svg.split('"') if part.startswith("http")] == ["http://www.w3.org/2000/svg"]


def test_long_text_is_cut():
    assert len(shown("x" * 100_000)) < 800
    assert shown("\n".join(map(str, range(100)))).splitlines()[-1] == "13 …"
    assert shown("short") == "short"


def test_moving_average_over_neighbours_by_hand():
    got = smoothed([1.0, None, 3.0, 5.0, 10.0], window=3)

    assert got.tolist() == [1.0, 2.0, 4.0, 6.0, 7.5]


def test_moving_average_of_nothing_is_nan():
    assert np.isnan(smoothed([None, None], window=3)).all()


def row(step: int, **changes: Any) -> dict[str, Any]:
    figures = {"accuracy": 0.1 * step, "utility": 0.2, "generated_tokens": 50.0, "speak_rate": None, "gspo": {}}
    return {"step": step, **figures, **changes}


def test_the_accuracy_curve_is_the_moving_average_of_the_steps():
    rows = [row(step) for step in range(1, 10)]

    lines = {line.get_label(): line for line in curves(rows).axes[0].get_lines()}

    expected = smoothed([one["accuracy"] for one in rows])
    np.testing.assert_array_equal(lines["mean over 7 steps"].get_ydata(), expected)
    np.testing.assert_array_equal(lines["mean over 7 steps"].get_xdata(), np.arange(1, 10))


def test_steps_with_frozen_speakers_are_marked():
    rows = [row(1), row(2), row(3, gspo=None), row(4, gspo=None)]

    [span] = [patch for patch in curves(rows).axes[0].patches if patch.get_label() == "speakers frozen"]

    assert span.get_x() == 2.5
    assert span.get_width() == 2.0


def test_without_steps_there_is_an_error():
    with pytest.raises(DataError, match=r"metrics\.jsonl"):
        curves([])


@pytest.fixture
def ended_run(tmp_path):
    figures = {
        "accuracy": 0.5,
        "accuracy_ci95": [0.4, 0.6],
        "utility": 0.1,
        "utility_ci95": [0.0, 0.2],
        "generated_tokens_per_question": 60.0,
        "speak_rate": None,
    }
    with RunDirectory.create(tmp_path / "run", Config()) as run:
        for step in (1, 2, 3):
            run.add_metrics(row(step))
        run.add_records([dialogue(-1.0, 1.0, 1.0)])
        run.write_summary({"before": figures, "after": {**figures, "accuracy": 0.7}})
    return tmp_path / "run"


def test_the_command_writes_both_pictures(ended_run, tmp_path, capsys):
    assert main([str(ended_run), "--out", str(tmp_path / "images")]) == 0

    svg, png = (tmp_path / "images" / name for name in ("dialogue.svg", "curves.png"))
    assert capsys.readouterr().out.split() == [str(svg), str(png)]
    assert "How many?" in text_of(svg.read_text("utf-8"))
    assert png.read_bytes().startswith(b"\x89PNG")


def test_held_out_figures_stand_at_both_ends(ended_run):
    run = RunDirectory(ended_run)

    [held_out] = [
        line
        for line in curves(run.metrics(), run.summary()).axes[0].get_lines()
        if str(line.get_label()).startswith("held-out")
    ]

    assert list(held_out.get_xdata()) == [0, 3]
    assert list(held_out.get_ydata()) == [0.5, 0.7]


def test_the_same_run_gives_the_same_bytes(ended_run, tmp_path):
    for name in ("one", "two"):
        main([str(ended_run), "--out", str(tmp_path / name)])

    for picture in ("dialogue.svg", "curves.png"):
        assert (tmp_path / "one" / picture).read_bytes() == (tmp_path / "two" / picture).read_bytes()


def test_a_folder_without_a_run_is_refused(tmp_path, capsys):
    assert main([str(tmp_path), "--out", str(tmp_path / "images")]) == 1

    assert "no config.yaml" in capsys.readouterr().err
    assert not (tmp_path / "images").exists()
