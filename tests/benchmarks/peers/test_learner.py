"""The learner with and without its savings, each in a process of its own."""

import json

from benchmarks.peers.learner import main


def test_both_ways_learn_the_same_and_are_measured(tmp_path):
    file = tmp_path / "learner.json"
    shape = ["--groups", "1", "--size", "3", "--prompt", "130", "150", "--completion", "8", "20"]
    main(["--model", "tiny", "--repeats", "1", *shape, "--json", str(file)])
    figures = json.loads(file.read_text("utf-8"))
    assert 0 < figures["gradient_difference"] < 1e-5  # not the same computation, but the same gradient
    for name in ("tokens_per_second", "peak_bytes"):
        assert all(figures[name][way]["median"] > 0 for way in ("plain", "spared"))
    rates = [figures["tokens_per_second"][way]["median"] for way in ("spared", "plain")]
    assert figures["tokens_per_second_ratio"]["median"] == rates[0] / rates[1]
