"""Curves and sample dialogues for people who watch a run."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tracer_agents.runs.tensorboard import TensorBoardLog
from tracer_agents.runs.watching import watched

ROW = {
    "step": 2,
    "accuracy": 0.5,
    "utility": -0.25,
    "speak_rate": None,
    "speak_rate_by_role": {"proposer": 0.25, "reviewer": 1.0},
    "truncation_rate": 0.125,
    "failed_questions": ["q"],
    "gspo": {"loss": -0.25, "clip_fraction": 0.5, "kl": None},
    "gspo_by_policy": {"proposer": {"loss": 0.5}},
    "verdicts": {"shared": {"loss": 0.75}},
    "certificate": {"nash_gap": {"plug_in": 0.1, "ci95": [0, 1]}, "run": None, "utility": {"mean": 0.3}},
    "timing": {"expand": 2.0},
}


def loaded(folder) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    events = loaded(folder)
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_what_is_watched_stands_in_a_few_groups():
    assert dict(watched(ROW)) == {
        "team/accuracy": 0.5,
        "team/utility": -0.25,
        "team/truncation_rate": 0.125,
        "speaking/proposers": 0.25,
        "speaking/reviewers": 1.0,
        "gaps/Nash_gap": 0.1,
        "gaps/utility_on_validation_questions": 0.3,
        "learning/loss": -0.25,
        "learning/clip_fraction": 0.5,
        "learning.proposer/loss": 0.5,
        "verdicts.shared/loss": 0.75,
        "timing/expand": 2.0,
    }


def test_rows_become_scalars_under_their_tags(tmp_path):
    with TensorBoardLog.open(tmp_path / "tb", []) as log:
        log.add({**ROW, "step": 1})
        log.add({**ROW, "accuracy": 1})
    shown = scalars(tmp_path / "tb")
    assert set(shown) == set(dict(watched(ROW)))
    assert shown["team/accuracy"] == [(1, 0.5), (2, 1.0)]
    assert shown["timing/expand"] == [(1, 2.0), (2, 2.0)]


def test_dialogues_are_text_that_stays_text(tmp_path):
    with TensorBoardLog.open(tmp_path / "tb", []) as log:
        log.show(3, "Question: <script>alert(1)</script>\n# no heading")
    [event] = loaded(tmp_path / "tb").Tensors("dialogues/played/text_summary")
    assert event.step == 3
    [text] = event.tensor_proto.string_val
    assert text.decode() == "    Question: <script>alert(1)</script>\n    # no heading"  # a block of code in Markdown


def test_nothing_after_the_checkpoint_survives(tmp_path):
    with TensorBoardLog.open(tmp_path / "tb", []) as log:
        for step in (1, 2, 3):
            log.add({"step": step, "accuracy": 0.1 * step})
    with TensorBoardLog.open(tmp_path / "tb", [{"step": 1, "accuracy": 0.5}]) as log:
        log.add({"step": 2, "accuracy": 0.75})
    assert scalars(tmp_path / "tb")["team/accuracy"] == [(1, 0.5), (2, 0.75)]


def test_only_events_are_replaced(tmp_path):
    (tmp_path / "tb").mkdir()
    (tmp_path / "tb" / "notes.txt").write_text("mine")
    with TensorBoardLog.open(tmp_path / "tb", []):
        pass
    assert (tmp_path / "tb" / "notes.txt").read_text() == "mine"


def test_a_damaged_row_has_nothing_to_watch():
    assert list(watched({"step": 1, "certificate": 3, "gspo": None})) == []
    assert dict(watched({"step": 1, "accuracy": pytest.approx(1), "utility": "x"})) == {}
