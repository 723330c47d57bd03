"""A person in a trained team: every part, at a real terminal and from a pipe."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tracer_agents.cli import main
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.showing.person import seats_of
from tracer_env.errors import ConfigError

AGENTS = ["controller_0", "proposer_0", "reviewer_0", "controller_1", "proposer_1", "reviewer_1"]
# The terminal becomes the one from which Ctrl-C reaches the command.
COMMAND = """
import fcntl, signal, sys, termios
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background inherit that it is ignored
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from tracer_agents.cli import main
sys.exit(main(sys.argv[1:]))
"""


class Terminal:
    """A command at a pseudo-terminal, as somebody types."""

    def __init__(self, *words: str) -> None:
        self._side, inner = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *words],
            stdin=inner, stdout=inner, stderr=inner, start_new_session=True, env={**os.environ, "TERM": "xterm"},
        )  # fmt: skip
        os.close(inner)
        self.shown = ""
        self._read = 0

    def until(self, *texts: str, again: str = "") -> str:
        """Waits until one of the texts is shown after all that was waited for before; returns it.

        Types ``again`` whenever a second has passed in silence.
        """
        end = time.monotonic() + 120
        while time.monotonic() < end:
            places = {text: self.plain.find(text, self._read) for text in texts}
            reached = {text: place for text, place in places.items() if place >= 0}
            if reached:
                first = min(reached, key=lambda text: reached[text])
                self._read = reached[first] + len(first)
                return first
            if select.select([self._side], [], [], 1)[0]:
                try:
                    self.shown += os.read(self._side, 65536).decode("utf-8", "replace")
                except OSError:
                    break  # the command has ended
            else:
                self.types(again)
        raise AssertionError(f"none of {texts} was shown:\n{self.plain[self._read :]}")

    @property
    def plain(self) -> str:
        """What is shown without colours."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.shown).replace("\r\n", "\n")

    def types(self, text: str) -> None:
        """Types text, Ctrl-C (``\\x03``) and Ctrl-D (``\\x04``) included."""
        os.write(self._side, text.encode())

    def status(self) -> int:
        """The exit status, once the command has ended."""
        return self._process.wait(timeout=60)

    def close(self) -> None:
        """Ends the command."""
        self._process.kill()
        self._process.wait()
        os.close(self._side)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*words: str) -> Terminal:
        opened.append(Terminal(*words))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def recorded_answer(run: Path, number: int) -> str | None:
    return RunDirectory(run).records()["after", "team"][number - 1].answer


def team_alone(shown: str) -> str:
    """The line after ``the team alone`` at the end."""
    return shown.rpartition("the team alone\n")[2].splitlines()[0]


def test_a_person_decides_and_learns_after_each_decision_what_the_team_would_have_done(run, terminal):
    seat = terminal("play", str(run), "2", "--as", "controller")
    seat.until("proposer 0 must speak")
    decisions = 0
    while seat.until("[y/n]", "the right answer:") == "[y/n]":
        seat.types("maybe\n" if decisions == 0 else "")
        if decisions == 0:
            seat.until("y for speaking, n for staying silent")
            seat.until("[y/n]")
        seat.types("y\n" if decisions % 2 else "n\n")
        seat.until("the team speaks here with probability")
        seat.until("stays silent" if decisions % 2 == 0 else "speaks")
        decisions += 1
    seat.until("Enter for question 3, q to leave:")
    seat.types("q\n")

    assert seat.status() == 0
    assert decisions == 4
    assert team_alone(seat.plain).startswith(f"team's answer: {recorded_answer(run, 2) or 'none'}")


def test_a_person_proposes_and_is_asked_again_when_no_answer_can_be_read(run, terminal):
    seat = terminal("play", str(run), "1", "--as", "proposer")
    seat.until("your proposal as proposer 0")
    seat.types("I do not know\n\n")
    seat.until("no answer can be read from that")
    seat.types("first 1 + 1\n#### 12345\n\n")
    seat.until("answer 12345")
    while seat.until("your proposal as", "the right answer:") == "your proposal as":
        seat.types("#### 54321\n\n")
        seat.until("answer 54321")
    seat.until("in round 1, in your place, the team's proposer would have said:")
    seat.until("q to leave:")
    seat.types("q\n")

    assert seat.status() == 0
    assert team_alone(seat.plain).startswith(f"team's answer: {recorded_answer(run, 1) or 'none'}")


def test_a_person_reviews_as_one_agent_in_one_letter(run, terminal):
    seat = terminal("play", str(run), "1", "--as", "reviewer_1", "--as", "controller_1")
    seat.until("shall reviewer 1 speak? [y/n]")
    seat.types("y\n")
    seat.until("your review as reviewer 1")
    seat.types("hm\n\n")
    seat.until("no verdict can be read")
    seat.types("w\n\n")
    seat.until("verdict WRONG")
    seat.until("shall proposer 1 speak? [y/n]")
    seat.types("n\n")
    seat.until("in your place, the team's reviewer would have said:")


@pytest.mark.parametrize(
    ("seat", "prompt", "keys", "message"),
    [
        ("controller", "[y/n] ", "\x03", "interrupted"),
        ("proposer", "> ", "\x04", "no more input"),
        ("proposer", "> ", "words\n\x03", "interrupted"),
    ],
)
def test_ctrl_c_and_ctrl_d_leave_cleanly(run, terminal, seat, prompt, keys, message):
    player = terminal("play", str(run), "1", "--as", seat)
    player.until(prompt)
    player.types(keys)
    # Python loses an interrupt that comes after it has shown the prompt and before it reads; a person presses again.
    player.until(f"stopped: {message}", again=keys[-1])

    assert player.status() == 130
    assert "Traceback" not in player.plain


def test_a_pipe_plays_one_question_of_its_own(run):
    words = ["play", str(run), "--as", "controller", "--ask", "What is 2 + 2?\x1b[2J", "--gold", "4"]
    command = [sys.executable, "-m", "tracer_agents", *words]
    done = subprocess.run(command, input="y\n" * 4, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "What is 2 + 2?\\x1b[2J" in done.stdout
    assert "the right answer: 4" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--as", "revewer"], "there is no seat 'revewer'; there are: controller, proposer, reviewer, controller_0"),
        (["--as", "proposer_7"], "did you mean proposer_"),
        (["--as", "proposer", "--ask", "What?"], "--ask TEXT and --gold ANSWER go together"),
        (["0", "--as", "proposer"], "0 is not in the range x>=1"),
        ([], "Missing option '--as'"),
    ],
)
def test_bad_arguments_are_refused_with_what_there_is(run, capsys, words, message):
    assert main(["play", str(run), *words]) == 1
    assert message in capsys.readouterr().err


def test_a_seat_is_a_part_or_one_agent():
    assert seats_of(["controller_0", "reviewer"], AGENTS) == {"controller_0", "reviewer_0", "reviewer_1"}
    assert seats_of(["proposer"], AGENTS) == {"proposer_0", "proposer_1"}
    assert seats_of(["controller_1"], AGENTS) == {"controller_1"}
    with pytest.raises(ConfigError, match="did you mean controller_1"):
        seats_of(["controler_1"], AGENTS)
