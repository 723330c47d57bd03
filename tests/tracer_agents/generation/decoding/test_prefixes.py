"""The prefix tree: which tokens of which prompts are one node."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest

from tracer_agents.generation.decoding.prefixes import Asked, Node, prefix_tree


def paths(nodes: Sequence[Node], above: tuple[int, ...] = ()) -> Iterator[tuple[Node, tuple[int, ...]]]:
    """Every node with all tokens down to its end."""
    for node in nodes:
        yield node, above + node.tokens
        yield from paths(node.below, above + node.tokens)


def asked(*texts: str, policy: str = "shared") -> list[Asked]:
    return [(policy, tuple(map(ord, text))) for text in texts]


def drawn(nodes: Sequence[Node]) -> list[object]:
    """A tree as nested lists; a node at which a prompt ends has a full stop."""
    return [["".join(map(chr, node.tokens)) + "." * (node.prompt is not None), *drawn(node.below)] for node in nodes]


@pytest.mark.parametrize(
    ("prompts", "tree"),
    [
        (asked("abcd"), [["abcd."]]),
        (asked("abcx", "abcy"), [["abc", ["x."], ["y."]]]),
        (asked("abx", "aby"), [["abx."], ["aby."]]),  # two tokens are too few
        (asked("abc", "abcx"), [["abc.", ["x."]]]),  # a prompt that another begins with
        (asked("ab", "abx"), [["ab."], ["abx."]]),
        (asked("abcdefx", "abcdefy", "abcz"), [["abc", ["def", ["x."], ["y."]], ["z."]]]),
        (asked("abcdx", "abcdy", "abcz"), [["abc", ["dx."], ["dy."], ["z."]]]),  # d alone is not worth a node
        (asked("abcx", "abcx"), [["abcx."]]),
    ],
)
def test_a_prefix_that_is_long_enough_is_a_node(prompts, tree):
    assert drawn(prefix_tree(prompts, 3)) == tree


def test_policies_share_nothing():
    nodes = prefix_tree(asked("abcx") + asked("abcy", policy="reviewer"), 3)
    assert {(node.policy, node.prompt is not None, node.below) for node in nodes} == {
        ("shared", True, ()),
        ("reviewer", True, ()),
    }


def test_without_a_least_every_prompt_is_alone():
    assert drawn(prefix_tree(asked("abcx", "abcy", "abc"), None)) == [["abc."], ["abcx."], ["abcy."]]


@pytest.mark.parametrize("seed", range(20))
def test_every_prompt_is_in_the_tree_once_and_no_two_nodes_begin_alike(seed):
    rng = np.random.default_rng(seed)
    prompts: list[Asked] = [("shared", tuple(rng.integers(0, 2, rng.integers(1, 12)).tolist())) for _ in range(40)]
    least = int(rng.integers(1, 5))
    nodes = list(paths(prefix_tree(prompts, least)))
    ending = [node.prompt for node, _ in nodes if node.prompt is not None]
    assert sorted(ending) == sorted(set(prompts))
    assert all(node.prompt is None or node.prompt[1] == tokens for node, tokens in nodes)
    assert all(len(node.tokens) >= least for node, _ in nodes if node.below)
    assert all(len(node.below) + (node.prompt is not None) >= 2 for node, _ in nodes if node.below)
    for siblings in [prefix_tree(prompts, least), *(node.below for node, _ in nodes)]:
        for one, other in pairwise(sorted(siblings, key=lambda node: node.tokens)):
            assert one.tokens[:least] != other.tokens[:least] or min(len(one.tokens), len(other.tokens)) < least
    computed = sum(len(node.tokens) for node, _ in nodes)
    assert computed <= sum(len(ids) for _, ids in set(prompts))


def test_a_node_saves_its_tokens_for_all_but_one_of_those_below():
    """System prompt of 100, 3 questions of 50, 4 solutions of 80 each, 2 endings of 5 each."""
    system, parts = tuple(range(100)), [tuple(range(1000 * k, 1000 * k + 200)) for k in range(1, 30)]
    prompts: list[Asked] = []
    for question in range(3):
        for solution in range(4):
            for ending in range(2):
                ids = system + parts[question][:50] + parts[3 + solution][:80] + parts[10 + ending][:5]
                prompts.append(("shared", ids))
    nodes = list(paths(prefix_tree(prompts, 40)))
    assert sum(len(node.tokens) for node, _ in nodes) == 100 + 3 * 50 + 3 * 4 * 80 + 3 * 4 * 2 * 5
