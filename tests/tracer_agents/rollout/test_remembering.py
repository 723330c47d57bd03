"""Nothing is generated twice."""

from collections.abc import Sequence
from dataclasses import replace

from tracer_agents.rollout.remembering import RememberingSpeakers
from tracer_agents.types import Episode, SpeakRequest
from tracer_env.dialogue import Mode, Rules, Utterance, initial, transition
from tracer_env.tasks.base import Question


class Counting:
    def __init__(self) -> None:
        self.calls: list[int] = []

    def speak(self, requests: Sequence[SpeakRequest]) -> list[Utterance]:
        self.calls.append(len(requests))
        return [Utterance(text=f"{request.episode.seed}/{request.candidate}") for request in requests]


def ask(seed: int, candidate: int = 0) -> SpeakRequest:
    state = transition(initial(Rules(), "?"), Mode.SPEAK)
    episode = Episode(question=Question(id="q", text="?", gold="1"), seed=seed)
    return SpeakRequest(episode=episode, state=state, candidate=candidate)


def test_only_what_is_new_is_asked_for_and_order_is_kept():
    inner = Counting()
    speakers = RememberingSpeakers(inner)
    assert [said.text for said in speakers.speak([ask(1), ask(2), ask(1)])] == ["1/0", "2/0", "1/0"]
    assert [said.text for said in speakers.speak([ask(3), ask(2), ask(1, 1)])] == ["3/0", "2/0", "1/1"]
    assert [said.text for said in speakers.speak([ask(2), ask(3)])] == ["2/0", "3/0"]
    assert inner.calls == [2, 2]


def test_nothing_asked_nothing_generated():
    inner = Counting()
    assert RememberingSpeakers(inner).speak([]) == []
    assert inner.calls == []


def test_another_prefix_is_another_utterance():
    inner = Counting()
    speakers = RememberingSpeakers(inner)
    later = replace(ask(1), state=transition(transition(ask(1).state, Utterance(text="")), Mode.SPEAK))
    speakers.speak([ask(1), later])
    assert inner.calls == [2]
