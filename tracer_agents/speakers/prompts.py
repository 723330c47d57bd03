"""What an active speaker is shown, as chat messages, by a style's texts or a file's.

The question comes first and the role last, so agents, roles and rounds share prefixes. The texts of each style are in
``assets/prompts``:

- ``"tiny"`` for the embedded model, which was trained on exactly these texts;
- ``"chat"`` for instruction-tuned models, in words of our own;
- ``"boxed"`` for instruction-tuned models, in the words that mathematical tuning uses: reason step by step, answer in
  a box.

What is asked depends on the state alone: a proposer without a review makes an independent, fresh attempt even
when a solution is pending (it is not shown: agreement between proposals is then informative); a proposer
whose pending solution has been reviewed revises it, seeing both; a reviewer sees the solution. A reviewer that says
one word (``speakers.review: verdict``) goes on with the proposer's conversation: question, solution, a short question
whose answer is one of two words; no proposer sees what it says. In a debate
(Du et al. 2023), which is no state of the dialogue, a proposer sees its own solution and everybody else's.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import get_args

from tracer_agents.config.fitting import Style
from tracer_agents.config.speakers import Review
from tracer_agents.speakers.templates import Messages, PromptFile, read_prompts
from tracer_env.dialogue import Role
from tracer_env.errors import ConfigError
from tracer_env.grading.thoughts import spoken

STYLES: tuple[Style, ...] = get_args(Style)
MAX_QUOTED_CHARACTERS = 6_000  # of one quoted text; the middle of a longer one is left out
_FOLDER = Path(__file__).parents[1] / "assets" / "prompts"
_OMITTED = "\n[…]\n"
# What could end a quote or forge a turn: our tags, and control tokens of common chat templates.
_FORGERY = re.compile(r"<(?=\s{0,8}/?\s{0,8}(?:solution|review)\b)|<(?=[|｜])|<(?=/?s>|(?:start|end)_of_turn>)", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """The prompts of a style, or of a file.

    Args:
        name: the style, or the file as the settings name it.
        texts: what the prompts say.
        review: whether reviewers work out a review or say one word.
    """

    name: str
    texts: PromptFile
    review: Review = "worked"

    @property
    def turns(self) -> bool:
        """Whether some prompt holds earlier turns of the assistant."""
        shown = {"question": "?", "solution": "?", "review": "?", "others": ["?"], "answer_format": "?"}
        conversation = [message for kind in ("review", "revise") for message in self.texts.render(kind, shown)]
        return self.review == "verdict" or any(message["role"] == "assistant" for message in conversation)

    @property
    def system(self) -> bool:
        """Whether the prompts begin with a system message."""
        return self.texts.render("solve", {"question": "?", "answer_format": "?"})[0]["role"] == "system"

    def messages(
        self,
        *,
        question: str,
        role: Role,
        solution: str | None,
        review: str | None,
        answer_format: str,
        others: Sequence[str] = (),
        longest: tuple[int, int] | None = None,
    ) -> Messages:
        """The chat messages for the active speaker, to be rendered with a generation prompt.

        Args:
            question: the question, shown whole.
            role: who speaks.
            solution: the pending solution's text, or None.
            review: the last review of the pending solution, or None.
            answer_format: how a solution of the task may end, e.g. ``"#### <number>"``.
            others: in a debate, the other agents' last solutions; ``solution`` is then the speaker's own.
            longest: characters that are quoted of a solution, and of a review; the middle of a longer one is left out.

        Raises:
            ConfigError: a reviewer or debater without a solution.
        """
        of_solution, of_review = longest or (MAX_QUOTED_CHARACTERS, MAX_QUOTED_CHARACTERS)
        shown: dict[str, str | list[str]] = {"question": question, "answer_format": answer_format}
        if others:
            if solution is None:
                raise ConfigError("a debater needs a solution of its own before it is shown the others'")
            seen = [quoted(other, of_solution) for other in others]
            return self.texts.render("debate", {**shown, "solution": quoted(solution, of_solution), "others": seen})
        if role is Role.REVIEWER:
            if solution is None:
                raise ConfigError("a reviewer needs a pending solution; in round 1 there is none")
            if self.review == "verdict":  # goes on with the proposer's conversation, whose prefix engines have cached
                proposal = {"role": "assistant", "content": quoted(solution, of_solution)}
                asked = self.texts.render("verdict", {**shown, "solution": quoted(solution, of_solution)})
                return [*self.texts.render("solve", shown), proposal, *asked]
            return self.texts.render("review", {**shown, "solution": quoted(solution, of_solution)})
        if solution is None or review is None:
            return self.texts.render("solve", shown)
        shown |= {"solution": quoted(solution, of_solution), "review": quoted(review, of_review)}
        return self.texts.render("revise", shown)


def prompts_for(style: str, file: str | None = None, review: Review = "worked") -> Prompts:
    """The prompts of a style, or those of a file instead.

    Raises:
        ConfigError: an unknown style, a file that is none of prompts (``templates.read_prompts``), or one without
            verdicts where these are asked for.
    """
    prompts = _of_style(style) if file is None else Prompts(name=file, texts=read_prompts(Path(file)))
    if review == "verdict":
        _ = prompts.texts.verdict_words
    return replace(prompts, review=review)


@cache
def _of_style(style: str) -> Prompts:
    if style not in STYLES:
        raise ConfigError(f"the prompt style must be one of {STYLES}, got {style!r}")
    return Prompts(name=style, texts=read_prompts(_FOLDER / f"{style}.jinja"))


def quoted(text: str, longest: int = MAX_QUOTED_CHARACTERS) -> str:
    """Another agent's text made safe to show: without its thoughts, bounded, and unable to close its quote."""
    text = spoken(text)
    if len(text) > longest:
        half = (longest - len(_OMITTED)) // 2
        text = text[:half] + _OMITTED + text[-half:]
    return _FORGERY.sub("‹", text).strip()
