"""Our learner beside TRL's: what is tried, what is compared, and a double in TRL's place."""

import json
import sys

import pytest

from benchmarks.peers import trl
from benchmarks.peers.figures import answer, asked
from benchmarks.peers.trl import Setting, compared, main, settings
from tracer_env.errors import ConfigError


def test_trl_is_tried_with_batches_that_divide_the_minibatch_and_once_for_least_memory():
    tried = settings(8)
    assert {setting.batch for setting in tried} == {2, 8}
    assert {setting.kernel for setting in tried} == {"sdpa", "eager"}
    assert [setting.checkpointing for setting in tried] == [False] * 4 + [True]
    assert settings(3)[0].batch == 3
    assert Setting(kernel="sdpa", batch=2, checkpointing=True).words == [
        "--kernel", "sdpa", "--batch", "2", "--checkpointing",
    ]  # fmt: skip


def test_ratios_are_taken_repeat_by_repeat():
    def run(seconds, peak):
        return {"seconds": seconds, "tokens": 100, "peak_bytes": peak, "peak_above_model_bytes": peak - 1}

    runs = {
        "ours": [run(1.0, 5), run(2.0, 5)],
        "ours_unscored": [run(0.8, 5), run(1.6, 5)],
        "trl": [run(3.0, 9), run(8.0, 11)],
        "trl_unscored": [run(2.0, 9), run(4.0, 9)],
    }
    figures = compared(runs)
    assert figures["tokens_per_second_ratio"] == {"median": 3.5, "least": 3.0, "most": 4.0}
    assert figures["tokens_per_second_ratio_unscored"]["median"] == 2.5
    assert figures["peak_memory_ratio"]["least"] == 5 / 11
    assert figures["peak_above_model_ratio"]["most"] == 0.5
    assert figures["tokens_per_second"]["ours"]["most"] == 100.0


def test_a_contender_that_fails_or_says_nothing_is_named_with_the_remedy():
    assert answer('noise\n{"seconds": 1}\n', "TRL") == {"seconds": 1}
    for output in ("", "done\n", "[1]\n"):
        with pytest.raises(ConfigError, match="TRL: no figures came back"):
            answer(output, "TRL")
    with pytest.raises(ConfigError, match=r"TRL: ValueError: no; mend it"):
        asked([sys.executable, "-c", "raise ValueError('no')"], "TRL", "mend it")
    with pytest.raises(ConfigError, match=r"No such file or directory; mend it"):
        asked(["/nowhere/python"], "TRL", "mend it")


def test_shapes_that_do_not_fit_are_refused():
    for wrong in (
        ["--size", "3"],
        ["--repeats", "0"],
        ["--groups", "0"],
        ["--batch", "2"],
        ["--kernel", "sdpa", "--batch", "7"],
    ):
        with pytest.raises(SystemExit):
            main(["--python", "python", *wrong])


DOUBLE = """
import argparse, json, pathlib, sys, torch
parser = argparse.ArgumentParser()
for name in ("model", "samples", "gradient", "batch"):
    parser.add_argument(f"--{name}")
options, _ = parser.parse_known_args()
groups = json.loads(pathlib.Path(options.samples).read_text())
torch.save(torch.load(pathlib.Path(options.gradient).parent / "double.pt"), options.gradient)
tokens = sum(len(row["output_ids"]) for group in groups for row in group)
seconds = 1.0 if options.batch == "8" else 2.0
print(json.dumps({"seconds": seconds, "tokens": tokens, "peak_bytes": 10**9, "peak_above_model_bytes": 10**8,
                  "packages": {"trl": "double"}}))
"""


def test_a_double_in_trls_place_is_compared_on_the_samples_that_ours_took(tmp_path, monkeypatch):
    script = tmp_path / "double.py"
    script.write_text(DOUBLE, "utf-8")
    monkeypatch.setattr(trl, "SCRIPT", script)
    shape = ["--groups", "1", "--prompt", "130", "150", "--completion", "8", "20", "--loss", "grpo"]
    words = ["--python", sys.executable, "--repeats", "1", *shape]
    keep = trl.Contest.ours

    def ours(contest, *, scored):
        figures = keep(contest, scored=scored)
        folder = contest._folder
        (folder / "double.pt").write_bytes((folder / "ours.pt").read_bytes())
        return figures

    monkeypatch.setattr(trl.Contest, "ours", ours)
    main([*words, "--kernel", "sdpa", "--batch", "8", "--json", str(tmp_path / "trl.json")])
    figures = json.loads((tmp_path / "trl.json").read_text("utf-8"))
    assert figures["gradient_difference"] == 0
    assert figures["trl_setting"] == "sdpa, 8 sequences"
    assert figures["tokens_per_second"]["ours"]["median"] > 0
