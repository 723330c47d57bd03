"""Tells what a model says from what it thinks: thoughts are neither graded nor shown to other agents."""

import re

_NAMES = r"(?:seed:)?(?:think|thinking|thoughts?|reasoning|reflection|scratchpad)"
_QUOTES = ("``", '""', "''", "‘’", "“”")
_MARK = re.compile(
    rf"(?P<open><{_NAMES}>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|channel\|>(?:analysis|commentary)\b)"
    rf"|(?P<close></{_NAMES}>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|channel\|>final(?:<\|message\|>)?)",
    re.IGNORECASE,
)


def spoken(text: str) -> str:
    """``text`` without its thoughts; the empty string if a thought was cut off before its end.

    A thought stands between ``<think>`` and ``</think>`` (or ``<thinking>``, ``<reasoning>``, ``[THINK]``,
    ``◁think▷``, the analysis channel of gpt-oss and the like, in any case). A closing mark that was never opened
    ends a thought that the chat template opened, so all that stands before it is thought; whoever knows that the
    template opened one gives ``"<think>" + text``. A mark in quotes or backticks is only mentioned. Text without
    marks comes back unchanged. Linear in the text.
    """
    pieces: list[str] = []
    thinking, position = False, 0
    for mark in _MARK.finditer(text):
        if text[max(0, mark.start() - 1) : mark.start()] + text[mark.end() : mark.end() + 1] in _QUOTES:
            continue
        if mark["open"]:
            if not thinking:
                pieces.append(text[position : mark.start()])
            thinking = True
            continue
        if not thinking:
            pieces.clear()
        thinking, position = False, mark.end()
    return "" if thinking else "".join([*pieces, text[position:]])
