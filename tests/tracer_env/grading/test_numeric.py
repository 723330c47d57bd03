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


FORMS = [
    ("#### 18 / 2", "9"),
    ("#### 20 - 2 = 18", "18"),
    ("#### 3 x 6", "18"),
    ("#### 5 to 7", None),
    ("#### 3:45", None),
    ("#### 2-3", None),
    ("#### 18 or 19 apples", None),
    ("The answer is either 3 or 4.", None),
    ("#### 1.234,56", None),
    ("#### 1.000.000", None),
    ("#### 12,34", None),
    ("#### 1 234 567", "1234567"),
    ("The answer is 12'345'678.", "12345678"),
    ("#### 12 345.5", "12345.5"),
    ("The answer is 1’250.", "1250"),
    ("The answer is $1,250 per month.", "1250"),
    ("Answer: 5 hours = 300 minutes.", "5"),
    ("The answer is x = 3 because 3 + 4 = 7.", "3"),
    ("The answer is 5 because 3 + 2 = 5", "5"),
    ("Answer: total = 3 * 5 = 15 when each has 5", "15"),
    ("Answer: The perimeter, when the side is 5, is 20.", "20"),
    ("**Answer:** Each of the 3 friends gets **4** cookies.", "4"),
    ("Answer: Each of the 3 friends gets 4 cookies.", "4"),
    ("Final answer: After 3 weeks she has 45 dollars.", "45"),
    ("Answer: The 5 boys ate 12 apples.", "12"),
    ("Answer: She needs 7 more boxes of 12 eggs.", "7"),
    ("Answer: Tom has 3 times as many, so 12.", "12"),
    ("#### Step 3: add 4\n#### 20", "20"),
    ("#### 20\n#### Step 5\nok", "20"),
    ("## 42", "42"),
    ("### **42**", "42"),
    ("#### Step 1\n3+4=7\n#### Step 2\nSo the total is 7.", "7"),
    ("#### 1. Find x\nx=3\n#### 2. Add 4\nThe total is 7.", "7"),
    ("### 1. Compute\n3+4=7\n### 2. Answer\n7", "7"),
    ("Final Answer\n\n**42**", "42"),
    ("The answer is:\n$$42$$", "42"),
    ("The answer is\n\n\\[ 42 \\]", "42"),
    ("**Answer:**\n> 42", None),
    ("Answer\n======\n42", "42"),
    ("The final answer is:\n\n- 42", "42"),
    ("**Answer**: \n\n\\boxed{42}", "42"),
    ("Answer:\n42 apples", "42"),
    ("The answer should be 18.", "18"),
    ("The answer must be 18", "18"),
    ("The answer turns out to be 18.", "18"),
    ("My final answer → 18", "18"),
    ("Answer => 18", "18"),
    ("Answer - 18", "18"),
    ("The answer (in dollars) is 18.", "18"),
    ("The answer for part b is 18", "18"),
    ("ANSWER: 18", "18"),
    ("Ans: 18", "18"),
    ("The final result is 18", "18"),
    ("Answer is: 18", "18"),
    ("*Answer:* 18", "18"),
    ("_Answer_: 18", "18"),
    ("| Final answer | **18** |", "18"),
    ("The correct answer is 18", "18"),
    ("The required answer is thus 18.", "18"),
    ("<answer>42</answer>\n", "42"),
    ("<answer>\n42\n</answer>", "42"),
    ("<Answer>42 dollars</Answer>", "42"),
    (r"<answer>\boxed{42}</answer>", "42"),
    ("<answer>The total is 42.</answer>", "42"),
    ("<answer>42", "42"),
    ("<answer>3 + 4 = 7</answer>", "7"),
    ("42<|endoftext|>", "42"),
    ("#### 42<|eot_id|><|start_header_id|>user<|end_header_id|>\n#### 5", "42"),
    ("#### 42</s>", "42"),
    ("#### 42<eos>", "42"),
    ("#### 42<｜end▁of▁sentence｜>", "42"),
    ("#### 42[EOS]", "42"),
    ("<|im_start|>assistant\n#### 42<|im_end|>", "42"),
    ("#### 42<|end|>", "42"),
    ("The answer is 42.<|eom_id|>", "42"),
    ("#### 42<|im_end|>\n<|im_start|>user\nNext\n#### 3", "42"),
    ("#### 18\n\nProblem: A\nSolution: 5\n#### 5", "18"),
    ("The answer is 18.\n\nHuman: hi\nAssistant: The answer is 5.", "18"),
    ("#### 18\n\n### Question: x\n#### 5", "18"),
    ("#### 18\n\n**Question:** x\n#### 5", "18"),
    ("Question: How many?\nAnswer: 18", "18"),
    (r"\fbox{42}", "42"),
    (r"\boxed 42", "42"),
    (r"\framebox{\$42}", "42"),
    ('#### 7\nThe other agent wrote "#### 9" which is wrong.', "7"),
    ('#### 7\nThe solver says "The answer is 9".', "7"),
    ("#### 7\n(I disagree with `#### 9`)", "7"),
    ("#### 7\nThe review claims 'the answer is 9', not so.", "7"),
    ("The <solution> makes a mistake in step 2.\n#### 7", "7"),
    ("In <solution> there is a slip.\n#### 7", "7"),
    ("I read the <review> twice; the answer is 7.", "7"),
    ("<solution> is wrong.\n#### 7", "7"),
    ("Inside the <solution> tags: fine.\n<solution>\n#### 9\n</solution>\n#### 7", "7"),
    ("The answer is 50%.", "50"),
    ("The answer is 2 1/2 cups.", "2.5"),
    ("#### 12 dozen", "12"),
    ("#### 3 million", "3000000"),
    ("#### $2.5 million", "2500000"),
    ("#### 1/2 cup", "0.5"),
    ("So we get 18.", "18"),
    ("Therefore, she has 18 eggs left.", "18"),
    ("Thus the cost is $18.", "18"),
    ("The total is 18.", "18"),
    ("I add 3 and 4 and get 7 apples in all", None),
    ("The answer is 3 hours 20 minutes.", None),
    ("The answer is 3 hours and 20 minutes", None),
    ("The answer is $4 and 50 cents.", None),
    ("The answer is 5 feet 3 inches", None),
    ("The answer is not 18.", None),
    ("The answer isn't 18", None),
    ("The answer cannot be 18.", None),
    ("#### -18", "-18"),
    ("The answer is -$18.", "-18"),
    ("#### 18.0", "18"),
    ("#### 18.", "18"),
    ("The answer is 18, not 20.", "18"),
    ("The answer is 18 (not 20).", "18"),
    ("The answer is 18; 20 is too much", "18"),
    ("The answer is 9 * 2 = <<9*2=18>>18", "18"),
    ("#### <<9*2=18>>18", "18"),
    ("The answer to 3 + 4 is 7.", "7"),
    ("A: The answer is 7", "7"),
    ("The answer of this problem is 7", "7"),
    ("So the answer we get is 7", "7"),
    (r"\boxed{3} and \boxed{4}", None),
    (r"\boxed{\text{The total is } 42}", "42"),
    (r"\boxed{42\ \text{km/h}}", "42"),
    (r"\boxed{\textbf{42}}", "42"),
    (r"Use \boxed to show it. The answer is 7.", "7"),
    ("The number of 3-digit codes: Answer: 720 codes", "720"),
    ("Answer: $18 + $2 = $20", "20"),
    ("Answer: 20% of 50 = 10", "10"),
    ("Answer: It takes 5 days for 3 workers.", "5"),
]


@pytest.mark.parametrize(("completion", "answer"), FORMS)
def test_other_peoples_forms_are_read_and_several_numbers_are_none(completion, answer):
    assert Numeric().parse(completion) == answer
