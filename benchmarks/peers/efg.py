"""Writes dialogues' games in Gambit's extensive form, for other people's solvers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tracer_agents.rollout.tree import Tree
from tracer_env.dialogue import Dialogue, is_terminal
from tracer_env.infosets import InfosetKey, Infosets
from tracer_env.rewards import Utility


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """An EFG file's text, with the infoset key behind each (player, number), both counted from 1."""

    text: str
    keys: dict[tuple[int, int], InfosetKey]


def export_efg(
    trees: Sequence[Tree], infosets: Infosets, utility: Utility, *, title: str = "TRACER dialogues"
) -> Exported:
    """Expanded questions as one game: chance picks the question, then the controllers decide.

    Infosets are numbered from 1 for each player, numbers have 17 significant digits, actions are named
    ``skip`` and ``speak``. All players receive the team's utility.
    """
    writer = _Writer(infosets, utility)
    lines = list(writer.lines(trees, title))
    return Exported(text="\n".join(lines) + "\n", keys={number: key for key, number in writer.numbers.items()})


class _Writer:
    def __init__(self, infosets: Infosets, utility: Utility) -> None:
        self._infosets = infosets
        self._utility = utility
        self._counts = [0] * infosets.rules.n_agents
        self._outcomes = 0
        self.numbers: dict[InfosetKey, tuple[int, int]] = {}

    def lines(self, trees: Sequence[Tree], title: str) -> Iterator[str]:
        players = " ".join(f'"controller_{agent}"' for agent in range(self._infosets.rules.n_agents))
        yield f'EFG 2 R "{title}" {{ {players} }}'
        chances = " ".join(f'"q{index}" {1 / len(trees):.17g}' for index in range(len(trees)))
        yield f'c "" 1 "question" {{ {chances} }} 0'
        for tree in trees:
            yield from self._node(tree, "")

    def _node(self, tree: Tree, prefix: str) -> Iterator[str]:
        state = tree.states[prefix]
        if is_terminal(state):
            self._outcomes += 1
            payoff = f"{float(self._utility(tree.right(state), state.generated_tokens)):.17g}"
            payoffs = " ".join([payoff] * len(self._counts))
            yield f't "" {self._outcomes} "" {{ {payoffs} }}'
            return
        modes = tree.children(prefix)
        if len(modes) == 2:
            player, number, key = self._number(state)
            name = " ".join(str(part) for part in key)
            yield f'p "" {player} {number} "{name}" {{ "skip" "speak" }} 0'
        for mode in modes:
            yield from self._node(tree, tree.child(prefix, mode))

    def _number(self, state: Dialogue) -> tuple[int, int, InfosetKey]:
        key = self._infosets.key(state)
        if key not in self.numbers:
            self._counts[state.agent] += 1
            self.numbers[key] = (state.agent + 1, self._counts[state.agent])
        return *self.numbers[key], key
