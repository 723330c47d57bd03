"""The prefix tree over prompts: what several of them begin with is one node, so that it can be computed once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

Asked = tuple[str, tuple[int, ...]]  # a policy, and the token ids of a prompt for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Tokens that follow those of the node above.

    Attributes:
        policy: whose weights compute them.
        tokens: at least one.
        prompt: the one that ends with them, if one does.
        below: nodes that follow.
    """

    policy: str
    tokens: tuple[int, ...]
    prompt: Asked | None
    below: "tuple[Node, ...]"


def prefix_tree(prompts: Iterable[Asked], least: int | None) -> list[Node]:
    """The uppermost nodes of a tree that holds every distinct prompt.

    Args:
        prompts: none of them empty.
        least: how many tokens a prefix must add to the one that it begins with to be a node of its own; None: prompts
            share nothing.
    """
    distinct = sorted(set(prompts))
    if least is None:
        return [Node(policy=policy, tokens=ids, prompt=(policy, ids), below=()) for policy, ids in distinct]
    return [node for _, group in groupby(distinct, key=lambda asked: asked[0]) for node in _nodes([*group], 0, least)]


def _nodes(prompts: Sequence[Asked], start: int, least: int) -> Iterator[Node]:
    """Of sorted prompts of a policy that are alike in their first ``start`` tokens and have more."""
    (policy, first), (_, last) = prompts[0], prompts[-1]
    if len(prompts) == 1:
        yield Node(policy=policy, tokens=first[start:], prompt=prompts[0], below=())
        return
    end = _common(first, last)  # of all: they are sorted
    is_node = end - start >= least
    ending = len(first) == end  # the shortest comes first
    rest = prompts[1:] if ending else prompts
    parts = [[*part] for _, part in groupby(rest, key=lambda asked: asked[1][end])]
    below = [node for part in parts for node in _nodes(part, end if is_node else start, least)]
    if is_node:
        yield Node(policy=policy, tokens=first[start:end], prompt=prompts[0] if ending else None, below=tuple(below))
        return
    if ending:
        yield Node(policy=policy, tokens=first[start:], prompt=prompts[0], below=())
    yield from below


def _common(first: Sequence[int], last: Sequence[int]) -> int:
    """How many leading tokens are the same."""
    pairs = zip(first, last, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(first), len(last)))
