"""Curves and tables."""

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tracer_agents.runs.tensorboard import TensorBoardLog


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_rows_become_scalars_by_path(tmp_path):
    with TensorBoardLog.open(tmp_path / "tb", []) as log:
        log.add({"step": 1, "accuracy": 0.5, "speak_rate": None, "gspo": {"loss": -0.25}, "name": "x"})
        log.add({"step": 2, "accuracy": 1, "speak_rate": 0.75, "gspo": None, "timing": {"expand": 2.0}})
    assert scalars(tmp_path / "tb") == {
        "step": [(1, 1.0), (2, 2.0)],
        "accuracy": [(1, 0.5), (2, 1.0)],
        "speak_rate": [(2, 0.75)],
        "gspo/loss": [(1, -0.25)],
        "timing/expand": [(2, 2.0)],
    }


def test_nothing_after_the_checkpoint_survives(tmp_path):
    with TensorBoardLog.open(tmp_path / "tb", []) as log:
        for step in (1, 2, 3):
            log.add({"step": step, "accuracy": 0.1 * step})
    with TensorBoardLog.open(tmp_path / "tb", [{"step": 1, "accuracy": 0.5}]) as log:
        log.add({"step": 2, "accuracy": 0.75})
    assert scalars(tmp_path / "tb")["accuracy"] == [(1, 0.5), (2, 0.75)]


def test_only_events_are_replaced(tmp_path):
    (tmp_path / "tb").mkdir()
    (tmp_path / "tb" / "notes.txt").write_text("mine")
    with TensorBoardLog.open(tmp_path / "tb", []):
        pass
    assert (tmp_path / "tb" / "notes.txt").read_text() == "mine"
