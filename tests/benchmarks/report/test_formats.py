"""Tests of plain text and numbers as Markdown and LaTeX."""

import pytest

from benchmarks.report.formats import (
    MAX_CHARACTERS,
    bounded,
    fenced,
    latex,
    latex_table,
    markdown,
    markdown_table,
    number,
    p_value,
    percent,
    with_interval,
)

HOSTILE = "<script>x</script> | [a](http://e.org) ![i][j] `code` **b** _c_ $x$ ~~d~~ {: .e } \\ www.e.org &lt;"


def shown(text: str) -> str:
    """What a reader of the entities sees."""
    for code in {int(part.split(";")[0]) for part in text.split("&#")[1:]}:
        text = text.replace(f"&#{code};", chr(code))
    return text


def test_hostile_text_is_shown_as_it_is_and_is_no_markup():
    text = markdown(HOSTILE)

    assert shown(text) == HOSTILE
    assert not any(mark in text for mark in ("<", ">", "|", "`", "*", "$", "~", "\\", "](", "][", "://", "www.", " _"))
    assert "&lt;" not in text


def test_names_and_intervals_stay_readable_in_the_source():
    assert markdown("self_consistency@k=3 0.5 [0.4, 0.6]") == "self_consistency@k=3 0.5 [0.4, 0.6]"


def test_a_line_feed_cannot_end_a_row():
    assert markdown("a\n| b |\r\n# c") == "a &#124; b &#124; &#35; c"
    assert latex("a\nb") == "a b"


def test_what_models_wrote_is_one_bounded_line_without_control_characters():
    text = bounded("one\ntwo\x1b[31m\u202e" + "x" * 1000)

    assert text.startswith("one two\\x1b[31m\\u202exxx")
    assert text.endswith(" …")
    assert len(text) < MAX_CHARACTERS + 20


def test_latex_specials_by_hand():
    assert latex(r"50% of $x_1 & {y}^2 #3 ~\a") == (
        r"50\% of \$x\_1 \& \{y\}\textasciicircum{}2 \#3 \textasciitilde{}\textbackslash{}a"
    )
    assert latex("−0.1 – 2") == "$-$0.1 -- 2"


def test_a_code_block_cannot_be_ended_from_inside():
    assert fenced("```\nfour: ````") == "`````text\n```\nfour: ````\n`````"


def test_a_markdown_table():
    table = markdown_table(["a", "b"], [["x|y", "1"]])

    assert table == "| a | b |\n|---|---:|\n| x&#124;y | 1 |"


def test_a_latex_table_rules_every_group():
    table = latex_table(["m", "a_1"], [("t_1", [["x & y", "1"]]), ("u", [])])

    assert table.splitlines() == [
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"m & a\_1 \\",
        r"\midrule",
        r"\multicolumn{2}{l}{\emph{t\_1}} \\",
        r"x \& y & 1 \\",
        r"\midrule",
        r"\multicolumn{2}{l}{\emph{u}} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@pytest.mark.parametrize(
    ("value", "digits", "signed", "text"),
    [
        (0.12345, 3, False, "0.123"),
        (-0.5, 2, False, "−0.50"),
        (0.5, 2, True, "+0.50"),
        (-0.0001, 3, False, "0.000"),
        (1234567.0, 0, False, "1,234,567"),
        (float("nan"), 3, True, "–"),
    ],
)
def test_numbers(value, digits, signed, text):
    assert number(value, digits, signed=signed) == text


def test_a_number_with_its_interval():
    assert with_interval(0.1, -0.05, 0.25, 2, signed=True) == "+0.10 [−0.05, 0.25]"
    assert with_interval(float("nan"), 0.0, 1.0) == "–"


def test_small_p_values_are_bounds():
    assert [p_value(p) for p in (0.0002, 0.001, 0.25, float("nan"))] == ["<0.001", "0.001", "0.250", "–"]


def test_percentages():
    assert percent(0.1234) == "12.34%"
    assert percent(float("nan")) == "–"
