"""Arbitrary text never crashes or stalls a reader, and reading is a fixed point of its own output."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.graders.by_value import ByValue
from tracer_env.grading.choice import Choice
from tracer_env.grading.latex import canonical_latex
from tracer_env.grading.numeric import Numeric, canonical_number
from tracer_env.grading.symbolic import Symbolic

READERS = [Numeric(), Choice(), Symbolic(), ByValue()]
PIECES = st.sampled_from(
    [*r"\{}()[]$^_%#.,:;=/*<>+-− ", "\n", "\x00", "\ud800", "½", "٣", "1", "23", "x", "A", "C", "answer", " is ",
     "####", "A:", r"\boxed", r"\boxed{", r"\frac", r"\text{", r"\sqrt", r"\left", "<solution>", "</solution>",
     "<review>", "</review>", "> ", "**", "π", "1e9", ",000", r"\\", r"\begin{pmatrix}"]
)  # fmt: skip
TEXT = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=60).map("".join))
REPEATED = [
    *["\\boxed{", "\\boxed", "####", "answer is ", "A:\n", "(", "{", "1,", "1/", "\\frac", "\\text{", "<solution>"],
    *["</review>", "<", " ", "\n", ">\n", "$", "9", "-", "*", "\\", "^{", "½", "answer: (", ". ", "a ", "\\("],
]


@settings(deadline=None, max_examples=300)
@given(TEXT)
def test_any_text_reads_as_an_answer_or_none(text):
    for reader in READERS:
        answer = reader.parse(text)
        assert answer is None or (isinstance(answer, str) and answer)
        reader.gold(text)


@settings(deadline=None, max_examples=300)
@given(TEXT)
def test_quoted_text_is_never_read(text):
    for reader in READERS:
        assert reader.parse(f"<solution>{text.replace('</', '')}</solution>") is None


@settings(deadline=None, max_examples=300)
@given(TEXT)
def test_a_canonical_number_reads_as_itself(text):
    answer = Numeric().parse(text)
    if answer is not None:
        assert Numeric().parse(f"#### {answer}") == answer
        assert canonical_number(answer) == answer


@pytest.mark.parametrize("piece", REPEATED)
def test_a_megabyte_of_one_piece_is_read_in_linear_time(piece):
    text = piece * (2**20 // len(piece))
    for reader in READERS:
        for variant in (text, f"The answer is {text}", f"#### {text}", f"\\boxed{{{text[:30_000]}}}"):
            reader.parse(variant)
    canonical_latex(text[:2_000])
