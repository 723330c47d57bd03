"""The numeric grader reads one exact number, however it is written."""

import pytest

from tracer_env.grading.base import Grade
from tracer_env.grading.numeric import Numeric, canonical_number

READ = [
    ("#### 18", "18"),
    ("A: 18", "18"),
    ("**A:** 18", "18"),
    (r"\boxed{18}", "18"),
    (r"So $\boxed{18}$ eggs.", "18"),
    (r"\boxed 7", "7"),
    ("The answer is $18.00.", "18"),
    ("the final answer is: 18 dollars", "18"),
    ("Answer: 1,234.50", "1234.5"),
    ("**Answer:** 18", "18"),
    ("Answer = 12", "12"),
    ("#### 1,000,000", "1000000"),
    ("#### 18%", "18"),
    (r"\boxed{18\%}", "18"),
    ("#### -3", "-3"),
    ("#### −3", "-3"),
    ("#### –$5", "-5"),
    ("#### $-5", "-5"),
    ("#### +4", "4"),
    ("#### 3/4", "0.75"),
    ("#### 1/3", "1/3"),
    ("#### -2/6", "-1/3"),
    ("#### 2 1/2", "2.5"),
    ("#### 2½", "2.5"),
    (r"\boxed{\frac{3}{8}}", "0.375"),
    (r"\boxed{-\dfrac{1}{3}}", "-1/3"),
    (r"\boxed{1\frac{4}{5}}", "1.8"),
    (r"\boxed{\frac12}", "0.5"),
    (r"\boxed{\$32,\!348}", "32348"),
    (r"\boxed{10{,}000}", "10000"),
    (r"\boxed{18 \text{ apples}}", "18"),
    (r"\boxed{x = 5}", "5"),
    ("The answer is 9 * 2 = 18.", "18"),
    ("The answer is 18. Check: 3 + 4 = 7", "18"),
    ("#### .5", "0.5"),
    ("#### 007", "7"),
    ("#### 1e3", "1000"),
    ("#### 2.50", "2.5"),
    ("#### -0", "0"),
    ("#### ١٨", "18"),
    ("#### １８", "18"),
    ("#### १,२३४", "1234"),
    ("#### 1\u202f234", "1234"),
    ("#### ١٨٫٥", "18.5"),
    ("18", "18"),
    ("$18.00.", "18"),
    ("#### 5\nNo: #### 6", "6"),
    ("#### 18\nThis answer is correct.", "18"),
    ("The answer is 3 apples and 4 pears", "3"),
]
UNREADABLE = [
    "",
    "I add 3 and 4 and get 7 apples in all",
    "The answer is unknown",
    "#### eighteen",
    "#### x2",
    "#### 1/0",
    "#### ²",
    "#### " + "9" * 65,
    r"\boxed{}",
    r"\boxed{18",
    "<solution>#### 18</solution>",
    "<review>The answer is 18.</review>",
    "> #### 18",
    "  > The answer is 18",
    "<solution>\n#### 18",
    "#### 18 </solution>",
    "1e5 or 1e6",
    "The answer is not 18.",
    r"\boxed{10^5}",
]


@pytest.mark.parametrize(("completion", "answer"), READ)
def test_a_stated_number_is_read(completion, answer):
    assert Numeric().parse(completion) == answer


@pytest.mark.parametrize("completion", UNREADABLE)
def test_no_number_is_read_where_none_is_stated(completion):
    assert Numeric().parse(completion) is None


def test_only_own_words_count_beside_a_quote():
    completion = "<solution>The answer is 4.</solution>\n> #### 5\nI disagree. #### 6\n<review>#### 7</review>"
    assert Numeric().parse(completion) == "6"


@pytest.mark.parametrize(
    ("written", "canonical"), [("1.10", "1.1"), ("10/4", "2.5"), ("100", "100"), ("-7/21", "-1/3")]
)
def test_canonical_numbers_are_in_lowest_terms(written, canonical):
    assert canonical_number(written) == canonical
    assert canonical_number(canonical) == canonical


@pytest.mark.parametrize("text", ["5 apples", "3 and 4", "x", "", "1,23,4"])
def test_more_than_a_number_is_no_number(text):
    assert canonical_number(text) is None


def test_equality_is_exact_and_no_answer_is_wrong():
    grades = Numeric().grade(["18", "0.33", None, "1/3"], ["18", "1/3", "5", "1/3"])
    assert grades == [Grade.RIGHT, Grade.WRONG, Grade.WRONG, Grade.RIGHT]


def test_answers_and_golds_must_pair_up():
    with pytest.raises(ValueError, match="argument"):
        Numeric().grade(["1", "2"], ["1", "2", "3"])
