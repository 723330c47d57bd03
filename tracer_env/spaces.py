"""Text as a Gymnasium space: what speakers may say, and how an unruly string is made one of them."""

# Arguments from outside are checked, whatever their annotations say:
# pyright: reportUnnecessaryIsInstance=false

import math
import re
from numbers import Real
from typing import Any, Self

import numpy as np
from gymnasium.spaces import Space

from tracer_env.dialogue import FinishReason
from tracer_env.errors import ConfigError, InvalidAction

_OMITTED = "\n[…]\n"  # in the place of what is left out of a long text
_ROOM_FOR_BOTH = 100  # characters: below it, only the end of a long text is kept
MAX_CHARS = 65_536  # the default bound of a question or an utterance, in code points
SAMPLE_CHARS = 32  # the longest text that ``UnicodeText.sample`` draws
REPLACEMENT = "\ufffd"

_UNUSABLE = re.compile("[\0\ud800-\udfff]")  # NUL, and lone surrogates, which no UTF-8 file or tokenizer takes
_PLANES = 0x100000  # the code points of planes 0 to 15, of which samples are made


class UnicodeText(Space[str]):
    """All strings of at most ``max_length`` Unicode scalar values without NUL.

    ``gymnasium.spaces.Text`` enumerates its alphabet; this space has none to enumerate. Samples are short
    (0 to ``SAMPLE_CHARS`` characters of planes 0 to 15, uniform in length and code point, U+FFFD for what may not
    stand in a text): valid, and no language.

    Args:
        max_length: the bound, in code points, ≥ 0.
        seed: as for every Gymnasium space.

    Raises:
        ConfigError: a negative or non-integer bound.
    """

    def __init__(self, max_length: int = MAX_CHARS, seed: int | np.random.Generator | None = None) -> None:
        if isinstance(max_length, bool) or not isinstance(max_length, int) or max_length < 0:
            raise ConfigError(f"max_length must be an integer ≥ 0, got {max_length!r}")
        self.max_length = max_length
        super().__init__(dtype=str, seed=seed)

    def sample(self, mask: None = None, probability: None = None) -> str:
        """A short random string.

        Raises:
            ConfigError: a mask or probabilities were given; this space has neither.
        """
        if mask is not None or probability is not None:
            raise ConfigError("UnicodeText cannot be sampled with a mask or probabilities")
        rng = self.np_random
        length = int(rng.random() * (min(self.max_length, SAMPLE_CHARS) + 1))
        points = (rng.random(length) * _PLANES).astype("<u4")
        return points.tobytes().decode("utf-32-le", "replace").replace("\0", REPLACEMENT)

    def contains(self, x: Any) -> bool:
        """Whether ``x`` is a string of this space."""
        return isinstance(x, str) and len(x) <= self.max_length and not _UNUSABLE.search(x)

    @property
    def is_np_flattenable(self) -> bool:
        """False: a text has no fixed-size array."""
        return False

    def __repr__(self) -> str:
        return f"UnicodeText({self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnicodeText) and other.max_length == self.max_length

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # equal by value and seedable: like Gymnasium's own


class SpokenText(str):
    """A speaker's text together with what its generator counted; anywhere else it is simply the text.

    Args:
        text: the utterance.
        generated_tokens: tokens sampled, the end token included; None: the environment counts.
        prompt_tokens: tokens of the prompt.
        finish_reason: why generation ended: a ``FinishReason`` or its value, such as ``"length"``.
        mean_logp: the mean log-probability of the generated tokens (natural log), ≤ 0; None: not known.
        p_right: of a review, the probability that it says RIGHT, in [0, 1]; None: not known.

    Raises:
        InvalidAction: a count that is not an integer ≥ 0, an unknown finish reason, or a signal outside its range.
    """

    generated_tokens: int | None
    prompt_tokens: int
    finish_reason: FinishReason
    mean_logp: float | None
    p_right: float | None

    def __new__(
        cls,
        text: str,
        *,
        generated_tokens: int | None = None,
        prompt_tokens: int = 0,
        finish_reason: FinishReason | str = FinishReason.STOP,
        mean_logp: float | None = None,
        p_right: float | None = None,
    ) -> Self:
        for name, count in (("generated_tokens", generated_tokens), ("prompt_tokens", prompt_tokens)):
            if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):
                raise InvalidAction(f"{name} must be an integer ≥ 0, got {count!r}")
        if finish_reason not in list(FinishReason):
            raise InvalidAction(f"finish_reason must be one of {[*map(str, FinishReason)]}, got {finish_reason!r}")
        for name, signal, least, most in (("mean_logp", mean_logp, -math.inf, 0.0), ("p_right", p_right, 0.0, 1.0)):
            if signal is not None and not _within(signal, least, most):
                wanted = "a finite number ≤ 0" if name == "mean_logp" else "a number from 0 to 1"
                raise InvalidAction(f"{name} must be {wanted}, or None where it is not known, got {signal!r}")
        self = super().__new__(cls, text)
        self.generated_tokens = generated_tokens
        self.prompt_tokens = prompt_tokens
        self.finish_reason = FinishReason(finish_reason)
        self.mean_logp = None if mean_logp is None else float(mean_logp)
        self.p_right = None if p_right is None else float(p_right)
        return self


def _within(signal: object, least: float, most: float) -> bool:
    if isinstance(signal, bool) or not isinstance(signal, Real):
        return False
    return math.isfinite(signal) and least <= float(signal) <= most


def usable_text(text: str, max_length: int) -> str:
    """``text`` as a member of ``UnicodeText(max_length)``.

    NUL and each lone surrogate become U+FFFD. Of a text beyond ``max_length`` code points the beginning and the
    end are kept, the middle is left out: answers and verdicts come last, and a thought opens at the beginning.
    A bound below 100 leaves room for the end alone.
    """
    if len(text) > max_length:
        head = max_length // 2 - len(_OMITTED) if max_length >= _ROOM_FOR_BOTH else 0
        middle = _OMITTED if head else ""
        text = text[:head] + middle + text[len(text) - (max_length - head - len(middle)) :]
    return _UNUSABLE.sub(REPLACEMENT, text)


def count_words(text: str) -> int:
    """Whitespace-separated words: the stand-in for tokens where no tokenizer counts."""
    return len(text.split())
