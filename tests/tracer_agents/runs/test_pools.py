"""Files of pools: made by hand, damaged, of another version, continued."""

import json

import pytest

from tracer_agents.errors import RunError
from tracer_agents.rollout.pools import PoolHeader, question_as_json, question_from_json, tokens_of
from tracer_agents.runs.pools import load_pool, record_pool
from tracer_agents.types import Episode
from tracer_env.dialogue import Utterance, Verdict
from tracer_env.tasks.base import Grade, Question

HEADER = {"schema_version": 1, "members": ["cheap", "dear"]}


def drawn(answer, **fields):
    return {"answer": answer, "generated_tokens": 10, **fields}


def by_hand(**fields):
    cheap = [drawn("7", mean_logp=-0.5, reviews={"cheap": [{"p_right": 0.75, "generated_tokens": 1}]}), drawn(None)]
    dear = [drawn("8", reviews={"cheap": [{"verdict": "WRONG"}]}), drawn("7")]
    return {"question": "3 + 4?", "gold": "7", "members": {"cheap": cheap, "dear": dear}, **fields}


def write(path, *rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_a_pool_made_by_hand_is_read(tmp_path):
    pool = load_pool(write(tmp_path / "pool.jsonl", HEADER, by_hand(), by_hand(question_id="second")))
    first, second = pool.questions
    assert (first.episode.question.id, second.episode.question.id) == ("row/1", "second")
    assert [[draw.right for draw in draws] for draws in first.members] == [[True, False], [False, True]]
    assert first.members[0][0].reviews[0].p_right == 0.75
    assert first.members[0][1].reviews == ()
    assert first.members[1][0].reviews == ()  # the cheap one's review is no review of its own
    assert first.reviews(1, 0, 0)[0].verdict is Verdict.WRONG
    assert first.members[0][0].utterance.mean_logp == -0.5
    assert first.members[1][1].utterance.mean_logp is None  # unknown is not zero
    assert tokens_of([first]) == 41


def test_grades_of_a_task_are_taken_as_they_are(tmp_path):
    graded = by_hand(gold="seven", grades={"7": "right", "8": "wrong"})
    [question] = load_pool(write(tmp_path / "pool.jsonl", HEADER, graded)).questions
    assert [[draw.right for draw in draws] for draws in question.members] == [[True, False], [False, True]]
    assert question.grades == {"7": Grade.RIGHT, "8": Grade.WRONG}


def test_a_row_is_read_back_as_it_was_written():
    names = HEADER["members"]
    question = question_from_json(by_hand(), names, 3)
    assert question_from_json(json.loads(json.dumps(question_as_json(question, names))), names, 9) == question


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"members": {"cheap": []}}, "the header names"),
        ({"grades": {"8": "wrong"}}, "grades: there is none of the answer '7'"),
        ({"gold": 7}, "gold: must be a string"),
        ({"members": {"cheap": [drawn("7", reviews={"me": []})], "dear": []}}, "reviews: by"),
        ({"members": {"cheap": [drawn("7", mean_logp=0.5)], "dear": []}}, "mean_logp: must be ≤ 0"),
        ({"members": {"cheap": [drawn("7", p_right=1.5)], "dear": []}}, "p_right: must lie in"),
        ({"members": {"cheap": [{"answer": "7", "generated_tokens": -1}], "dear": []}}, "generated_tokens: must be"),
        ({"members": {"cheap": [drawn("7", colour="red")], "dear": []}}, "colour"),
    ],
)
def test_a_bad_row_is_named_with_its_field(tmp_path, change, message):
    path = write(tmp_path / "pool.jsonl", HEADER, by_hand(), {**by_hand(), **change})
    with pytest.raises(RunError, match=rf"pool\.jsonl, line 3: not a question of a pool \(.*{message}"):
        load_pool(path)


def test_other_files_are_refused_with_what_to_do(tmp_path):
    with pytest.raises(RunError, match="there is no such pool; draw one"):
        load_pool(tmp_path / "none.jsonl")
    old = write(tmp_path / "old.jsonl", {"question_id": "q", "members": {}, "grades": {}})
    with pytest.raises(RunError, match=r"old\.jsonl, line 1: .*earlier version.*draw the pool again"):
        load_pool(old)
    newer = write(tmp_path / "newer.jsonl", {**HEADER, "schema_version": 2})
    with pytest.raises(RunError, match="schema_version is 2, this program reads 1"):
        load_pool(newer)
    part = write(tmp_path / "part.jsonl", {**HEADER, "questions": 3}, by_hand())
    with pytest.raises(RunError, match="holds 1 of 3 questions"):
        load_pool(part)
    twice = write(tmp_path / "twice.jsonl", HEADER, by_hand(question_id="q"), by_hand(question_id="q"))
    with pytest.raises(RunError, match="1 rows have the question_id of another"):
        load_pool(twice)
    same = write(tmp_path / "same.jsonl", HEADER, by_hand(seed=4), by_hand(seed=4))
    with pytest.raises(RunError, match="1 rows have the seed of another; give each row its own"):
        load_pool(same)  # all noise of an episode derives from its seed


EPISODES = [Episode(question=Question(id=f"q{number}", text="?", gold="7"), seed=number) for number in range(5)]
SOME = PoolHeader(members=("cheap", "dear"), questions=5, draws=2)


class Chunks:
    """Draws by hand, and remembers for how many questions at a time."""

    def __init__(self):
        self.sizes = []

    def __call__(self, episodes):
        self.sizes.append(len(episodes))
        rows = (by_hand(question_id=each.question.id, question="?", seed=each.seed) for each in episodes)
        return [question_from_json(row, SOME.members, 0) for row in rows]


def test_a_killed_recording_goes_on_with_its_last_chunk_and_a_whole_one_is_not_drawn_again(tmp_path):
    path, draw = tmp_path / "pool.jsonl", Chunks()
    progress = []
    record_pool(path, SOME, EPISODES, draw, chunk=2, on_chunk=lambda *state: progress.append(state))
    assert progress == [(0, 5, 0), (2, 5, 82), (4, 5, 164), (5, 5, 205)]
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:4])[:-20])
    draw.sizes.clear()
    record_pool(path, SOME, EPISODES, draw, chunk=2)
    assert (draw.sizes, path.read_bytes()) == ([2, 1], whole)
    record_pool(path, SOME, EPISODES, draw, chunk=2)
    assert (draw.sizes, path.read_bytes()) == ([2, 1], whole)


def test_a_pool_may_grow_and_change_in_nothing_else(tmp_path):
    path, draw = tmp_path / "pool.jsonl", Chunks()
    record_pool(path, PoolHeader(members=SOME.members, questions=3, draws=2), EPISODES[:3], draw, chunk=2)
    record_pool(path, SOME, EPISODES, draw, chunk=2)
    assert [each.episode for each in load_pool(path).questions] == EPISODES
    with pytest.raises(RunError, match=r"another draws \(draws: 2, asked for 3\)"):
        record_pool(path, PoolHeader(members=SOME.members, questions=5, draws=3), EPISODES, draw, chunk=2)
    with pytest.raises(RunError, match="holds question 'q0' where 'q1' is asked for"):
        record_pool(path, SOME, EPISODES[1:] + EPISODES[:1], draw, chunk=2)
    with pytest.raises(RunError, match="holds 5 questions, and 2 are asked for"):
        record_pool(path, SOME, EPISODES[:2], draw, chunk=2)


def test_an_utterance_needs_nothing_that_was_not_measured():
    question = question_from_json(by_hand(), HEADER["members"], 1)
    assert question.members[1][1].utterance == Utterance(text="", answer="7", generated_tokens=10)
