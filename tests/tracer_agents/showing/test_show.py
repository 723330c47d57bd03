"""Reading recorded dialogues: choosing them, what is shown of one, and both branches of its decisions."""

import math
import os
import pty
import subprocess
import sys
import unicodedata
from dataclasses import replace

import pytest

from tracer_agents.cli import main
from tracer_agents.config import load_config
from tracer_agents.evaluation.play import draw_episodes
from tracer_agents.rollout.records import DialogueRecord, Kind, Outcome, TurnRecord
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.runs.trees import load_trees
from tracer_agents.showing.branches import expanded_dialogue, recorded_branches
from tracer_agents.showing.chances import controller_behind, speak_chances
from tracer_agents.showing.shelf import FILTERS, Shelf
from tracer_agents.showing.views import list_view
from tracer_agents.team import Team
from tracer_env.dialogue import FinishReason, Mode, Role, Verdict
from tracer_env.errors import ConfigError
from tracer_env.screen import painted
from tracer_env.seeding import control_uniform


def proposal(round_: int, answer: str | None, *, right: bool, text: str = "so", **fields) -> TurnRecord:
    return TurnRecord(
        round=round_, agent=(round_ - 1) // 2 % 2, role=Role.PROPOSER, mode=Mode.SPEAK, text=text, answer=answer,
        verdict=None, right=right, reward=1.0 if right else -1.0, prompt_tokens=5, generated_tokens=7,
        **{"forced": round_ == 1, "finish_reason": FinishReason.STOP, **fields},
    )  # fmt: skip


def review(round_: int, verdict: Verdict | None, *, right: bool | None, text: str = "hm") -> TurnRecord:
    return TurnRecord(
        round=round_, agent=round_ // 2 % 2, role=Role.REVIEWER, mode=Mode.SPEAK, forced=False, text=text, answer=None,
        verdict=verdict, right=right, reward=1.0 if right else -1.0, prompt_tokens=5, generated_tokens=3,
        finish_reason=FinishReason.STOP,
    )  # fmt: skip


def silence(round_: int) -> TurnRecord:
    role = Role.PROPOSER if round_ % 2 else Role.REVIEWER
    agent = (round_ - 1) // 2 % 2 if round_ % 2 else round_ // 2 % 2
    return TurnRecord(
        round=round_, agent=agent, role=role, mode=Mode.SKIP, forced=False, text=None, answer=None, verdict=None,
        right=None, reward=None, prompt_tokens=0, generated_tokens=0, finish_reason=None,
    )  # fmt: skip


def record(*turns: TurnRecord, answer: str | None = "4", correct: bool = True, **fields) -> DialogueRecord:
    return DialogueRecord(
        **{
            "method": "team", "phase": "after", "seed": 0, "question_id": "set-a-1", "question": "What is 2 + 2?",
            "gold": "4", "grade": Outcome.RIGHT if correct else Outcome.WRONG, **fields,
        },
        answer=answer, correct=correct, turns=turns,
    )  # fmt: skip


CORRECTED = record(
    proposal(1, "5", right=False),
    review(2, Verdict.WRONG, right=True),
    proposal(3, "4", right=True, text="two and two"),
)
SPOILT = record(
    proposal(1, "4", right=True),
    review(2, Verdict.WRONG, right=False),
    proposal(3, None, right=False, finish_reason=FinishReason.LENGTH),
    answer=None,
    correct=False,
    question_id="set-a-2",
)
QUIET = record(proposal(1, "4", right=True), silence(2), silence(3), question_id="set-b-1")


def folder_of(tmp_path, *records: DialogueRecord):
    with RunDirectory.create(tmp_path / "run", load_config(overrides={"dialogue.rounds": 3})) as run:
        run.add_records(records)
    return run.folder


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("right", [1, 3]),
        ("wrong", [2]),
        ("wrong-to-right", [1]),
        ("right-to-wrong", [2]),
        ("reviewer-wrong", [2]),
        ("reviewer-right", [1]),
        ("revised", [1, 2]),
        ("silent", [3]),
        ("disagreed", [1]),
        ("truncated", [2]),
        ("unread", [2]),
        ("ungradable", []),
        ("failed", []),
    ],
)
def test_filters_keep_what_they_name(tmp_path, name, kept):
    shelf = Shelf.of_run(RunDirectory(folder_of(tmp_path, CORRECTED, SPOILT, QUIET)))

    assert [number for number, _ in shelf.kept([name])] == kept
    assert [number for number, _ in shelf.kept([name, "silent"])] == [number for number in kept if number == 3]


def test_filters_of_outcomes():
    failed = replace(SPOILT, grade=Outcome.FAILED)
    assert FILTERS["failed"][1](failed)
    assert FILTERS["ungradable"][1](replace(SPOILT, grade=Outcome.UNGRADABLE))
    assert not FILTERS["wrong-to-right"][1](replace(CORRECTED, kind=Kind.BALLOT))


@pytest.mark.parametrize(("asked", "number"), [("2", 2), ("set-a-2", 2), ("set-b", 3), ("b-1", 3)])
def test_a_question_is_named_by_number_id_or_part_of_an_id(tmp_path, asked, number):
    assert Shelf.of_run(RunDirectory(folder_of(tmp_path, CORRECTED, SPOILT, QUIET))).number_of(asked) == number


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["set-a"], "part of the ids of 2 questions; give a whole id, or a number from 1 to 3"),
        (["4"], "no question '4'; give a number from 1 to 3"),
        (["set-c-1"], "did you mean set-"),
        (["--method", "taem"], "'taem' is not recorded; there are: team; did you mean team?"),
        (["--phase", "before"], "'before' is not recorded; there are: after"),
        (["--filter", "wrong-right"], "there is no filter 'wrong-right'; there are: right, wrong,"),
        (["--filter", "trunkated"], "did you mean truncated?"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(tmp_path, capsys, arguments, message):
    run = folder_of(tmp_path, CORRECTED, SPOILT, QUIET)

    assert main(["show", str(run), *arguments]) == 1
    assert message in capsys.readouterr().err


def test_a_run_that_recorded_nothing_says_so(tmp_path, capsys):
    assert main(["show", str(folder_of(tmp_path))]) == 1
    assert "no dialogue is recorded yet" in capsys.readouterr().err


def test_the_list_names_what_became_of_every_answer(tmp_path, capsys):
    assert main(["show", str(folder_of(tmp_path, CORRECTED, SPOILT, QUIET)), "--filter", "revised"]) == 0
    title, headings, *rows = capsys.readouterr().out.splitlines()

    assert title.strip() == "team (after): 2 of 3 dialogues, 1 right"
    assert headings.split() == ["number", "first", "→", "team", "gold", "tokens", "spoke", "question"]
    assert [row.split()[:6] for row in rows] == [["1", "5", "→", "4", "4", "17"], ["2", "4", "→", "none", "4", "17"]]


def test_answers_have_the_colours_of_right_and_wrong(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")

    shown = painted(list_view("title", [(1, CORRECTED)]))

    assert "\x1b[31m5\x1b[0m\x1b[2m → \x1b[0m\x1b[32m4\x1b[0m" in shown  # red, dim, green


def test_a_dialogue_is_shown_whole(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert load_config(overrides={"dialogue.rounds": 3}).token_budget == 288  # 1 − 0.1 · 17 / 288 = 0.994
    assert main(["show", str(folder_of(tmp_path, CORRECTED)), "1"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "│ What is 2 + 2?" + " " * 83 + "│",
        "╰" + "─" * 98 + "╯",
        " 1 ┃ proposer 0 must speak  7 tokens",
        "   ┃ so",
        "   ┃ answer 5, wrong, reward -1",
        " 2 ┃ reviewer 1 speaks  3 tokens",
        "   ┃ hm",
        "   ┃ verdict WRONG, true, reward +1, votes -1",
        " 3 ┃ proposer 1 speaks  7 tokens",
        "   ┃ two and two",
        "   ┃ answer 4, right, reward +1",
        "team's answer: 4, right  right answer 4, 17 tokens, utility +0.994",
        "proposed: 5 ×1, 4 ×1; the pending solution's counts",
    ]


def test_both_branches_of_a_decision_come_from_dialogues_of_the_same_tree(tmp_path, capsys):
    alone = replace(QUIET, question_id="set-a-1", method="single", turns=(CORRECTED.turns[0], silence(2), silence(3)))
    alone = replace(alone, correct=False)
    stopped = replace(CORRECTED, method="random_speak", turns=(*CORRECTED.turns[:2], silence(3)), correct=False)
    other = replace(SPOILT, question_id="set-a-1", method="always_speak")  # says something else in round 1
    other = replace(other, turns=(replace(other.turns[0], text="else"), *other.turns[1:]))

    tree = recorded_branches(stopped, [CORRECTED, alone, other])
    assert sorted(tree.endings) == ["100", "110", "111"]
    assert sorted(tree.spoken) == ["", "1", "11"]

    run = folder_of(tmp_path, stopped, CORRECTED, alone, other)
    assert main(["show", str(run), "1", "--method", "random_speak", "--branches"]) == 0
    shown = capsys.readouterr().out
    assert "silent: 0 of 1 recorded endings right, 7 tokens\n" in shown
    assert "speaking: 1 of 2 recorded endings right, 14 tokens\n" in shown
    assert shown.splitlines()[-6:] == [
        "   ┃ silent: 0 of 1 recorded endings right, 10 tokens",
        "   ┃ speaking: 1 of 1 recorded endings right, 17 tokens",
        "   ┃ had it spoken (7 tokens):",
        "   ┃  ┃ two and two",
        "   ┃  ┃ answer 4, right, reward +1",
        "team's answer: 4, wrong  right answer 4, 10 tokens, utility -1.003",
    ]


def chance_of(path: str, speak: dict[str, float]) -> float:
    """How probable a path is, by the product over its decisions."""
    chances = ((speak.get(path[:depth], 1.0), mode) for depth, mode in enumerate(path))
    return math.prod(chance if mode == "1" else 1 - chance for chance, mode in chances)


def test_an_expanded_question_has_both_branches_whole(run, capsys):
    trees = load_trees(run)
    rules = RunDirectory(run).config().rules
    assert len(trees) == 2
    for tree in trees:
        dialogue, branches = expanded_dialogue(tree, rules, seed=0)
        assert dialogue.correct is tree.leaves[tree.played].right
        assert dialogue.generated_tokens == tree.leaves[tree.played].tokens
        assert set(branches.spoken) == set(tree.spoken)
        for prefix in ("", "1", "10", "110", "1111"):
            below = {path: leaf for path, leaf in tree.leaves.items() if path.startswith(prefix)}
            weights = {path: chance_of(path, branches.speak) for path in below}
            if total := sum(weights.values()):
                expected = sum(weights[path] * leaf.utility for path, leaf in below.items()) / total
                assert branches.outlook(prefix).utility == pytest.approx(expected)

    assert main(["show", str(run), trees[0].question_id, "--branches"]) == 0
    shown = capsys.readouterr().out
    assert "team (expanded)" in shown
    assert shown.count("speaking: right with probability") == 4


HOSTILE = "\x1b[2J\x1b]0;t\x07\x9b31m\u202eevil\u2066\r\x08\u2028[bold]"


def test_hostile_records_have_no_power_over_the_terminal(tmp_path, capsys):
    turns = (
        proposal(1, HOSTILE, right=False, text=HOSTILE),
        silence(2),
        proposal(3, HOSTILE, right=True, text=HOSTILE),
    )
    planted = record(*turns, answer=HOSTILE, question=HOSTILE, gold=HOSTILE, question_id=HOSTILE, method=HOSTILE)
    run = str(folder_of(tmp_path, planted))

    for arguments in (
        [run],
        [run, "1", "--branches"],
        [run, "--all", "--full"],
        [run, "no such"],
        [run, "--method", "x"],
    ):
        main(["show", *arguments])
        output = capsys.readouterr()
        for char in output.out + output.err:
            assert char == "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Zl", "Zp"), repr(char)


@pytest.mark.parametrize(("phase", "method"), [("after", "team"), ("before", "team"), ("after", "random_speak")])
def test_the_controllers_probability_is_that_of_the_recorded_choice(run, phase, method):
    """A choice is a uniform, known from the seed, that falls below the probability or does not."""
    directory = RunDirectory(run)
    config = directory.config()
    with Team.load(run) as team:
        episodes = draw_episodes(team.parts.task, "test", 0, 12, seed=config.seed, phase="test")
    controller = controller_behind(directory, phase, method)
    chosen = 0
    for episode, each in zip(episodes, directory.records()[phase, method], strict=True):
        prefix = ""
        for turn, chance in zip(each.turns, speak_chances(each, config.rules, controller), strict=True):
            assert chance is not None
            assert turn.mode == (turn.forced or control_uniform(episode.seed, prefix) < chance)
            chosen += not turn.forced
            prefix += f"{turn.mode:d}"
    assert chosen > 20


def test_probabilities_are_left_out_where_they_are_not_known(tmp_path):
    rules = load_config(overrides={"dialogue.rounds": 5}).rules
    assert speak_chances(CORRECTED, rules, None) == [None] * 3
    directory = RunDirectory(folder_of(tmp_path, CORRECTED))
    assert controller_behind(directory, "after", "team") is None
    assert controller_behind(directory, "after", "self_consistency@3") is None


def test_reading_needs_no_torch(run):
    begin = "import sys; from tracer_agents.cli import main"
    script = f"{begin}; main(['show', {str(run)!r}, '1']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "P(speak)" in done.stdout
    assert done.stdout.splitlines()[-1] == "False"


def test_at_a_terminal_a_reader_chooses_again_and_again(tmp_path):
    run = folder_of(tmp_path, CORRECTED, SPOILT, QUIET)
    primary, secondary = pty.openpty()
    command = [sys.executable, "-m", "tracer_agents", "show", str(run)]
    process = subprocess.Popen(command, stdin=secondary, stdout=secondary, stderr=secondary, close_fds=True)
    os.close(secondary)
    os.write(primary, b"2\nnonsense\n\nq\n")
    shown = b""
    while process.poll() is None or b"q to leave" not in shown:
        try:
            shown += os.read(primary, 65536)
        except OSError:  # the other side has closed
            break
    assert process.wait(timeout=60) == 0
    text = shown.decode()
    assert "number or id (Enter for 1, q to leave)" in text
    assert text.index("set-a-2") < text.index("there is no question 'nonsense'") < text.index("set-b-1")


def test_methods_need_a_phase_that_recorded_them(tmp_path):
    directory = RunDirectory(folder_of(tmp_path, CORRECTED, replace(QUIET, phase="before", method="single")))
    with pytest.raises(ConfigError, match=r"'single' is not recorded in the phase 'after'; there are: team after"):
        Shelf.of_run(directory, phase="after", method="single")
