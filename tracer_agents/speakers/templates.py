"""Files of prompt texts, in Jinja: read, examined before any work, and rendered as chat messages.

A file has a block for each kind of prompt, and in it a call for each message::

    {% block review %}
    {% call user() %}{{ question }}{% endcall %}
    {% call assistant() %}{{ solution }}{% endcall %}
    {% call user() %}Is that right? End with "Verdict: RIGHT" or "Verdict: WRONG".{% endcall %}
    {% endblock %}

Messages are calls, not marks in a text, so no text that is quoted in one can forge another.

The block ``verdict`` may be missing. It goes on where the proposer's own conversation, its question and its solution,
ends, and names the two words of which the reviewer says one::

    {% block verdict %}
    {% call user() %}Is that right? Answer Yes or No.{% endcall %}
    {% call right() %}Yes{% endcall %}
    {% call wrong() %}No{% endcall %}
    {% endblock %}
"""

import hashlib
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tracer_env.errors import ConfigError

Messages = list[dict[str, str]]

KINDS: dict[str, tuple[str, ...]] = {  # kind of prompt -> what its block may show
    "solve": ("question", "answer_format"),
    "review": ("question", "solution", "answer_format"),
    "revise": ("question", "solution", "review", "answer_format"),
    "debate": ("question", "solution", "others", "answer_format"),
    "verdict": ("question", "solution", "answer_format"),
}
VERDICT = "verdict"  # the one kind that a file may lack
_SHOWN = {"review": "solution", "revise": "review", "debate": "others"}  # what a prompt of a kind is pointless without
_ROLES = ("system", "user", "assistant")
_WORDS = ("right", "wrong")  # calls of the block of verdicts
_SAMPLES: dict[str, Any] = {
    "question": "⟨question⟩",
    "solution": "⟨solution⟩",
    "review": "⟨review⟩",
    "others": ["⟨others⟩"],
    "answer_format": "⟨answer format⟩",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFile:
    """The prompt texts of a file.

    Args:
        path: the file.
        sha256: its digest.
    """

    path: Path
    sha256: str
    _template: Template = field(repr=False)

    def render(self, kind: str, shown: Mapping[str, Any]) -> Messages:
        """The messages of a prompt.

        Args:
            kind: one of ``KINDS``.
            shown: the texts that its block may show, by name.

        Raises:
            ConfigError: the block fails on them, or makes no conversation that an assistant could go on with.
        """
        return [message for message in self._called(kind, shown) if message["role"] in _ROLES]

    @property
    def knows_verdicts(self) -> bool:
        """Whether there is a block for verdicts."""
        return VERDICT in self._template.blocks

    @property
    def verdict_words(self) -> tuple[str, str]:
        """What says RIGHT and what says WRONG.

        Raises:
            ConfigError: there is no block for verdicts, or it does not name two words.
        """
        if not self.knows_verdicts:
            raise ConfigError(
                f"{self.path}: no block {VERDICT!r}, which speakers.review: verdict needs: {{% block {VERDICT} %}}"
                "{% call user() %}Is that right? Answer Yes or No.{% endcall %}{% call right() %}Yes{% endcall %}"
                "{% call wrong() %}No{% endcall %}{% endblock %}"
            )
        called = self._called(VERDICT, {name: _SAMPLES[name] for name in KINDS[VERDICT]})
        words = {role: [each["content"].strip() for each in called if each["role"] == role] for role in _WORDS}
        right, wrong = words["right"], words["wrong"]
        if len(right) != 1 or len(wrong) != 1 or not right[0] or not wrong[0] or right == wrong:
            raise ConfigError(
                f"{self.path}: block {VERDICT!r} must name two different words, each once: "
                "{% call right() %}Yes{% endcall %} {% call wrong() %}No{% endcall %}"
            )
        return right[0], wrong[0]

    def _called(self, kind: str, shown: Mapping[str, Any]) -> Messages:
        """Everything that a block calls: the messages, and the words of a verdict."""
        conversation: Messages = []
        calls = {role: _collecting(role, conversation) for role in (*_ROLES, *(_WORDS if kind == VERDICT else ()))}
        block, context = self._template.blocks[kind], self._template.new_context({**calls, **shown})
        try:
            rest = "".join(block(context))
        except Exception as error:  # a file that is not ours may fail as Python can
            where = _line_of(error, self._template)
            raise ConfigError(f"{where}: block {kind!r} fails: {error or type(error).__name__}; mend it") from error
        if rest.strip():
            raise ConfigError(
                f"{self.path}: block {kind!r} holds text outside of its messages ({' '.join(rest.split())[:60]!r}); "
                "put it between {% call user() %} and {% endcall %}"
            )
        roles = [message["role"] for message in conversation if message["role"] in ("user", "assistant")]
        system = [index for index, message in enumerate(conversation) if message["role"] == "system"]
        if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"] or system not in ([], [0]):
            order = ", ".join(message["role"] for message in conversation) or "no message"
            raise ConfigError(
                f"{self.path}: block {kind!r} must hold messages of user and assistant by turns, from user to user, "
                f"after at most one of system; it holds {order}"
            )
        return conversation


def read_prompts(path: Path) -> PromptFile:
    """Reads a file of prompt texts and tries every block.

    Raises:
        ConfigError: it cannot be read, is no Jinja, lacks a block, names a variable that does not exist, or a block
            makes no conversation, says nothing, or does not show what it is about.
    """
    try:
        content = path.read_bytes()
        source = content.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"speakers.prompts: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"speakers.prompts: {path} is not UTF-8 ({error.reason} at byte {error.start})") from error
    loader = FunctionLoader(lambda name: (source, str(path), None) if name == str(path) else None)
    environment = ImmutableSandboxedEnvironment(
        loader=loader,
        undefined=StrictUndefined,
        autoescape=False,  # prompts are text, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
    )
    try:
        _require_blocks(path, environment, environment.parse(source, filename=str(path)))
        template = environment.get_template(str(path))
    except TemplateSyntaxError as error:
        raise ConfigError(f"{path}:{error.lineno}: no Jinja: {error.message}; mend it") from error
    prompts = PromptFile(path=path, sha256=hashlib.sha256(content).hexdigest(), _template=template)
    for kind, names in KINDS.items():
        if kind not in template.blocks:
            continue
        _require_meaning(path, kind, prompts.render(kind, {name: _SAMPLES[name] for name in names}))
    if prompts.knows_verdicts:
        _ = prompts.verdict_words
    return prompts


def _require_blocks(path: Path, environment: Environment, tree: nodes.Template) -> None:
    """Refuses a file that lacks a block, or whose blocks name what they are not given."""
    needed = [kind for kind in KINDS if kind != VERDICT]
    blocks = {block.name: block for block in tree.find_all(nodes.Block)}
    for kind, names in KINDS.items():
        if kind == VERDICT and kind not in blocks:
            continue
        if kind not in blocks:
            raise ConfigError(
                f"{path}: no block {kind!r}; a file of prompts has the blocks {', '.join(needed)}: "
                f"{{% block {kind} %}} … {{% endblock %}}"
            )
        alone = nodes.Template(blocks[kind].body, lineno=1)
        alone.set_environment(environment)
        unknown = meta.find_undeclared_variables(alone) - {
            *names,
            *_ROLES,
            *(_WORDS if kind == VERDICT else ()),
            "caller",
        }
        for name in alone.find_all(nodes.Name):
            if name.name in unknown and name.ctx == "load":
                raise ConfigError(
                    f"{path}:{name.lineno}: block {kind!r} is given no {name.name!r}; it may show {', '.join(names)}"
                )


def _require_meaning(path: Path, kind: str, conversation: Messages) -> None:
    """Refuses prompts that say nothing, or not what they are about."""
    for message in conversation:
        if not message["content"].strip():
            raise ConfigError(f"{path}: block {kind!r} renders an empty message of {message['role']}; give it a text")
    whole = "".join(message["content"] for message in conversation)
    for name in () if kind == VERDICT else ("question", _SHOWN.get(kind)):  # a verdict follows what shows them
        if name and f"⟨{name}⟩" not in whole:
            raise ConfigError(f"{path}: block {kind!r} does not show {{{{ {name} }}}}; without it nobody can answer")


def _collecting(role: str, conversation: Messages) -> Callable[..., str]:
    def say(caller: Callable[[], str]) -> str:
        conversation.append({"role": role, "content": caller()})
        return ""

    return say


def _line_of(error: BaseException, template: Template) -> str:
    """``file:line`` where a template failed."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == template.filename]
    python_line = frames[-1].lineno if frames else None
    place = f":{template.get_corresponding_lineno(python_line)}" if python_line else ""
    return f"{template.filename}{place}"
