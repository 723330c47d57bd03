"""What fits a model and a task where the settings leave it open: the style of prompts and the limits of tokens."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from tracer_env.errors import ConfigError

Style = Literal["tiny", "chat", "boxed"]

STYLE_FILE = "tracer.json"  # beside an exported model: the style of prompts that it was trained on
EMBEDDED = ("tiny", "small")  # models that are shipped, which were trained on the prompts of the style "tiny"
_EMBEDDED_TOKENS = 96  # more than any solution or review that an embedded model was trained on has
_CHAT_TOKENS = {"arithmetic": 512, "gsm8k": 512, "math500": 1024, "gpqa_diamond": 1024}
_FURTHER_TOKENS = 1024  # of tasks that nothing is known about: files and hub sets


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLimits:
    """The longest utterance of each role, tokens, end token included."""

    proposer: int
    reviewer: int

    @property
    def longest(self) -> int:
        """Of either role."""
        return max(self.proposer, self.reviewer)


def default_style(model: str) -> Style:
    """The style of prompts that suits a model, by its name in the settings (docs/results/real-models.md).

    A folder that was exported says itself which style it was trained on.

    Raises:
        ConfigError: what it says is no style.
    """
    if model in EMBEDDED:
        return "tiny"
    file = Path(model) / STYLE_FILE
    if not file.is_file():
        return "boxed"
    try:
        style = json.loads(file.read_text("utf-8"))["style"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file}: cannot be read as {{'style': …}}; repair it, or set speakers.style") from error
    if style not in get_args(Style):
        raise ConfigError(f"{file}: {style!r} is no style; there are {', '.join(get_args(Style))}")
    return style


def default_limits(task: str, style: str) -> TokenLimits:
    """Limits that cut off next to none of the solutions and reviews that a task calls for.

    Args:
        task: the task's name; ``hub:OWNER/NAME`` and ``jsonl`` may be anything.
        style: of the prompts: chat models write out every step, embedded models are terse.
    """
    tokens = _EMBEDDED_TOKENS if style == "tiny" else _CHAT_TOKENS.get(task, _FURTHER_TOKENS)
    return TokenLimits(proposer=tokens, reviewer=tokens)
