"""The released code's rule, for comparison: regrets from the round at hand, without a game.

Each visited decision is scored by what is seen at once. Review: SKIP is worth ±1 by the pending answer (−1 if
unparsed), SPEAK +1, −1 or 0 by the verdict, which is generated even when skipped. Proposal: SKIP is worth ±1 by the
old answer, SPEAK ±1 by the new one; no regret when SKIP is played (nothing new is generated), no update when the old
answer is unparsed. Plain regret matching, one unweighted update per visit, against the value of the played mode.
No equilibrium is promised: what a review is good for, the revision, is not in its score.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracer_agents.controllers.regret import RegretMatching
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.rollout.tree import Grader, choose, grade_answers, is_right
from tracer_agents.types import Controller, Episode, Speakers, SpeakRequest
from tracer_env.dialogue import Dialogue, Mode, Role, Rules, Utterance, initial, is_forced, transition
from tracer_env.infosets import InfosetKey, Infosets
from tracer_env.rewards import proposer_reward, reviewer_reward
from tracer_env.tasks.base import Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One decision and what its modes were worth at once."""

    key: InfosetKey
    played: Mode
    values: tuple[float, float]  # of SKIP, of SPEAK


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    episode: int
    state: Dialogue
    mode: Mode
    utterance: Utterance | None  # what was said, or would have been in a skipped review


def play_and_score(
    episodes: Sequence[Episode],
    infosets: Infosets,
    speakers: Speakers,
    controller: Controller,
    grade: Grader,
) -> tuple[list[Dialogue], list[Visit]]:
    """Plays one dialogue per episode; returns them finished, with the visits to learn from in order of rounds.

    Generates every review, and every proposal that is played.
    """
    states, steps = _play(episodes, infosets.rules, speakers, controller)
    answers: list[list[str | None]] = [[] for _ in episodes]
    for step in steps:
        answers[step.episode].append(step.utterance.answer if step.utterance else None)
    grades = grade_answers(episodes, answers, grade)
    scored = [(step, _values(step, grades[step.episode])) for step in steps if not is_forced(step.state)]
    return states, [
        Visit(key=infosets.key(step.state), played=step.mode, values=values) for step, values in scored if values
    ]


def learn(tables: RegretTables, visits: Sequence[Visit]) -> RegretTables:
    """The tables after one update per visit; the argument is not modified."""
    grown = tables.grown(visit.key for visit in visits)
    regret, average, rule = grown.regret.copy(), grown.average.copy(), RegretMatching()
    for visit in visits:
        row = grown.row[visit.key]
        average[row] += rule.strategy(regret[row : row + 1], grown.memory[row : row + 1], grown.iterations)[0]
        regret[row] += np.array(visit.values) - visit.values[visit.played]
    iterations = grown.iterations + len(visits)
    strategy = rule.strategy(regret, grown.memory, iterations)
    return replace(grown, regret=regret, average=average, strategy=strategy, iterations=iterations)


def greedy(infosets: Infosets, tables: RegretTables) -> TabularController:
    """The likelier mode of the current strategy; ties go to SKIP, as in the released code."""
    speak = (tables.strategy[:, 1] > tables.strategy[:, 0]).astype(np.float64)
    return TabularController(infosets, replace(tables, strategy=np.stack([1 - speak, speak], axis=1)))


def _play(
    episodes: Sequence[Episode], rules: Rules, speakers: Speakers, controller: Controller
) -> tuple[list[Dialogue], list[_Step]]:
    states = [initial(rules, episode.question.text) for episode in episodes]
    steps: list[_Step] = []
    for _ in range(rules.rounds):
        modes = choose(list(zip(episodes, states, strict=True)), controller)
        awaited = [
            index for index, state in enumerate(states) if modes[index] is Mode.SPEAK or state.role is Role.REVIEWER
        ]
        requests = [
            SpeakRequest(episode=episodes[index], state=transition(states[index], Mode.SPEAK)) for index in awaited
        ]
        heard = dict(zip(awaited, speakers.speak(requests) if requests else [], strict=True))
        for index, state in enumerate(states):
            mode, utterance = modes[index], heard.get(index)
            steps.append(_Step(episode=index, state=state, mode=mode, utterance=utterance))
            after = transition(state, mode)
            states[index] = transition(after, utterance) if mode is Mode.SPEAK and utterance else after
    return states, steps


def _values(step: _Step, grades: dict[str, Grade]) -> tuple[float, float] | None:
    right = is_right(grades, step.state)
    if step.state.role is Role.REVIEWER:
        verdict = step.utterance.verdict if step.utterance else None
        return proposer_reward(right), reviewer_reward(verdict, right)
    if step.state.answer is None:
        return None
    kept = proposer_reward(right)
    if step.mode is Mode.SKIP or step.utterance is None:
        return kept, kept
    answer = step.utterance.answer
    return kept, proposer_reward(answer is not None and grades[answer] is Grade.RIGHT)
