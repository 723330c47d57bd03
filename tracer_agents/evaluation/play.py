"""Plays held-out questions with a team and with the baselines it must beat."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tracer_agents import progress
from tracer_agents.controllers.fixed import AlwaysSpeak, RandomSpeech
from tracer_agents.rollout.records import DialogueRecord, Kind, Outcome, record_dialogues
from tracer_agents.rollout.tree import rollout
from tracer_agents.types import Controller, Episode, Speakers, SpeakRequest
from tracer_env.dialogue import Dialogue, Mode, Rules, initial, transition
from tracer_env.rewards import Utility
from tracer_env.seeding import episode_seed
from tracer_env.tasks.base import Split, Task


def draw_episodes(task: Task, split: Split, start: int, count: int, *, seed: int, phase: str) -> list[Episode]:
    """Questions of a split with the seeds of their dialogues; ``phase`` keeps different uses apart."""
    questions = task.draw(split, start, count, seed=seed)
    return [
        Episode(question=question, seed=episode_seed(seed, phase, start + index))
        for index, question in enumerate(questions)
    ]


def play_team(
    episodes: Sequence[Episode],
    rules: Rules,
    speakers: Speakers,
    controller: Controller,
    task: Task,
    *,
    method: str,
    phase: str,
    seed: int,
) -> list[DialogueRecord]:
    """The graded dialogues of a controller."""
    finals = rollout(episodes, rules, speakers, controller)
    return record_dialogues(episodes, finals, task, method=method, phase=phase, seed=seed)


def play_baselines(
    episodes: Sequence[Episode],
    rules: Rules,
    speakers: Speakers,
    task: Task,
    *,
    utility: Utility,
    budget: float,
    further: Mapping[str, tuple[str, Controller]],
    most_votes: int | None = None,
    phase: str,
    seed: int,
) -> dict[str, list[DialogueRecord]]:
    """Single answer, always-speak, random speech, ``further`` controllers, and self-consistency at matched cost.

    Self-consistency is given twice: with the largest number of votes k whose mean cost per question (tokens at their
    prices) does not exceed ``budget`` (``self_consistency``; one vote at least), and with k + 1 votes
    (``self_consistency_next``, unless k is ``most_votes``). Both are named by their k in ``method``. Where agents'
    prices differ, every other agent's single answer is a baseline too, ``single_of_agent_1`` and so on.
    """
    controllers: dict[str, tuple[str, Controller]] = {
        "single": ("single", RandomSpeech(p=0.0)),  # round 1 is forced
        "always_speak": ("always_speak", AlwaysSpeak()),
        "random_speak": ("random_speak", RandomSpeech(p=0.5)),
        **{name: (f"{name}:{method}", controller) for name, (method, controller) in further.items()},
    }
    agents = range(1, rules.n_agents if utility.prices.generated else 1)
    progress.expect((len(controllers) + len(agents)) * len(episodes) * rules.rounds)
    played = {
        name: play_team(episodes, rules, speakers, controller, task, method=method, phase=phase, seed=seed)
        for name, (method, controller) in controllers.items()
    }
    for agent in agents:  # where agents' prices differ, their first proposals are baselines of their own
        name, first = f"single_of_agent_{agent}", replace(rules, first_agent=agent)
        alone = RandomSpeech(p=0.0)
        played[name] = play_team(episodes, first, speakers, alone, task, method=name, phase=phase, seed=seed)
    single = sum(utility.prices.cost(record.turns) for record in played["single"]) / len(episodes)
    votes = 1 + int(budget / single)  # a guess: right if later votes cost what the first does
    ballots: list[DialogueRecord] = []
    spent = np.zeros(1)  # mean tokens of the first 1, 2, … votes
    while spent[-1] <= budget and len(spent) != most_votes:
        votes = votes + 1 if most_votes is None else min(votes + 1, most_votes)
        ballots = sample_answers(episodes, rules, speakers, task, votes=votes, phase=phase, seed=seed)
        spent = np.cumsum(np.mean([[utility.prices.cost([turn]) for turn in each.turns] for each in ballots], axis=0))
    k = max(1, int((spent <= budget).sum()))
    played["self_consistency"] = [majority(record, k) for record in ballots]
    if k < len(spent):
        played["self_consistency_next"] = [majority(record, k + 1) for record in ballots]
    return played


def sample_answers(
    episodes: Sequence[Episode],
    rules: Rules,
    speakers: Speakers,
    task: Task,
    *,
    votes: int,
    phase: str,
    seed: int,
) -> list[DialogueRecord]:
    """``votes`` independent first proposals per question, one batched call; a record's turns are the votes."""
    samples = first_proposals(episodes, rules, speakers, samples=votes)
    return record_samples(episodes, samples, task, phase=phase, seed=seed)


def first_proposals(
    episodes: Sequence[Episode], rules: Rules, speakers: Speakers, *, samples: int
) -> list[list[Dialogue]]:
    """The dialogues after ``samples`` independent first proposals of every question, generated in one batched call."""
    requests = [
        SpeakRequest(episode=episode, state=start, candidate=candidate)
        for episode in episodes
        for start in (transition(initial(rules, episode.question.text), Mode.SPEAK),)
        for candidate in range(samples)
    ]
    progress.expect(len(requests))
    with progress.call(len(requests)):
        utterances = speakers.speak(requests)
    after = [transition(request.state, utterance) for request, utterance in zip(requests, utterances, strict=True)]
    return [after[first : first + samples] for first in range(0, len(after), samples)]


def record_samples(
    episodes: Sequence[Episode], samples: Sequence[Sequence[Dialogue]], task: Task, *, phase: str, seed: int
) -> list[DialogueRecord]:
    """One record per question that holds the turns of all its samples, one sample after the other.

    Its answer is the first sample's until something is chosen among them.
    """
    repeated = [episode for episode, drawn in zip(episodes, samples, strict=True) for _ in drawn]
    flat = [sample for drawn in samples for sample in drawn]
    records = iter(record_dialogues(repeated, flat, task, method="single", phase=phase, seed=seed))
    grouped = [[next(records) for _ in drawn] for drawn in samples]
    return [
        replace(votes[0], kind=Kind.BALLOT, turns=tuple(turn for vote in votes for turn in vote.turns))
        for votes in grouped
    ]


def majority(ballot: DialogueRecord, k: int) -> DialogueRecord:
    """Self-consistency (Wang et al. 2022): the most frequent parsed answer of the first ``k`` votes.

    The earliest wins a tie.
    """
    turns = ballot.turns[:k]
    parsed = [turn.answer for turn in turns if turn.answer is not None]
    winner = Counter(parsed).most_common(1)[0][0] if parsed else None  # most_common keeps first-seen order on ties
    right = winner is not None and any(turn.answer == winner and turn.right for turn in turns)
    return replace(
        ballot,
        method=f"self_consistency@{k}",
        turns=turns,
        answer=winner,
        correct=right,
        grade=Outcome.RIGHT if right else Outcome.WRONG,
    )
