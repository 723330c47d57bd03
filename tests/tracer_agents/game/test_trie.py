import numpy as np
import pytest

from tracer_agents.game.trie import Histories, merge
from tracer_env.errors import ConfigError


def histories(rows, leaves) -> Histories:
    table, below = np.array(rows).reshape(-1, 3), np.array(leaves).reshape(-1, 2)
    return Histories(
        parent=table[:, 0],
        action=table[:, 1],
        infoset=table[:, 2],
        leaf_parent=below[:, 0],
        leaf_action=below[:, 1],
    )


def test_equal_paths_merge_and_different_ones_do_not():
    # Two roots at infoset 0; after action 1 the first meets infoset 1, the second infoset 2, a third root infoset 1.
    given = histories(
        [(-1, 0, 0), (-1, 0, 0), (-1, 0, 0), (0, 1, 1), (1, 1, 2), (2, 1, 1)],
        [(0, 0), (1, 0), (2, 0), (3, 0), (3, 1), (4, 0), (4, 1), (5, 0), (5, 1)],
    )
    trie, slot = merge(given, [(0,), (1,), (2,)], [0, 1, 0])
    assert trie.infoset.tolist() == [0, 1, 2]
    assert trie.above.tolist() == [0, 2, 2]
    assert [(level.start, level.stop) for level in trie.levels] == [(0, 1), (1, 3)]
    assert slot.tolist() == [1, 1, 1, 3, 4, 5, 6, 3, 4]
    assert trie.node_player.tolist() == [0, 1, 0]
    assert trie.infosets_of(0).tolist() == [0, 2]


def test_one_infoset_on_different_paths_stays_several_nodes():
    given = histories([(-1, 0, 0), (0, 0, 1), (0, 1, 1)], [(1, 0), (1, 1), (2, 0), (2, 1)])
    trie, slot = merge(given, [(0,), (1,)], [0, 1])
    assert trie.infoset.tolist() == [0, 1, 1]
    assert slot.tolist() == [3, 4, 5, 6]


def test_a_game_without_decisions():
    trie, slot = merge(histories([], [(-1, 0), (-1, 0)]), [], [])
    assert (trie.n_nodes, trie.n_slots) == (0, 1)
    assert slot.tolist() == [0, 0]


def test_a_repeated_infoset_on_a_path_is_refused():
    given = histories([(-1, 0, 0), (0, 1, 1), (1, 0, 0)], [(0, 0), (1, 1), (2, 0), (2, 1)])
    with pytest.raises(ConfigError, match=r"infoset \(5,\) repeats"):
        merge(given, [(5,), (6,)], [0, 1])
