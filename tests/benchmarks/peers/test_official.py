"""Our loops beside the released code's: the speed-up's factors, the hooks, and both sides on a few questions."""

import json

import pytest

from benchmarks.peers.official import factors, main, summary
from benchmarks.peers.official_ours import Apart
from benchmarks.peers.official_theirs import extract, prompt, reward
from tracer_env.errors import ConfigError


def test_the_factors_multiply_to_the_speedup():
    ours = {"dialogues": 10, "seconds": 2.0, "tokens": 500}
    theirs = {"dialogues": 4, "seconds": 8.0, "tokens": 400}
    split = factors(ours, theirs, {"one": 10.0, "static": 30.0, "leaving": 60.0, "sharing": 90.0})
    assert split == pytest.approx(
        {"speedup": 10, "utterances": 2, "batching": 3, "compaction": 2, "sharing": 1.5, "rest": 10 / 18}
    )


def test_medians_count_expanded_dialogues_and_equal_tokens_apart():
    ours = {"dialogues": 10, "seconds": 2.0, "tokens": 500, "utterances": 50, "expanded_dialogues": 160}
    theirs = {"dialogues": 4, "seconds": 8.0, "tokens": 400, "utterances": 20}
    engines = {"one": 10.0, "static": 30.0, "leaving": 60.0, "sharing": 90.0}
    sides = {phase: ours for phase in ("train", "eval")}, {phase: theirs for phase in ("train", "eval")}
    run = {"ours": {**sides[0], "engines": {phase: engines for phase in sides[0]}}, "theirs": sides[1]}
    figures = summary([run, run, run])
    assert figures["train_speedup"]["median"] == figures["eval_speedup"]["least"] == 10
    assert figures["train_speedup_per_token"]["median"] == 5
    assert figures["train_speedup_expanded"]["median"] == 160
    assert figures["eval"]["theirs"]["tokens_per_dialogue"]["most"] == 100
    assert "speedup" not in figures["eval_factors"]


def test_prompts_that_are_apart_equal_no_other_and_sort_by_what_they_say():
    first, second = Apart((1, 2)), Apart((1, 2))
    assert first != second
    assert len({first, second}) == 2
    assert sorted([("a", Apart((3,))), ("a", Apart((1, 5)))])[0][1] is not None
    assert list(Apart((1, 2))) == [1, 2]


CONTEXT = (
    "DATASET: gsm8k\n\nQUESTION:\nHow many?\n\nCURRENT PENDING SOLUTION:\n4 + 5 = 9\n#### 9\n\n"
    "RECENT HISTORY:\n[Round 1 | agent0 | proposal]\n4 + 5 = 9\n#### 9"
)
REVIEWED = CONTEXT + "\n\n[Round 2 | agent1 | review]\nAll well.\nVerdict: RIGHT"


def test_the_embedded_models_prompts_are_made_of_the_released_codes_contexts():
    asked = "<|user|>How many?<|end|><|assistant|>"
    reviewing = f"{asked}4 + 5 = 9\n#### 9<|end|><|user|>Review.<|end|><|assistant|>"
    assert prompt("proposer", "DATASET: gsm8k\n\nQUESTION:\nHow many?") == asked
    assert prompt("proposer", CONTEXT) == asked  # a fresh attempt: nobody has reviewed the solution
    assert prompt("reviewer", CONTEXT) == reviewing
    revising = f"{reviewing}All well.\nVerdict: RIGHT<|end|><|user|>Revise.<|end|><|assistant|>"
    assert prompt("proposer", REVIEWED) == revising


def test_answers_and_rewards_are_read_in_the_embedded_models_words():
    assert extract("4 + 5 = 9\n#### 9") == "9"
    assert extract(None) is None
    known = {"pending_answer": "9", "ground_truth": "9"}
    assert reward("reviewer", "Verdict: RIGHT", 0.0, **known) == 1.0
    assert reward("reviewer", "Verdict: WRONG", 0.0, **known) == -1.0
    assert reward("reviewer", "no word", 0.25, **known) == 0.25
    assert reward("proposer", "Verdict: RIGHT", -1.0) == -1.0


def test_a_folder_without_the_code_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(ConfigError, match=r"src/trainer\.py; see that it is a clone of"):
        main(["--checkout", str(tmp_path)])
    with pytest.raises(SystemExit):
        main(["--candidates", "1"])


@pytest.mark.slow
def test_both_sides_play_and_the_output_says_who_the_peer_is(tmp_path):
    file = tmp_path / "official.json"
    few = {"repeats": 1, "train": 1, "eval": 1, "step-questions": 2, "questions": 4, "alone": 2}
    main([*(part for name, count in few.items() for part in (f"--{name}", str(count))), "--json", str(file)])
    figures = json.loads(file.read_text("utf-8"))
    assert "description" in figures["peer"]
    for phase in ("train", "eval"):
        fewer = figures[f"{phase}_factors"]["utterances"]["median"]
        assert figures[f"{phase}_speedup_per_token"]["median"] == pytest.approx(
            figures[f"{phase}_speedup"]["median"] / fewer
        )
        assert figures[phase]["theirs"]["utterances_per_dialogue"]["median"] >= 5
    assert figures["train"]["theirs"]["utterances_per_dialogue"]["median"] == 25
    assert figures["train_speedup_expanded"]["median"] == pytest.approx(16 * figures["train_speedup"]["median"])
