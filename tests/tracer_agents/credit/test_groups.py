"""Which completions are compared with which, what each is paid, and how often speakers are called."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from tracer_agents.controllers.fixed import AlwaysSpeak, RandomSpeech
from tracer_agents.credit.groups import Candidate, Groups, sample_groups
from tracer_agents.credit.rewards import Penalties
from tracer_agents.rollout.tree import expand, play
from tracer_agents.speakers.tabular import TabularSpeaker, tabular_question
from tracer_agents.types import Episode, SpeakRequest
from tracer_env.dialogue import FinishReason, Role, Rules, Utterance, Verdict
from tracer_env.tasks.base import Grade, Question

PRICES = Penalties(format=0.5, truncation=0.25)
RIGHT, WRONG = "42", "41"


@dataclass
class Script:
    """Speakers whose utterance is a function of the request."""

    say: object
    calls: list[list[SpeakRequest]] = field(default_factory=list)

    def speak(self, requests: Sequence[SpeakRequest]) -> list[Utterance]:
        self.calls.append(list(requests))
        return [self.say(request) for request in requests]  # pyright: ignore[reportCallIssue]


def propose(answer: str | None, note: str = "") -> Utterance:
    return Utterance(text=f"{note}#### {answer}", answer=answer, generated_tokens=3)


def review(verdict: Verdict | None) -> Utterance:
    return Utterance(text=f"Verdict: {verdict}", verdict=verdict, generated_tokens=2)


def grade(answers: Sequence[str | None], golds: Sequence[str]) -> list[Grade]:
    return [Grade.RIGHT if answer == gold else Grade.WRONG for answer, gold in zip(answers, golds, strict=True)]


def episode(number: int = 0) -> Episode:
    return Episode(question=Question(id=f"q{number}", text=f"Question {number}?", gold=RIGHT), seed=number)


def groups_of(
    say, controller=None, *, episodes=None, rounds=3, n_agents=2, uplift=False, size=3, revisions=True
) -> tuple[Groups, Script]:
    """The groups on the lines that ``controller`` plays, and the speakers with only the calls made for groups."""
    speakers = Script(say)
    rules = Rules(n_agents=n_agents, rounds=rounds, revisions=revisions)
    trees = expand(episodes or [episode()], rules, speakers, grade)
    lines = play(trees, controller or AlwaysSpeak())
    speakers.calls.clear()
    sampled = sample_groups(
        trees, lines, speakers, grade, group_size=size, penalties=PRICES, uplift=uplift, normalise_std=True
    )
    return sampled, speakers


def of_turn(groups: Groups, prefix: str) -> list[Candidate]:
    return [one for one in groups.candidates if one.request.state.prefix == prefix]


def first_right_then_wrong(request: SpeakRequest) -> Utterance:
    """Candidate 0 of every proposal is right, the others wrong; reviewers say RIGHT, and candidate 2 nothing."""
    if request.state.role is Role.PROPOSER:
        return propose(RIGHT if request.candidate == 0 else WRONG)
    return review(None if request.candidate == 2 else Verdict.RIGHT)


def test_a_full_line_by_hand():
    groups, _ = groups_of(first_right_then_wrong)
    assert [len(of_turn(groups, prefix)) for prefix in ("", "1", "11")] == [3, 3, 3]
    assert [one.reward for one in of_turn(groups, "")] == [1, -1, -1]
    assert [one.reward for one in of_turn(groups, "1")] == [1, 1, -0.5]
    assert [one.role for one in of_turn(groups, "1")] == [Role.REVIEWER] * 3
    chosen = [index for index, one in enumerate(groups.candidates) if one.request.state.prefix == ""]
    assert groups.advantage[chosen] == pytest.approx(np.array([2, -1, -1]) / np.sqrt(2))
    assert (groups.n_groups, groups.n_dropped) == (3, 0)
    assert groups.signal.all()


def test_candidate_zero_is_what_continued_the_line():
    speaker = TabularSpeaker.load()
    episodes = [Episode(question=tabular_question(index), seed=index) for index in range(6)]
    trees = expand(episodes, Rules(), speaker, grade)
    lines = play(trees, RandomSpeech(p=0.6))
    groups = sample_groups(
        trees, lines, speaker, grade, group_size=4, penalties=PRICES, uplift=False, normalise_std=True
    )
    spoken = [(line.question, turn.utterance) for line in lines for turn in line.turns if turn.utterance]
    zeros = [one for one in groups.candidates if one.request.candidate == 0]
    assert [(one.request.episode.question.text, one.utterance) for one in zeros] == spoken
    assert len(groups.candidates) == 4 * len(spoken)


def test_all_further_completions_are_one_call():
    groups, speakers = groups_of(first_right_then_wrong, episodes=[episode(0), episode(1)], rounds=5, size=4)
    assert [len(call) for call in speakers.calls] == [2 * 5 * 3]
    assert {request.candidate for request in speakers.calls[0]} == {1, 2, 3}
    seeds = [one.request.noise_seed for one in groups.candidates]
    assert len(set(seeds)) == len(seeds)


def test_groups_without_a_signal_are_dropped_and_counted():
    groups, _ = groups_of(
        lambda request: propose(WRONG) if request.state.role is Role.PROPOSER else review(Verdict.WRONG)
    )
    assert (groups.n_groups, groups.n_dropped) == (3, 3)
    assert not groups.signal.any()
    assert not groups.advantage.any()


def test_skipped_turns_have_no_group():
    groups, _ = groups_of(first_right_then_wrong, RandomSpeech(p=0.0))
    assert {one.request.state.prefix for one in groups.candidates} == {""}


class _Modes:
    """Speaks in the rounds named."""

    def __init__(self, *rounds: int) -> None:
        self._rounds = rounds

    def speak_probability(self, states) -> np.ndarray:
        return np.array([float(state.round in self._rounds) for state in states])


def test_one_prompt_is_one_group_wherever_it_is_asked():
    """A lone agent that proposes twice without a review sees the same prompt twice."""
    groups, _ = groups_of(first_right_then_wrong, _Modes(3), n_agents=1)
    assert groups.n_groups == 1
    assert len(groups.candidates) == 6


@pytest.mark.parametrize(
    ("controller", "n_agents", "why"),
    [
        (_Modes(3), 2, "another agent proposes"),
        (_Modes(2, 3), 1, "the pending solution was reviewed"),
        (_Modes(2), 1, "a review is no proposal"),
    ],
)
def test_unlike_prompts_are_unlike_groups(controller, n_agents, why):
    groups, _ = groups_of(first_right_then_wrong, controller, n_agents=n_agents)
    assert groups.n_groups == len({one.request.state.prefix for one in groups.candidates}) > 1, why


def test_the_same_question_twice_in_a_batch_is_one_group():
    twice = [Episode(question=episode().question, seed=seed) for seed in (1, 2)]
    assert groups_of(first_right_then_wrong, _Modes(), episodes=twice)[0].n_groups == 1
    assert groups_of(first_right_then_wrong, _Modes(), episodes=[episode(1), episode(2)])[0].n_groups == 2


def test_reviews_of_unlike_solutions_are_unlike_groups():
    """A lone agent reviews both of its solutions, which differ only in their text."""

    def say(request: SpeakRequest) -> Utterance:
        if request.state.role is Role.PROPOSER:
            return propose(WRONG, note=f"round {request.state.round} " if differ else "")
        return review(Verdict.WRONG)

    counted = []
    for differ in (True, False):  # noqa: B007  # read by ``say``
        groups, _ = groups_of(say, _Modes(2, 3, 4), n_agents=1, rounds=5)
        counted.append(
            len(
                {group for group, one in zip(groups.group, groups.candidates, strict=True) if one.role is Role.REVIEWER}
            )
        )
    assert counted == [2, 1]


@pytest.mark.parametrize(("revisions", "groups"), [(True, 3), (False, 1)])
def test_proposals_of_one_agent_are_one_group_where_no_proposer_sees_a_review(revisions, groups):
    """Rounds 1, 3 and 5 of one agent, reviewed in between: without revisions their prompts are the same."""
    numbered = iter(range(1_000))

    def say(request: SpeakRequest) -> Utterance:
        if request.state.role is Role.REVIEWER:
            return review(Verdict.RIGHT)
        return propose(RIGHT, note=f"{next(numbered)} ")

    sampled, _ = groups_of(say, n_agents=1, rounds=5, revisions=revisions)
    of_proposals = {
        group
        for group, candidate in zip(sampled.group, sampled.candidates, strict=True)
        if candidate.role is Role.PROPOSER
    }
    assert len(of_proposals) == groups


def test_uplift_pays_a_review_for_the_proposal_after_it():
    """The pending solution is wrong; only a proposal after the verdict WRONG is right."""

    def say(request: SpeakRequest) -> Utterance:
        if request.state.role is Role.REVIEWER:
            return review(Verdict.RIGHT if request.candidate == 1 else Verdict.WRONG)
        reviews = request.state.reviews_of_pending()
        helped = any(turn.utterance.verdict is Verdict.WRONG for turn in reviews)
        return propose(RIGHT if helped else WRONG)

    groups, speakers = groups_of(say, uplift=True)
    assert [(one.reward, one.uplift) for one in of_turn(groups, "1")] == [(3, 2), (-1, 0), (3, 2)]
    assert all(one.uplift == 0 for one in groups.candidates if one.role is Role.PROPOSER)
    assert len(speakers.calls) == 2
    assert [request.state.role for request in speakers.calls[1]] == [Role.PROPOSER] * 3  # only reviews are followed


def test_uplift_charges_a_review_that_does_harm():
    def say(request: SpeakRequest) -> Utterance:
        if request.state.role is Role.REVIEWER:
            return review(Verdict.WRONG)
        return propose(WRONG if request.state.reviews_of_pending() else RIGHT)

    groups, _ = groups_of(say, uplift=True)
    assert [(one.reward, one.uplift) for one in of_turn(groups, "1")] == [(-3, -2)] * 3


def test_uplift_of_candidate_zero_is_the_trees_own_next_proposal():
    """Its request has the seed of the utterance stored in the tree, so engines say the same again."""
    groups, speakers = groups_of(first_right_then_wrong, uplift=True)
    [followed] = [request for request in speakers.calls[1] if request.candidate == 0]
    [revision] = [one for one in of_turn(groups, "11") if one.request.candidate == 0]
    assert followed.noise_seed == revision.request.noise_seed


def test_nothing_played_nothing_sampled():
    groups = sample_groups(
        [], [], Script(first_right_then_wrong), grade, group_size=2, penalties=PRICES, uplift=False, normalise_std=True
    )
    assert (groups.n_groups, groups.n_dropped, groups.candidates) == (0, 0, ())


def test_completions_that_did_not_come_are_in_no_group_and_counted():
    """Candidate 2 of every proposal fails: no reward is invented for it."""

    def say(request: SpeakRequest) -> Utterance:
        if request.state.role is Role.PROPOSER and request.candidate == 2:
            return Utterance(text="", finish_reason=FinishReason.FAILED)
        return first_right_then_wrong(request)

    groups, _ = groups_of(say)
    assert groups.n_failed == 2
    assert [one.request.candidate for one in of_turn(groups, "")] == [0, 1]
    assert [one.reward for one in of_turn(groups, "")] == [1, -1]
    assert all(one.utterance.finish_reason != FinishReason.FAILED for one in groups.candidates)
    assert len(groups.candidates) == len(groups.group) == len(groups.advantage) == 7


def test_a_review_whose_uplift_is_unknown_is_in_no_group():
    """The proposal that would show what review 1 was worth does not come."""

    def say(request: SpeakRequest) -> Utterance:
        if request.state.reviews_of_pending() and request.candidate == 1:
            return Utterance(text="", finish_reason=FinishReason.FAILED)
        return first_right_then_wrong(request)

    groups, _ = groups_of(say, _Modes(2), uplift=True)
    assert groups.n_failed == 1
    assert [one.request.candidate for one in of_turn(groups, "1")] == [0, 2]
