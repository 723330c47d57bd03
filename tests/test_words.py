"""One meaning per word: a short list of forms that stand neither in code nor in prose.

``python tests/test_words.py [FOLDER …]`` lists every place.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = ("tracer_env", "tracer_agents", "benchmarks", "scripts", "examples")
WRITTEN_BY_OTHERS = {"docs/design.md", "docs/results/benchmark/report.md"}  # the plan; a report that its command writes
# A name says what a thing is: an utterance, a record, an index.
NAMES = {"one", "found", "said", "own", "told", "at"}
# "Line" is a line of text; what is played in a tree is a path, and what comes out is a dialogue.
ABOUT_TEXT = re.compile(r"read|write|text|jsonl|splitlines|stdout|svg|matplotlib|pyplot|efg|latex|console")
COUNTED = (
    r"tokens|questions?|completions?|utterances?|rows?|steps?|cells?|calls?|requests?|prompts?|seconds|iterations?|"
    r"dialogues?|rounds?|updates?|processes|samples?|proposals?|reviews?|characters?|entry|entries|line|file|server|policy"
)
PER = (
    r"question|prompt|request|step|batch|seed|dialogue|policy|token|view|row|answer|call|cell|round|depth|second|minute|"
    r"visit|tree|task|method|group|agent|node|game|level|role|server|iteration|quantity|epoch|split|turn"
)
A_FOR_PER = re.compile(rf"\b({COUNTED}) an? ({PER})\b", flags=re.I)


def bound_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line number, name) wherever a module gives a name to something."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store(), lineno=number) | ast.arg(arg=name, lineno=number):
                yield number, name
            case ast.FunctionDef(name=name, lineno=number) | ast.ClassDef(name=name, lineno=number):
                yield number, name


def places_in(path: Path) -> Iterator[str]:
    """Every banned form in a file, as ``file:line: what``."""
    text, label = path.read_text("utf-8"), path.relative_to(ROOT)
    prose = re.sub(r"^(```|~~~).*?^\1", lambda block: "\n" * block[0].count("\n"), text, flags=re.S | re.M)
    for number, words in enumerate(prose.split("\n"), 1):
        for match in A_FOR_PER.finditer(words):
            yield f"{label}:{number}: {match[0]!r}"
    if path.suffix == ".py":
        banned = NAMES if ABOUT_TEXT.search(text) else NAMES | {"line", "lines"}
        for number, name in bound_names(ast.parse(text)):
            if name in banned:
                yield f"{label}:{number}: the name {name!r}"


def files_of(folder: str) -> list[Path]:
    """The sources and pages below a folder, or the one file."""
    start = ROOT / folder
    paths = [start] if start.is_file() else [path for end in ("py", "md", "yaml") for path in start.rglob(f"*.{end}")]
    return sorted(path for path in paths if str(path.relative_to(ROOT)) not in WRITTEN_BY_OTHERS)


@pytest.mark.parametrize("folder", [*SHIPPED, "docs", "README.md", "CONTRIBUTING.md", "configs"])
def test_no_banned_form_stands_anywhere(folder):
    assert [place for path in files_of(folder) for place in places_in(path)] == []


def test_banned_forms_are_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    page = tmp_path / "page.py"
    page.write_text('"""Tokens a question; tokens per question; is a question."""\nfor one in ():\n    line = one\n')

    assert [place.partition(": ")[2] for place in places_in(page)] == [
        "'Tokens a question'",
        "the name 'one'",
        "the name 'line'",
    ]


if __name__ == "__main__":
    for given in sys.argv[1:] or [*SHIPPED, "docs", "README.md"]:
        for file in files_of(given):
            print(*places_in(file), sep="\n", end="\n" if any(places_in(file)) else "")
