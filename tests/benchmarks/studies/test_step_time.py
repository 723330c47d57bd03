"""Where a step's time goes: the arithmetic of shares, and the seams of a small real step."""

import json

import pytest

from benchmarks.studies.step_time import PARTS, Watch, main, shares


def test_scoring_is_taken_out_of_learning_and_the_rest_is_bookkeeping():
    seconds = {"step": 10.0, "generation": 6.0, "update": 3.0, "scoring": 1.0, "sync": 0.5}
    parts = {"generation": 0.6, "scoring": 0.1, "learning": 0.2, "sync": 0.05, "bookkeeping": 0.05}
    assert shares(seconds) == pytest.approx(parts)
    assert shares({"step": 2.0})["bookkeeping"] == 1.0


def test_a_watch_times_a_method_until_its_context_ends():
    class Clerk:
        def work(self, times):
            return 2 * times

    ticks = iter([1.0, 4.0, 10.0, 15.0])
    watch, clerk = Watch(lambda: next(ticks)), Clerk()
    with watch.around(Clerk, "work", "work"):
        assert [clerk.work(1), clerk.work(2)] == [2, 4]
    assert watch.seconds == {"work": 8.0}
    with watch.around(Clerk, "work", "work", when=lambda: False):
        assert clerk.work(3) == 6
    assert clerk.work(3) == 6
    assert watch.seconds == {"work": 8.0}


def test_shares_of_a_small_step_add_up(tmp_path):
    file = tmp_path / "time.json"
    small = ["--trainer.questions_per_step", "2", "--credit.answer_group_size", "4", "--credit.group_size", "4"]
    assert main(["--repeats", "1", "--json", str(file), *small]) == 0
    figures = json.loads(file.read_text("utf-8"))
    for kind, step in {"answers": 1, "dialogues": 11}.items():
        assert figures[kind]["steps"] == [step]
        medians = [figures[kind]["shares"][name]["median"] for name in PARTS]
        assert sum(medians) == pytest.approx(1)
        assert all(share >= 0 for share in medians)
        assert figures[kind]["shares"]["generation"]["median"] > 0


def test_no_repeats_are_refused():
    with pytest.raises(SystemExit):
        main(["--repeats", "0"])
