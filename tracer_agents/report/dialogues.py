"""What the page's browser of dialogues reads: every dialogue with its flags, both branches where they are recorded."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracer_agents.report.infosets import place_of
from tracer_agents.report.values import by_infoset, valued
from tracer_agents.rollout.expanded import ExpandedRecord
from tracer_agents.rollout.records import DialogueRecord, Kind, Outcome, TurnRecord
from tracer_env.beliefs import Belief
from tracer_env.dialogue import FinishReason, Role, Utterance, Verdict
from tracer_env.rendering import escape
from tracer_env.rewards import Utility, proposer_reward, reviewer_reward
from tracer_env.tasks.base import Grade

TREES = "trees"  # the key of expanded questions among the methods
MOST_DIALOGUES = 2000  # embedded by default
BYTES_PER_DIALOGUE = 2600  # of a page; 3 MB per 1,000 dialogues, less what tables and charts take
_LEAST_BYTES = 200_000  # of a page of few dialogues
_EXCERPTS = (8000, 4000, 2000, 1000, 600, 400, 250, 150)  # characters of a text: the longest at which a page fits

FLAGS = {  # name -> what a reader chooses
    "wrong_right": "wrong → right",
    "right_wrong": "right → wrong",
    "wrong": "wrong in the end",
    "right": "right in the end",
    "reviewer_wrong": "reviewer wrong",
    "missed": "wrong, but a branch was right",
    "truncated": "cut off by the limit",
    "no_answer": "no readable answer",
    "not_graded": "not graded",
    "methods_differ": "methods differ",
    "runs_differ": "runs differ",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """The dialogues of a run, a benchmark or a pool.

    Args:
        name: how the page calls it.
        labels: method -> what it is called, in the order in which they are offered.
        records: method -> its dialogues.
        trees: expanded questions, offered as the method ``TREES``.
        infoset: of which kind the trees' infosets are.
        belief: by whose bins they are, if by any's.
        seats: (agent, role) of every round of the trees.
        utility: what a dialogue is worth; None: not known.
    """

    name: str
    labels: Mapping[str, str]
    records: Mapping[str, Sequence[DialogueRecord]]
    trees: Sequence[ExpandedRecord] = ()
    infoset: str = ""
    belief: Belief | None = None
    seats: Sequence[tuple[int, Role]] = ()
    utility: Utility | None = None


@dataclass(frozen=True, slots=True)
class _Texts:
    """Every different text once."""

    places: dict[str, int] = field(default_factory=dict)

    def place(self, text: str | None) -> int | None:
        return None if text is None else self.places.setdefault(text, len(self.places))


def browser_data(collections: Sequence[Collection], *, most: int = MOST_DIALOGUES) -> dict[str, Any] | None:
    """Plain data for the browser, without what an HTML page cannot hold; None where no dialogue is recorded.

    Questions with both branches come first, then the others in their order, until ``most`` dialogues are reached.
    Texts are cut to what keeps a page below 3 MB per 1,000 dialogues; ``excerpt`` says to how many characters.
    """
    methods = {method: label for each in collections for method, label in each.labels.items()}
    if any(each.trees for each in collections):
        methods = {TREES: "team, both branches", **methods}
    keys, texts = [*methods], _Texts()
    questions: dict[str, dict[str, Any]] = {}
    for number, collection in enumerate(collections):
        for method, asked, entry in _entries(collection, texts):
            question = questions.setdefault(
                asked.question_id, {"id": asked.question_id, "text": asked.question, "gold": asked.gold, "entries": []}
            )
            question["entries"].append({"run": number, "method": keys.index(method), **entry})
    if not questions:
        return None
    order = sorted(questions.values(), key=lambda question: not any("tree" in each for each in question["entries"]))
    chosen, count = [], 0
    for question in order:
        if chosen and count + len(question["entries"]) > most:
            break
        chosen.append(_compared(question))
        count += len(question["entries"])
    data = {
        "runs": [_about(each) for each in collections],
        "methods": [{"key": key, "label": label} for key, label in methods.items()],
        "flags": [{"key": key, "label": label} for key, label in FLAGS.items()],
        "questions": chosen,
        "dialogues": count,
        "all_questions": len(questions),
        "all_dialogues": sum(len(question["entries"]) for question in questions.values()),
    }
    return _with_texts(data, texts, allowance=max(_LEAST_BYTES, BYTES_PER_DIALOGUE * count))


def _about(collection: Collection) -> dict[str, Any]:
    figures = by_infoset(collection.trees)
    return {
        "name": collection.name,
        "seats": [[agent, role.value] for agent, role in collection.seats],
        "infosets": {
            ",".join(map(str, key)): {
                "label": _in_words(collection.infoset, key, collection.belief),
                "met": round(each.met, 4),
                "gain": None if each.gain is None else round(each.gain, 4),
            }
            for key, each in figures.items()
        },
    }


def _in_words(kind: str, key: tuple[int, ...], belief: Belief | None) -> str:
    place = place_of(kind, key, belief)
    what = "votes " if kind in ("paper", "consensus") and place.column != "no answer" else ""
    what = "belief " if kind == "belief" and belief is not None else what
    return place.row if place.column == "P(speak)" else f"{place.row}, {what}{place.column}"


def _entries(
    collection: Collection, texts: _Texts
) -> Iterator[tuple[str, DialogueRecord | ExpandedRecord, dict[str, Any]]]:
    """(method, whose question, the entry) of everything recorded."""
    for tree in collection.trees:
        yield TREES, tree, _tree(tree, collection.seats, texts)
    for method in collection.labels:
        for record in collection.records.get(method, ()):
            yield method, record, _dialogue(record, collection.utility, texts)


def _dialogue(record: DialogueRecord, utility: Utility | None, texts: _Texts) -> dict[str, Any]:
    worth = None if utility is None else float(utility(record.correct, utility.prices.cost(record.turns)))
    return {
        "kind": record.kind.value,
        "answer": _short(record.answer),
        "right": record.correct,
        "grade": record.grade.value,
        "tokens": record.generated_tokens,
        "utility": None if worth is None else round(worth, 4),
        "flags": flags_of(record),
        "turns": [_turn(turn, texts) for turn in record.turns],
    }


def flags_of(record: DialogueRecord) -> list[str]:
    """The names in ``FLAGS`` that hold for one dialogue alone."""
    spoken = [turn for turn in record.turns if turn.text is not None]
    grown = record.kind is Kind.DIALOGUE  # first and last proposals are of one path
    holds = {
        "wrong_right": grown and record.correct and not record.first_correct,
        "right_wrong": grown and not record.correct and record.first_correct,
        "wrong": not record.correct,
        "right": record.correct,
        "reviewer_wrong": any(turn.role is Role.REVIEWER and turn.right is False for turn in spoken),
        "truncated": any(turn.finish_reason is FinishReason.LENGTH for turn in spoken),
        "no_answer": record.answer is None,
        "not_graded": record.grade not in (Outcome.RIGHT, Outcome.WRONG),
    }
    return [name for name, held in holds.items() if held]


def _turn(turn: TurnRecord, texts: _Texts) -> list[Any]:
    """Its fields in the order that the page's script knows; what is last and missing is left out."""
    fields = [
        turn.round,
        turn.agent,
        turn.role.value,
        int(turn.mode),
        int(turn.forced),
        texts.place(turn.text),
        _short(turn.answer),
        None if turn.verdict is None else turn.verdict.value,
        turn.right,
        turn.reward,
        turn.prompt_tokens,
        turn.generated_tokens,
        None if turn.finish_reason is None else turn.finish_reason.value,
        turn.p_right,
    ]
    return _trimmed(fields)


def _trimmed(fields: list[Any]) -> list[Any]:
    while fields and fields[-1] is None:
        fields.pop()
    return fields


def _tree(record: ExpandedRecord, seats: Sequence[tuple[int, Role]], texts: _Texts) -> dict[str, Any]:
    choices, played, end = valued(record), record.played, record.leaves[record.played]
    spoken = {prefix: _said(record, prefix, seats, texts) for prefix in record.spoken}
    path = [prefix for prefix in record.spoken if played.startswith(f"{prefix}1")]
    first_right = spoken[""][3] is True
    holds = {
        "wrong_right": end.right and not first_right,
        "right_wrong": not end.right and first_right,
        "wrong": not end.right,
        "right": end.right,
        "reviewer_wrong": any(_role(prefix, seats) is Role.REVIEWER and spoken[prefix][3] is False for prefix in path),
        "missed": not end.right and any(leaf.right for leaf in record.leaves.values()),
        "truncated": any(record.spoken[prefix].finish_reason is FinishReason.LENGTH for prefix in path),
        "no_answer": end.answer is None,
        "not_graded": end.answer is not None and record.grades[end.answer] is Grade.UNGRADABLE,
    }
    return {
        "kind": "tree",
        "answer": _short(end.answer),
        "right": end.right,
        "grade": "right" if end.right else "wrong",
        "tokens": end.tokens,
        "utility": round(end.utility, 4),
        "flags": [name for name, held in holds.items() if held],
        "tree": {
            "played": played,
            "choices": {
                prefix: [
                    ",".join(map(str, choice.infoset)),
                    round(choice.speak, 4),
                    round(choice.skip_value, 4),
                    round(choice.speak_value, 4),
                ]
                for prefix, choice in choices.items()
            },
            "said": spoken,
            "leaves": {
                prefix: [_short(leaf.answer), int(leaf.right), leaf.tokens, round(leaf.utility, 4)]
                for prefix, leaf in record.leaves.items()
            },
        },
    }


def _role(prefix: str, seats: Sequence[tuple[int, Role]]) -> Role:
    return seats[len(prefix)][1]


def _said(record: ExpandedRecord, prefix: str, seats: Sequence[tuple[int, Role]], texts: _Texts) -> list[Any]:
    """What is said after a prefix: text, answer, verdict, right, reward, prompt and generated tokens, end, P(RIGHT)."""
    utterance = record.spoken[prefix]
    if _role(prefix, seats) is Role.PROPOSER:
        right: bool | None = _graded(record, utterance)
        reward = proposer_reward(bool(right))
    else:
        pending = _graded(record, _pending(record, prefix, seats))
        right = None if utterance.verdict is None else (utterance.verdict is Verdict.RIGHT) == pending
        reward = reviewer_reward(utterance.verdict, pending)
    return _trimmed(
        [
            texts.place(utterance.text),
            _short(utterance.answer),
            None if utterance.verdict is None else utterance.verdict.value,
            right,
            reward,
            utterance.prompt_tokens,
            utterance.generated_tokens,
            utterance.finish_reason.value,
            utterance.p_right,
        ]
    )


def _pending(record: ExpandedRecord, prefix: str, seats: Sequence[tuple[int, Role]]) -> Utterance:
    """The solution that stands after a prefix: the last one proposed."""
    spoken = [cut for cut in range(len(prefix)) if prefix[cut] == "1" and seats[cut][1] is Role.PROPOSER]
    return record.spoken[prefix[: spoken[-1]]]


def _graded(record: ExpandedRecord, proposal: Utterance) -> bool:
    return proposal.answer is not None and record.grades[proposal.answer] is Grade.RIGHT


def _short(answer: str | None) -> str | None:
    return None if answer is None else _excerpt(answer, 200)


def _excerpt(text: str, most: int) -> str:
    shown = escape(text[:most])
    return shown if len(text) <= most else f"{shown}… ({len(text) - most:,} more characters)"


def _compared(question: dict[str, Any]) -> dict[str, Any]:
    """The question, its entries flagged where methods of a run, or runs under a method, do not agree."""
    entries = question["entries"]
    rights: dict[tuple[str, int], set[bool]] = {}
    for entry in entries:
        for kind in ("run", "method"):
            rights.setdefault((kind, entry[kind]), set()).add(entry["right"])
    for entry in entries:
        if len(rights["run", entry["run"]]) > 1:
            entry["flags"].append("methods_differ")
        if len(rights["method", entry["method"]]) > 1:
            entry["flags"].append("runs_differ")
    return {**question, "text": _excerpt(question["text"], 4000), "gold": _excerpt(question["gold"], 200)}


def _with_texts(data: dict[str, Any], texts: _Texts, *, allowance: int) -> dict[str, Any]:
    """The data with the texts that it speaks of, as long as the allowance of bytes permits."""
    used = sorted({place for question in data["questions"] for entry in question["entries"] for place in _used(entry)})
    place = {old: new for new, old in enumerate(used)}
    whole = [*texts.places]
    shown = [whole[old] for old in used]
    for question in data["questions"]:
        for entry in question["entries"]:
            for turn in entry.get("turns", ()):
                if len(turn) > 5 and turn[5] is not None:
                    turn[5] = place[turn[5]]
            for utterance in entry.get("tree", {}).get("said", {}).values():
                utterance[0] = place[utterance[0]]
    rest = len(json.dumps(data, ensure_ascii=True, separators=(",", ":")))
    longest = max(map(len, shown), default=0)
    most, cut = 0, shown
    for most in _EXCERPTS:
        cut = [_excerpt(text, most) for text in shown]
        if rest + len(json.dumps(cut, ensure_ascii=True)) <= allowance:
            break
    return {**data, "texts": cut, "excerpt": most if longest > most else None}


def _used(entry: Mapping[str, Any]) -> Iterator[int]:
    for turn in entry.get("turns", ()):
        if len(turn) > 5 and turn[5] is not None:
            yield turn[5]
    for utterance in entry.get("tree", {}).get("said", {}).values():
        yield utterance[0]
