"""The choice grader reads one letter, however it is dressed."""

import pytest

from tracer_env.errors import ConfigError
from tracer_env.grading.base import Grade
from tracer_env.grading.choice import Choice

READ = [
    ("C", "C"),
    ("(c)", "C"),
    ("C.", "C"),
    ("The answer is (C).", "C"),
    ("The answer is C", "C"),
    ("the correct answer is option C", "C"),
    ("The correct answer is: **C**", "C"),
    ("**Answer: C) mitosis**", "C"),
    ("Answer: C. Because of entropy", "C"),
    ("Answer: the letter B", "B"),
    ("answer is c", "C"),
    ("answer is (c) since", "C"),
    (r"\boxed{C}", "C"),
    (r"\boxed{\text{C}}", "C"),
    (r"$\boxed{\textbf{(C)}}$", "C"),
    ("#### D", "D"),
    ("Answer: Ｃ", "C"),
    ("The answer is A. No, the answer is B.", "B"),
    ("The answer is B.\nThis answer is certain.", "B"),
    ("<solution>Answer: A</solution> Answer: D", "D"),
]
UNREADABLE = [
    "",
    "A: the first choice",
    "the answer is a matter of taste",
    "The answer is E",
    "The answer is Carbon",
    "Answer: С",  # Cyrillic
    "(A) and (B) are both plausible",
    "> Answer: C",
    "<review>Answer: C</review>",
]


@pytest.mark.parametrize(("completion", "letter"), READ)
def test_a_stated_letter_is_read(completion, letter):
    assert Choice().parse(completion) == letter


@pytest.mark.parametrize("completion", UNREADABLE)
def test_no_letter_is_read_where_none_is_stated(completion):
    assert Choice().parse(completion) is None


def test_letters_are_the_ones_asked_for():
    assert Choice(letters="ABCDE").parse("Answer: E") == "E"


@pytest.mark.parametrize("letters", ["", "A", "AA", "abc", "A1"])
def test_letters_must_be_distinct_capitals(letters):
    with pytest.raises(ConfigError, match="letters must be"):
        Choice(letters=letters)


def test_letters_are_graded_by_equality():
    assert Choice().grade(["A", "B", None], ["A", "A", "A"]) == [Grade.RIGHT, Grade.WRONG, Grade.WRONG]


FORMS = [
    ("Answer: B and D", None),
    (r"\boxed{B, D}", None),
    (r"\boxed{AC}", None),
    ("Answer: A/B", None),
    ("Answer: either A or B", None),
    ("The answer is (A) or (B).", None),
    ("The answer is B = 5 T, so option (D).", "D"),
    ("The answer is D-fructose, which is choice C.", "C"),
    ("The answer is A-T base pairing, option (B)", "B"),
    ("Answer: C-14 dating, option D", "D"),
    ("The answer is C, wait, D.", "D"),
    ("The answer is A. Wait, no: the answer is B.", "B"),
    ("ANSWER: `C`", "C"),
    (r"Answer: $\mathbf{C}$", "C"),
    (r"Answer: \[C\]", "C"),
    ("Answer: [C]", "C"),
    ("Answer: {C}", "C"),
    ("Answer: <C>", "C"),
    ('Answer: "C"', "C"),
    (r"Answer: \(\text{C}\)", "C"),
    ("**Final Answer**\n\n**C**", "C"),
    ("## Final Answer\n\n(C) 3 eV", "C"),
    ("Answer:\n\nC", "C"),
    ("The answer is:\nC", "C"),
    ("The correct answer is:\n\n**(B)** 5 kg", "B"),
    ("The best option is C.", "C"),
    ("The right choice is (D).", "D"),
    ("The answer could be C", "C"),
    ("The answer appears to be D.", "D"),
    ("Final answer: option C", "C"),
    ("Answer — C", "C"),
    ("So the answer is thus C.", "C"),
    ("Option C is correct.", "C"),
    ("(C) is the correct answer.", "C"),
    ("Therefore, C is the correct answer.", "C"),
    ("The correct answer is option (C): 5 m", "C"),
    ("Answer: eliminates A and B, leaving C", "C"),
    ("Answer: I believe it is (D)", "D"),
    ("Answer: probably B", "B"),
    ("Answer: it must be D.", "D"),
    ("Answer: not A but C", "C"),
    ("<answer>C</answer>", "C"),
    ("<answer>(C) 5 eV</answer>", "C"),
    ("<answer>C. 5 eV</answer>", "C"),
    ("C<|eot_id|>", "C"),
    ("(C)</s>", "C"),
    ("**C**", "C"),
    ("C.", "C"),
    ("C)", "C"),
    ("<think>A or B</think>C", "C"),
    ("<think>Answer: B</think>\nAnswer: C", "C"),
    ("Answer: A solution of salt", None),
    ("Answer: A solution of salt, option (C)", "C"),
    ("Answer: E", None),
    ("Answer: A because it is", "A"),
    ("Answer: A is correct", "A"),
    ("The answer is A, since x", "A"),
    ("The answer is a", "A"),
    ("Answer: C (carbon)", "C"),
    ("Answer: B) Vitamin C", "B"),
    ("Answer: (B) Vitamin C", "B"),
    ("Answer: B. Vitamin C", "B"),
    ("Answer: B, as A and C are wrong", "B"),
    ("The answer is B, not C.", "B"),
    ("The answer is B rather than C", "B"),
    ("Answer: B\n\nA is wrong because of C", "B"),
    ("The answer is C: the others fail", "C"),
    ("Answer: C = O bond, option A", "A"),
    ("Answer: none of them", None),
    ("the answer is not C", None),
    ("Answer: C (not D)", "C"),
    ("The answer is C or D? I say (D).", None),
    (r"\boxed{\text{(B) }5\text{ eV}}", "B"),
    (r"\boxed{\textbf{B}}", "B"),
    (r"\boxed{B. 5}", "B"),
    (r"$\boxed{\mathrm{B}}$", "B"),
    (r"\boxed{(\text{B})}", "B"),
    (r"The answer is $\boxed{B}$.", "B"),
    ("Answer: **(B)**", "B"),
    (r"Answer: B\)", "B"),
    ("The answer is option B, C is too big", "B"),
    ("The correct letter is D", "D"),
    ("The answer is letter D", "D"),
    ("Answer is C", "C"),
    ("Answers: C", "C"),
    ("Answer (letter): C", "C"),
    ("#### B", "B"),
    ("#### Step A\n\nAnswer: B", "B"),
    ("#### \nB", "B"),
    ("The answer is B.<|im_end|>", "B"),
    ("The answer is D, as 5 C of charge flows", "D"),
    ("Answer: D\nExplanation: A, B, and C fail", "D"),
    ("My answer: B", "B"),
    ("I choose B.", None),
    ("Answer is (B)", "B"),
    ("Choice: B", None),
    ("B is correct.", "B"),
    ("The answer is B: 5 m/s", "B"),
    ("Answer: **B) 5**", "B"),
    ("The answer is (b).", "B"),
    ("answer: b", "B"),
    (r"The final answer is $\boxed{\text{B}}$.", "B"),
    ("Answer: B.", "B"),
    ("The correct answer is B, because A is too low", "B"),
    ("The correct choice is B) 5", "B"),
    ("The answer is option (B) and not (C)", "B"),
    ("So, the answer is B", "B"),
    ("Final Answer: B", "B"),
    ("**Answer: B**", "B"),
    ("ANSWER: B", "B"),
    ("Answer:B", "B"),
    ('The answer is "B"', "B"),
    ("The answer is 'B'.", "B"),
    ("Answer: [[B]]", "B"),
    ("Answer: (B", "B"),
    ("Answer: B)", "B"),
    ("Answer: Option B", "B"),
    ("Correct Answer: B", "B"),
    ("The most likely answer is B.", "B"),
    ("The answer is most likely B.", "B"),
    ("The answer is clearly (B).", "B"),
    ("the answer is none of A, B, C, D", None),
    ("Answer: A, C and D", None),
    ("Answer: A & B", None),
    ("Answer: A or maybe B", None),
    ("Answer: A. B. C.", "A"),
    (r"\boxed{A,B}", None),
    (r"\boxed{\text{A and B}}", None),
    (r"\boxed{A/B}", None),
    ("The answer is K = 3, option (C).", "C"),
    ("The answer is B-DNA, so option A", "A"),
    ("The answer is C₂H₆, option (D).", "D"),
    ("Answer: C++ (option B)", "B"),
    ("The answer is B₀ = 3 T (option C)", "C"),
    ("The answer is A = πr², that is option D", "D"),
    ("<answer>\nB\n</answer>", "B"),
    ("<answer>Option B</answer>", "B"),
    ("<|assistant|>Answer: B<|end|>", "B"),
    (r"Answer: \text{B}", "B"),
    ("Answer: $B$", "B"),
    (r"Answer: \(\mathrm{B}\)", "B"),
    ("Answer: <b>B</b>", "B"),
    ("Answer: `B`.", "B"),
    ("Answer: B<br>", "B"),
    ("Answer:\n- B", "B"),
    ("Answer:\n\n(B) 5", "B"),
    ("**Correct Option:** B", "B"),
    ("The answer: B", "B"),
    ("Answer → B", "B"),
    ("Answer = B", "B"),
    ("The answer is therefore B", "B"),
    ("It follows that the answer has to be B.", "B"),
    ("The answer ought to be (B)", "B"),
    ("Answer: eliminate A, C, D; B remains", None),
    ("Answer: I'd go with B", "B"),
    ("Answer: D, not A", "D"),
]


@pytest.mark.parametrize(("completion", "letter"), FORMS)
def test_other_peoples_forms_are_read_and_several_letters_are_none(completion, letter):
    assert Choice().parse(completion) == letter
