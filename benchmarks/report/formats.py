"""Plain text and numbers as Markdown and LaTeX in which nothing that a model wrote is markup."""

import math
import re
from collections.abc import Iterable, Sequence

from tracer_env.rendering import escape

MAX_CHARACTERS = 160  # of one text that a model or a data set wrote
MISSING = "–"

_MARKDOWN = re.compile(r"[&<>|\\`*{}$~#]|(?<=\])[(\[]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.")
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "−": "$-$",
    "–": "--",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "λ": r"$\lambda$",
}


def bounded(text: str) -> str:
    """What a model or a data set wrote, on one line, of bounded length and without power over a terminal."""
    cut = " …" if len(text) > MAX_CHARACTERS else ""
    return " ".join(escape(text[:MAX_CHARACTERS]).split()) + cut


def markdown(text: str) -> str:
    """``text`` for a line or a table's cell of Markdown, shown as it is: what could be markup is an entity."""
    return _MARKDOWN.sub(lambda match: f"&#{ord(match[0])};", " ".join(text.splitlines()))


def latex(text: str) -> str:
    """``text`` for LaTeX, shown as it is."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.splitlines()))


def fenced(text: str, language: str = "text") -> str:
    """A Markdown code block that ``text`` cannot end."""
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """A Markdown table of plain texts; the columns after the first ``words`` are aligned to the right."""
    head, *body = (f"| {' | '.join(markdown(cell) for cell in line)} |" for line in (header, *rows))
    aligned = ["---"] * words + ["---:"] * (len(header) - words)
    return "\n".join([head, f"|{'|'.join(aligned)}|", *body])


def latex_table(header: Sequence[str], groups: Iterable[tuple[str, Iterable[Sequence[str]]]]) -> str:
    """A booktabs ``tabular`` of plain texts, with a ruled heading over each group of rows."""
    lines = [
        "% needs \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
        "\\toprule",
        " & ".join(map(latex, header)) + " \\\\",
    ]
    for name, rows in groups:
        lines += ["\\midrule", f"\\multicolumn{{{len(header)}}}{{l}}{{\\emph{{{latex(name)}}}}} \\\\"]
        lines += [" & ".join(map(latex, row)) + " \\\\" for row in rows]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def number(value: float, digits: int = 3, *, signed: bool = False) -> str:
    """A number with so many digits after the point; a dash for NaN."""
    if math.isnan(value):
        return MISSING
    text = f"{round(value, digits) + 0.0:{'+' if signed else ''},.{digits}f}"  # + 0.0: no negative zero
    return text.replace("-", "−")


def percent(share: float) -> str:
    """A share as a percentage with two digits after the point; a dash for NaN."""
    return MISSING if math.isnan(share) else f"{share:.2%}"


def with_interval(value: float, low: float, high: float, digits: int = 3, *, signed: bool = False) -> str:
    """A number and its interval, ``0.513 [0.490, 0.536]``."""
    if math.isnan(value):
        return MISSING
    return f"{number(value, digits, signed=signed)} [{number(low, digits)}, {number(high, digits)}]"


def p_value(p: float) -> str:
    """A p-value, not below what three digits can show."""
    return MISSING if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"
