"""What was recorded once plays every controller as the speakers would have."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from benchmarks.suite import recordings
from tracer_agents.build import build
from tracer_agents.controllers.fixed import AlwaysSpeak, RandomSpeech
from tracer_agents.errors import RunError
from tracer_agents.evaluation.play import draw_episodes, play_team
from tracer_agents.rollout.records import DialogueRecord, record_dialogues
from tracer_agents.rollout.tree import expand, play
from tracer_env.dialogue import Rules
from tracer_env.tasks.base import Grade


@pytest.fixture(scope="module")
def made(small_settings, tmp_path_factory):
    from tracer_agents.config import load_config

    config = load_config(overrides=small_settings)
    parts = build(config)
    episodes = draw_episodes(parts.task, "test", 0, 5, seed=0, phase="recording")
    path = tmp_path_factory.mktemp("recording") / "trees.jsonl"
    recordings.record(path, episodes, config.rules, parts.speakers, parts.task, chunk=2)
    return config, parts, episodes, path


@pytest.mark.parametrize("controller", [AlwaysSpeak(), RandomSpeech(p=0.5)])
def test_a_replayed_controller_is_the_generated_one(made, controller):
    config, parts, episodes, path = made
    rules = config.rules
    recording = recordings.load(path, episodes)
    replayed = record_dialogues(
        episodes, play(recording.trees(rules), controller), recording, method="m", phase="p", seed=0
    )
    spoken = play_team(episodes, rules, parts.speakers, controller, parts.task, method="m", phase="p", seed=0)
    assert [without_signals(each) for each in replayed] == [without_signals(each) for each in spoken]
    assert signals(replayed) == pytest.approx(signals(spoken), rel=1e-4)  # batches differ, and so do last bits
    assert recording.generated_tokens > sum(record.generated_tokens for record in spoken)


def without_signals(record: DialogueRecord) -> DialogueRecord:
    return replace(record, turns=tuple(replace(turn, mean_logp=None) for turn in record.turns))


def signals(records: Sequence[DialogueRecord]) -> list[float]:
    """Of every spoken turn."""
    return [turn.mean_logp for record in records for turn in record.turns if turn.text is not None]


def test_a_killed_recording_is_continued_to_the_same_bytes(made, tmp_path):
    config, parts, episodes, path = made
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    torn = tmp_path / "trees.jsonl"
    torn.write_bytes(b"".join(lines[:3]) + lines[3][:40])
    recordings.record(torn, episodes, config.rules, parts.speakers, parts.task, chunk=2)
    assert torn.read_bytes() == whole


def test_other_questions_are_refused(made):
    _, parts, episodes, path = made
    others = draw_episodes(parts.task, "test", 1, 5, seed=0, phase="recording")
    with pytest.raises(RunError, match=r"trees\.jsonl, line 1: holds question"):
        recordings.load(path, others)
    more = draw_episodes(parts.task, "test", 0, 6, seed=0, phase="recording")
    with pytest.raises(RunError, match="holds 5 of 6 questions; continue"):
        recordings.load(path, more)
    assert len(recordings.load(path, episodes).episodes) == 5


@pytest.mark.parametrize(
    "rules",
    [Rules(rounds=3), Rules(n_agents=3), Rules(schedule="parity"), Rules(n_agents=1), Rules(force_on_unparsed=True)],
    ids=["fewer rounds", "three agents", "parity", "alone", "forced"],
)
def test_one_recording_serves_other_rules(made, rules):
    """Prompts do not say who is active, so a fresh expansion under other rules has the same utterances."""
    _, parts, episodes, path = made
    fresh = expand(episodes, rules, parts.speakers, parts.task.grade)
    replayed = recordings.load(path, episodes).trees(rules)
    for one, other in zip(fresh, replayed, strict=True):
        assert one.states.keys() == other.states.keys()
        for prefix, said in one.spoken():
            assert (said.text, said.answer, said.verdict) == (
                other.utterance(prefix).text,
                other.utterance(prefix).answer,
                other.utterance(prefix).verdict,
            )
        assert one.grades == {answer: other.grades[answer] for answer in one.grades}


def test_an_unreadable_answer_is_wrong(made):
    _, _, episodes, path = made
    recording = recordings.load(path, episodes)
    assert recording.grade([None], [episodes[0].question.gold]) == [Grade.WRONG]
