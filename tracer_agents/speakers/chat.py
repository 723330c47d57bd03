"""Chat messages as token ids, in which control tokens come from the chat template alone.

A message quotes text that is not ours: a question, other agents' solutions and reviews. It may contain the strings that
a tokenizer turns into control ids (``<|im_end|>``, ``[INST]``, ``</think>``), so it must not be encoded like the
template's own text. Here the template is rendered a second time with placeholders for the contents, which tells its own
text from theirs; a copy of the tokenizer then encodes everything at once, so that merges across the borders stay as
they are, but knows the control tokens by aliases only, which stand nowhere but in the template's text.
"""

import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import methodcaller
from typing import Any

from jinja2 import TemplateError
from tokenizers import AddedToken, Tokenizer
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from tracer_env.errors import ConfigError
from tracer_env.grading.thoughts import spoken

Messages = Sequence[Mapping[str, str]]

# Unicode's noncharacters are for use within a process and stand in no text; letters would not survive every template.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
_FOREIGN_MARKS = str.maketrans({_OPEN: "\ufffd", _CLOSE: "\ufffd"})
_IS_TEXT = re.compile(r"[\s▁]*|<0x[0-9A-Fa-f]{2}>")
_PLACEHOLDER = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")
_OURS = {"messages", "conversation", "tokenize", "add_generation_prompt", "continue_final_message", "chat_template"}
_STRIPS = tuple(
    methodcaller(name, *characters) for characters in ((), ("\n",)) for name in ("strip", "lstrip", "rstrip")
)
_PROBE = (
    {"role": "user", "content": "1 + 1?"},
    {"role": "assistant", "content": "2"},
    {"role": "user", "content": "3?"},
)


@dataclass(frozen=True, kw_only=True)
class Chat:
    """A tokenizer's chat format.

    Args:
        tokenizer: with a chat template.
        arguments: passed on to the template, e.g. ``{"enable_thinking": False}``.

    Raises:
        ConfigError: an argument that is ours to set.
    """

    tokenizer: PreTrainedTokenizerBase
    arguments: Mapping[str, Any] = field(default_factory=dict)
    _control: dict[int, str] = field(init=False, repr=False)
    _encode: Callable[["_Text"], list[int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        taken = sorted(_OURS & set(self.arguments))
        if taken:
            raise ConfigError(f"speakers.template_arguments: {taken[0]!r} is set by the program; drop it")
        control = control_tokens(self.tokenizer)
        object.__setattr__(self, "_control", control)
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        guarded = _Aliased(backend, control) if isinstance(backend, Tokenizer) else _Split(self.tokenizer, control)
        object.__setattr__(self, "_encode", guarded)

    def encode(self, messages: Messages) -> tuple[int, ...]:
        """The prompt's ids, up to where the next assistant's turn begins.

        Where the template knows no system messages, a system message stands before the user's first.

        Raises:
            ConfigError: the template fails, or does not show a message's content.
        """
        first, *others = messages
        if first["role"] == "system" and others and not self._takes_system:
            opening = f"{first['content']}\n\n{others[0]['content']}"
            messages = [{**others[0], "content": opening}, *others[1:]]
        text = self._text(messages)
        plain = self.tokenizer.encode(text.whole, add_special_tokens=False)
        guarded = self._encode(text)
        # Where no content became a control token the tokenizer's own ids stand: they are what models know.
        return tuple(plain if self._controls(plain) == self._controls(guarded) else guarded)

    def ends(self) -> tuple[int, ...]:
        """The control tokens that end an assistant's turn in a rendered conversation; a warning if there is none."""
        for messages in (_PROBE[:2], _PROBE):  # some templates end the last turn otherwise
            try:
                text = self._text(messages, generation=False)
            except ConfigError:
                continue
            after = self.tokenizer.encode(text.literals[2].lstrip(), add_special_tokens=False)
            if after and after[0] in self._control:
                return (after[0],)
        warnings.warn(
            "speakers.model: no token of the chat template ends an assistant's turn, so utterances may run on through "
            "turns that were never spoken; use a model whose template ends turns with a token",
            stacklevel=2,
        )
        return ()

    @cached_property
    def _takes_system(self) -> bool:
        """Whether the template shows a system message of ours."""
        try:
            self._text([{"role": "system", "content": "Be brief."}, *_PROBE[:1]])
        except ConfigError:
            return False
        return True

    def check(self, *, turns: bool, system: bool = False) -> None:
        """Examines the template before any work.

        Args:
            turns: whether prompts hold earlier turns of the assistant.
            system: whether prompts begin with a system message.

        Raises:
            ConfigError: it fails, drops contents, or ignores the generation prompt.
        """
        probe = _PROBE if turns else _PROBE[:1]
        self.encode([{"role": "system", "content": "Be brief."}, *probe] if system else probe)
        prompted, bare = (self._text(_PROBE[:1], generation=wanted).literals[1] for wanted in (True, False))
        try:
            begins = self._text(_PROBE[:2], generation=False).literals[1]
        except ConfigError:  # templates need not know earlier turns
            return
        if bare == prompted and begins.strip() != bare.strip():
            raise ConfigError(
                f"speakers.model: the chat template ignores add_generation_prompt, so prompts would lack {begins!r}, "
                "which tells the model that it is to speak; use another model, or mend its chat template"
            )

    def choices(self, words: Sequence[str]) -> tuple[int, ...]:
        """The ids that decide which of some words is said: the first token of each, where a turn begins.

        Raises:
            ConfigError: two words begin with the same token, or one has none.
        """
        ids = [self.tokenizer.encode(word, add_special_tokens=False) for word in words]
        first = tuple(each[0] for each in ids if each)
        if len(set(first)) != len(words):
            raise ConfigError(
                f"speakers.review: the tokenizer of speakers.model begins {' and '.join(map(repr, words))} with the "
                "same token, which cannot tell them apart; name other words in the block 'verdict' of speakers.prompts"
            )
        return first

    @property
    def thought(self) -> str:
        """``"<think>"`` where the template itself opens a thought for the model to go on with, otherwise nothing."""
        return "<think>" if spoken(f"{self._text(_PROBE[:1]).literals[1]}1") == "" else ""

    def _controls(self, ids: Sequence[int]) -> list[int]:
        return [token for token in ids if token in self._control]

    def _text(self, messages: Messages, *, generation: bool = True) -> "_Text":
        """The rendered conversation, cut into the template's own text and the contents."""
        contents = [message["content"].translate(_FOREIGN_MARKS) for message in messages]
        marked = [{**message, "content": f"{_OPEN}{index}{_CLOSE}"} for index, message in enumerate(messages)]
        parts = _PLACEHOLDER.split(self._render(marked, generation=generation))
        literals, order = parts[::2], [int(index) for index in parts[1::2]]
        if order != list(range(len(contents))):
            raise ConfigError(
                "speakers.model: the chat template does not show every message's content once and in order; "
                "use another model, or another speakers.style"
            )
        real = [{**message, "content": content} for message, content in zip(messages, contents, strict=True)]
        rendered = self._render(real, generation=generation)
        shown = _shown(rendered, literals, contents)
        if shown is not None:
            return _Text(literals=literals, contents=shown)
        first, last = literals[0], literals[-1]
        within = len(rendered) >= len(first) + len(last) and rendered.startswith(first) and rendered.endswith(last)
        if len(contents) == 1 and within:  # the template changes what it shows
            return _Text(literals=literals, contents=[rendered[len(first) : len(rendered) - len(last)]])
        return _Text(literals=literals, contents=contents)

    def _render(self, messages: Messages, *, generation: bool) -> str:
        try:
            rendered = self.tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tokenize=False,
                add_generation_prompt=generation,
                **self.arguments,
            )
        except (TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
            roles = ", ".join(message["role"] for message in messages)
            raise ConfigError(
                f"speakers.model: the chat template fails on a conversation of {roles} ({type(error).__name__}: "
                f"{error}); use another model, another speakers.style, or other speakers.template_arguments"
            ) from error
        return str(rendered)


def _shown(rendered: str, literals: Sequence[str], contents: Sequence[str]) -> list[str] | None:
    """The contents as they stand between the literals: whole, or with spaces at their ends stripped; None: neither."""
    if not rendered.startswith(literals[0]):
        return None
    shown, position = [], len(literals[0])
    for content, literal in zip(contents, literals[1:], strict=True):
        for variant in (content, *(strip(content) for strip in _STRIPS)):
            if rendered.startswith(variant + literal, position):
                shown.append(variant)
                position += len(variant) + len(literal)
                break
        else:
            return None
    return shown if position == len(rendered) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """Literals of the template with the contents between them; there is one literal more."""

    literals: Sequence[str]
    contents: Sequence[str]

    @property
    def whole(self) -> str:
        return "".join(part for part, _ in self.parts())

    def parts(self) -> Iterator[tuple[str, bool]]:
        """Every part with whether it is the template's."""
        for index, literal in enumerate(self.literals):
            yield literal, True
            if index < len(self.contents):
                yield self.contents[index], False


def control_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """Every token that is more than text, special or not: all that were added, but for spaces, lines and bytes."""
    added = {token: str(entry) for token, entry in tokenizer.added_tokens_decoder.items()}
    special = dict(zip(tokenizer.all_special_ids, map(str, tokenizer.all_special_tokens), strict=True))
    unknown = tokenizer.unk_token_id  # what a tokenizer makes of characters that it does not know
    known = special | added
    return {token: text for token, text in known.items() if token != unknown and not _IS_TEXT.fullmatch(text)}


def _matching(control: Mapping[int, str]) -> re.Pattern[str]:
    """Finds control tokens, the longest where several begin."""
    texts = sorted(control.values(), key=len, reverse=True)
    return re.compile("|".join(re.escape(text) for text in texts) or r"(?!)")


def _broken(text: str, control: Mapping[int, str]) -> str:
    """The text without the strings of control tokens: a space is put into each."""
    for string in sorted(control.values(), key=len, reverse=True):
        while string in text:
            text = text.replace(string, f"{string[0]} {string[1:]}" if len(string) > 1 else "�")
    return text


class _Aliased:
    """Encodes with a copy of a tokenizer that knows control tokens by aliases only."""

    def __init__(self, backend: Tokenizer, control: Mapping[int, str]) -> None:
        settings = json.loads(backend.to_str())
        added, settings["added_tokens"] = settings["added_tokens"], []
        self._copy = Tokenizer.from_str(json.dumps(settings))
        self._control = control
        self._alias = {string: f"{_OPEN}{token}{_CLOSE}" for token, string in control.items()}
        self._original: dict[int, int] = {}
        for entry in added:
            alias = self._alias.get(entry["content"]) or str(entry["content"])
            flags = {name: entry[name] for name in ("single_word", "lstrip", "rstrip", "special")}
            normalised = entry["normalized"] and alias == entry["content"]
            self._copy.add_tokens([AddedToken(alias, normalized=normalised, **flags)])
            token = self._copy.token_to_id(alias)
            assert token is not None  # it was just added
            self._original[token] = entry["id"]
        self._aliases = {self._copy.token_to_id(alias) for alias in self._alias.values()}
        self._pattern = _matching(control)

    def __call__(self, text: _Text) -> list[int]:
        ids = self._ids(text)
        if any(token in self._control for token in ids if token not in self._aliases):
            # The strings of control tokens are entries of the plain vocabulary, too.
            contents = [_broken(content, self._control) for content in text.contents]
            ids = self._ids(_Text(literals=text.literals, contents=contents))
        return [self._original.get(token, token) for token in ids]

    def _ids(self, text: _Text) -> list[int]:
        whole = "".join(
            self._pattern.sub(lambda match: self._alias[match[0]], part) if ours else part
            for part, ours in text.parts()
        )
        return self._copy.encode(whole, add_special_tokens=False).ids


class _Split:
    """Encodes between control tokens, for tokenizers that are not of the ``tokenizers`` library."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, control: Mapping[int, str]) -> None:
        self._tokenizer = tokenizer
        self._control = control
        self._ids = {string: token for token, string in control.items()}
        self._pattern = re.compile(f"({_matching(control).pattern})")

    def __call__(self, text: _Text) -> list[int]:
        ids: list[int] = []
        for part, ours in text.parts():
            pieces = self._pattern.split(part) if ours else [_broken(part, self._control)]
            for piece in pieces:
                if ours and piece in self._ids:
                    ids.append(self._ids[piece])
                elif piece:
                    ids += self._tokenizer.encode(piece, add_special_tokens=False)
        return ids
