"""Our engine beside transformers' ``generate``: the same work, counted alike."""

import json
import os
import subprocess
import sys

import pytest
import torch

from benchmarks.peers.engine import main
from benchmarks.peers.engine_sglang import cpu_seconds, spoken
from tracer_env.errors import ConfigError


def test_both_complete_the_same_tokens_and_ours_decodes_fewer_slots(tmp_path):
    file = tmp_path / "engine.json"
    counts = {"questions": 6, "candidates": 3, "longest": 24, "batch-size": 6, "repeats": 1}
    arguments = [part for name, count in counts.items() for part in (f"--{name}", str(count))]
    main([*arguments, "--threads", str(torch.get_num_threads()), "--json", str(file)])
    figures = json.loads(file.read_text("utf-8"))
    for name, prompts in {"groups": 6, "questions": 18, "shots": 18}.items():
        workload = figures[name]
        assert workload["requests"] == workload["same_completions"] == 18
        assert workload["prompts"] == prompts
        for contender in ("ours", "generate"):
            for share in ("forward_share", "prompt_share"):
                assert 0 < workload[contender][share]["median"] < 1
        assert workload["generate"]["useful_slots"] < workload["ours"]["useful_slots"] <= 1
        rates = [workload[contender]["tokens_per_second"]["median"] for contender in ("ours", "generate")]
        assert workload["ratio"]["median"] == pytest.approx(rates[0] / rates[1])
    shares = [figures["shots"][contender]["prompt_share"]["median"] for contender in ("ours", "generate")]
    assert figures["shots"]["prompt_tokens"] > 4 * figures["questions"]["prompt_tokens"]
    assert shares[0] < shares[1]  # what all begin with is computed once


def test_counts_below_one_are_refused():
    with pytest.raises(SystemExit):
        main(["--repeats", "0"])
    with pytest.raises(SystemExit):
        main(["--sglang", "python", "--dtype", "bfloat16"])


def test_a_process_is_charged_with_its_childrens_time():
    burn = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        alone, together = cpu_seconds(child.pid), cpu_seconds(os.getpid())
        child.communicate(b"\n")
    assert alone >= 0.25
    assert together >= alone
    assert cpu_seconds(child.pid) == 0  # it has ended


def test_a_servers_answer_is_counted_or_refused():
    rows = [{"meta_info": {"completion_tokens": 3}}, {"meta_info": {"completion_tokens": 4}}]
    assert spoken(rows, [None, None]) == 7
    for wrong in (rows[:1], {"error": "no"}):
        with pytest.raises(ConfigError, match="is not 2 completions"):
            spoken(wrong, [None, None])
