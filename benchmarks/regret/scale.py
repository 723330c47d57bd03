"""Time a regret iteration takes as questions grow, and the memory and time that building the game takes."""

import resource
import time
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from benchmarks.regret.common import table
from tracer_agents.controllers.regret import RegretMatchingPlus
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.game.empirical import EmpiricalGame
from tracer_agents.game.trie import Histories, merge
from tracer_agents.runs.files import read_json
from tracer_agents.speakers.tabular import TabularSpeaker

ROUNDS, BUDGET, PRICE = 5, 500, 0.1
SIZES = (1_000, 10_000, 100_000, 1_000_000)
SEATS = (0, 1, 1, 0, 0)  # who is active in rounds 1 … 5 under rotate with two agents
SPEED_FILE = "regret_speed.json"


def section(folder: Path) -> str:
    """Merged iterations by number of questions, the unmerged engine beside, and OpenSpiel's figures."""
    rows = []
    for questions in SIZES:
        start = time.process_time()
        game = sampled(TabularSpeaker.load(), questions, merged=True)
        built = time.process_time() - start
        seconds = _seconds(game, 200)
        unmerged = "–"
        if questions <= 10_000:
            unmerged = f"{_seconds(sampled(TabularSpeaker.load(), questions, merged=False), 3) * 1e3:.1f}"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        rows.append(
            (
                f"{questions:,}",
                f"{15 * questions:,}",
                game.trie.n_nodes,
                f"{built:.2f}",
                f"{peak:.2f}",
                f"{seconds * 1e6:.0f}",
                unmerged,
            )
        )
    text = (
        "## Speed\n\nCFR+ with alternating updates, R = 5, N = 2, `recall`, shipped tabular speakers, one core, CPU "
        "time. Trees are drawn as arrays here (`benchmarks/regret/scale.py`), so that a million questions fit into "
        "minutes; *build* is drawing and merging, *peak* the process's memory high-water mark so far.\n\n"
        + table(
            ("questions", "decisions", "merged nodes", "build, s", "peak, GiB", "iteration, µs", "unmerged, ms"), rows
        )
    )
    if (folder / SPEED_FILE).exists():
        text += "\n\n" + _beside_openspiel(read_json(folder / SPEED_FILE))
    return text


def sampled(speaker: TabularSpeaker, questions: int, *, merged: bool) -> EmpiricalGame:
    """The empirical game of fresh questions in ``recall``; unmerged, every question keeps its own nodes."""
    trees = _Trees(speaker, questions)
    parent, action, infoset, keys = trees.histories()
    leaf_parent, leaf_action, question, right, tokens = trees.leaves()
    histories = Histories(
        parent=parent, action=action, infoset=infoset, leaf_parent=leaf_parent, leaf_action=leaf_action
    )
    if not merged:  # infosets numbered apart by question never merge; their keys carry the question
        histories, keys = _apart(histories, keys, trees.rows)
    trie, slot = merge(histories, keys, [SEATS[_round(key)] for key in keys])
    shape = (trie.n_slots, questions)
    mass, won, spent = (
        csr_array((values.astype(np.float64), (slot, question)), shape=shape)
        for values in (np.ones(len(slot)), right, tokens)
    )
    weights = np.full(questions, 1 / questions)
    return EmpiricalGame(
        trie=trie, mass=mass, right=won, tokens=spent, weights=weights, token_budget=BUDGET, n_players=2
    )


class _Trees:
    """All questions' trees, a column of arrays for every mode prefix."""

    def __init__(self, speaker: TabularSpeaker, questions: int) -> None:
        self._speaker, self._n = speaker, questions
        self._rng = np.random.default_rng(questions)
        self._difficulty = self._rng.choice(len(speaker.weights), size=questions, p=speaker.weights)
        answer, tokens = self._propose(np.full(questions, -2), np.zeros(questions, int))
        first = {"answer": answer, "verdict": np.zeros(questions, int), "tokens": tokens, "seen": answer[:, None]}
        code = 8 + np.where(answer < 0, 1, 2)
        self._states = {"1": {**first, "code": code}}
        for _ in range(ROUNDS - 1):
            self._states |= {
                prefix + mode: self._after(prefix, mode)
                for prefix in [key for key in self._states if len(key) == max(map(len, self._states))]
                for mode in "01"
            }
        self.prefixes = [prefix for prefix in self._states if len(prefix) < ROUNDS]
        self.rows = np.tile(np.arange(questions), len(self.prefixes))

    def histories(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[int, ...]]]:
        """(parent, action, infoset, keys): the block of a prefix holds a row for each question."""
        start = {prefix: self._n * index for index, prefix in enumerate(self.prefixes)}
        rows = np.arange(self._n)
        parent = [rows + start[p[:-1]] if len(p) > 1 else np.full(self._n, -1) for p in self.prefixes]
        action = [np.full(self._n, int(p[-1]) if len(p) > 1 else 0) for p in self.prefixes]
        codes, infoset = np.unique(
            np.concatenate([self._states[p]["code"] for p in self.prefixes]), return_inverse=True
        )
        keys = [tuple(int(digit) for digit in np.base_repr(code, 8)[1:]) for code in codes]
        return np.concatenate(parent), np.concatenate(action), infoset, keys

    def leaves(self) -> tuple[np.ndarray, ...]:
        """(parent, action, question, right, tokens) of every leaf."""
        start = {prefix: self._n * index for index, prefix in enumerate(self.prefixes)}
        rows, ends = np.arange(self._n), [prefix for prefix in self._states if len(prefix) == ROUNDS]
        return (
            np.concatenate([rows + start[p[:-1]] for p in ends]),
            np.concatenate([np.full(self._n, int(p[-1])) for p in ends]),
            np.tile(rows, len(ends)),
            np.concatenate([self._states[p]["answer"] == 0 for p in ends]),
            np.concatenate([self._states[p]["tokens"] for p in ends]),
        )

    def _after(self, prefix: str, mode: str) -> dict[str, np.ndarray]:
        state, round_ = self._states[prefix], len(prefix) + 1
        if mode == "0":
            return {**state, "code": state["code"] * 8}
        if round_ % 2:
            answer, spent = self._propose(state["answer"], state["verdict"])
            equal = state["seen"] == answer[:, None]
            known = np.sum(np.cumsum(_first_seen(state["seen"]), axis=1) * equal * _first_seen(state["seen"]), axis=1)
            distinct = _first_seen(state["seen"]).sum(axis=1)
            outcome = np.where(answer < 0, 1, np.where(equal.any(axis=1), 1 + known, 2 + distinct))
            seen, verdict = np.column_stack([state["seen"], answer]), np.zeros(self._n, int)
        else:
            answer, seen = state["answer"], state["seen"]
            verdict, spent = self._review(answer == 0)
            outcome = np.where(verdict == 0, 3, verdict)
        return {
            "answer": answer,
            "verdict": verdict,
            "tokens": state["tokens"] + spent,
            "seen": seen,
            "code": state["code"] * 8 + outcome,
        }

    def _field(self, name: str) -> np.ndarray:
        return np.array([getattr(each, name) for each in self._speaker.difficulties])[self._difficulty]

    def _propose(self, answer: np.ndarray, verdict: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """New answers: −1 unreadable, 0 right, k the k-th commonest wrong one; −2 pending means none yet."""
        tables = np.stack([self._field(name) for name in ("after_none", "after_right", "after_wrong")], axis=1)
        rows = np.arange(self._n)
        accuracy = np.where(answer == -2, self._field("first"), tables[rows, verdict, (answer == 0).astype(int)])
        others = (
            self._rng.integers(2, self._speaker.wrong_answers + 1, self._n) if self._speaker.wrong_answers > 1 else 1
        )
        wrong = np.where(self._rng.random(self._n) < self._field("coincide"), 1, others)
        new = np.where(self._rng.random(self._n) < accuracy, 0, wrong)
        new = np.where(self._rng.random(self._n) < self._field("unparsed_proposal"), -1, new)
        return new, self._tokens(self._speaker.tokens.proposal)

    def _review(self, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Verdicts: 0 unreadable, 1 RIGHT, 2 WRONG."""
        says_right = np.where(right, self._field("specificity"), 1 - self._field("sensitivity"))
        verdict = np.where(self._rng.random(self._n) < says_right, 1, 2)
        verdict = np.where(self._rng.random(self._n) < self._field("unparsed_review"), 0, verdict)
        return verdict, self._tokens(self._speaker.tokens.review)

    def _tokens(self, mean: int) -> np.ndarray:
        spread = self._speaker.tokens.spread
        return mean + self._rng.integers(-spread, spread + 1, self._n)


def _first_seen(seen: np.ndarray) -> np.ndarray:
    """Which proposals gave a readable answer for the first time, bool like ``seen``."""
    out = seen >= 0
    for later in range(1, seen.shape[1]):
        out[:, later] &= ~np.any(seen[:, :later] == seen[:, later : later + 1], axis=1)
    return out


def _apart(
    histories: Histories, keys: list[tuple[int, ...]], question: np.ndarray
) -> tuple[Histories, list[tuple[int, ...]]]:
    """The same histories with infosets numbered apart by question."""
    pairs, infoset = np.unique(question * len(keys) + histories.infoset, return_inverse=True)
    numbered = [(*keys[pair % len(keys)], 8 + pair // len(keys)) for pair in pairs.tolist()]
    apart = Histories(
        parent=histories.parent,
        action=histories.action,
        infoset=infoset,
        leaf_parent=histories.leaf_parent,
        leaf_action=histories.leaf_action,
    )
    return apart, numbered


def _round(key: tuple[int, ...]) -> int:
    """Index in ``SEATS`` of the round at which a key decides."""
    return sum(code < 8 for code in key)


def _seconds(game: EmpiricalGame, iterations: int) -> float:
    priced = game.priced(PRICE)
    tables = solve(priced, RegretTables.empty(), RegretMatchingPlus(), iterations=3, weighting="counterfactual")
    start = time.process_time()
    solve(priced, tables, RegretMatchingPlus(), iterations=iterations, weighting="counterfactual")
    return (time.process_time() - start) / iterations


def _beside_openspiel(figures: dict) -> str:
    rows = [
        (
            n,
            f"{figures[f'seconds_{n}']['ours'] * 1e6:.0f}",
            f"{figures[f'seconds_{n}']['cpp'] * 1e3:.2f}",
            f"{figures[f'seconds_{n}']['python'] * 1e3:.1f}" if "python" in figures[f"seconds_{n}"] else "–",
        )
        for n in (64, 1024)
    ]
    return (
        f"Beside OpenSpiel on the same exported trees (`python -m benchmarks.peers.regret --json "
        f"docs/results/{SPEED_FILE}`): "
        f"{figures['speedup_openspiel_python']:.0f}× its Python CFR+ and {figures['speedup_openspiel_cpp']:.1f}× its "
        f"C++ CFR+ at 64 questions, {figures['speedup_openspiel_cpp_1024']:.0f}× its C++ at 1,024. Largest "
        f"difference of the average policies after 100 iterations: {figures['max_policy_difference']:.1e}.\n\n"
        + table(("questions", "ours, µs per iteration", "OpenSpiel C++, ms", "OpenSpiel Python, ms"), rows)
    )
