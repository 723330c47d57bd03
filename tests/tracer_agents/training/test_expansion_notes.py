"""Long dialogues say before they begin what they will cost."""

import pytest

from tracer_agents.config import load_config
from tracer_agents.training.experiment import expansion_notes


@pytest.mark.parametrize(
    ("rounds", "expansion", "notes"),
    [
        (7, "full", []),
        (13, "full", ["up to 4,096 utterances per question of a step"]),
        (13, "external", ["up to 232 utterances per question of a step"]),
    ],
)
def test_the_utterances_of_a_question_are_said_beforehand(rounds, expansion, notes):
    config = load_config(overrides={"dialogue.rounds": rounds, "controllers.expansion": expansion})
    assert expansion_notes(config) == notes
