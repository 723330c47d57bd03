"""Our engine beside transformers' ``generate``: the same work, counted alike."""

import json

import pytest
import torch

from benchmarks.peers.engine import main


def test_both_complete_the_same_tokens_and_ours_decodes_fewer_slots(tmp_path):
    file = tmp_path / "engine.json"
    counts = {"questions": 6, "candidates": 3, "longest": 24, "batch-size": 6, "repeats": 1}
    arguments = [part for name, count in counts.items() for part in (f"--{name}", str(count))]
    main([*arguments, "--threads", str(torch.get_num_threads()), "--json", str(file)])
    figures = json.loads(file.read_text("utf-8"))
    for name, prompts in {"groups": 6, "questions": 18}.items():
        workload = figures[name]
        assert workload["requests"] == workload["same_completions"] == 18
        assert workload["prompts"] == prompts
        for contender in ("ours", "generate"):
            for share in ("forward_share", "prompt_share"):
                assert 0 < workload[contender][share]["median"] < 1
        assert workload["generate"]["useful_slots"] < workload["ours"]["useful_slots"] <= 1
        rates = [workload[contender]["tokens_per_second"]["median"] for contender in ("ours", "generate")]
        assert workload["ratio"]["median"] == pytest.approx(rates[0] / rates[1])


def test_counts_below_one_are_refused():
    with pytest.raises(SystemExit):
        main(["--repeats", "0"])
