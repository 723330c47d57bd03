"""A training run from Python: the shipped model on arithmetic stories for two steps, then the team plays a dialogue."""

import sys
from pathlib import Path

from tracer_agents import Team, load_config
from tracer_agents.training.experiment import run_training
from tracer_agents.training.stages import Silent

SETTINGS = {
    "trainer.steps": 2,
    "trainer.questions_per_step": 4,
    "trainer.controller_questions_per_step": 8,
    "controllers.validation_questions": 8,
    "evaluation.questions": 8,
    "evaluation.certificate_questions": 4,
    "evaluation.checkpoint_questions": 0,
    "evaluation.bootstrap": 100,
}


def train(out: Path) -> str:
    """The last dialogue of the trained team, as text; the run's files are in ``out``."""
    run_training(load_config(preset="demo", overrides=SETTINGS), out, resume=False, display=Silent())
    team = Team.load(out)
    env = team.env(render_mode="ansi")
    env.reset(seed=0)
    for _ in env.agent_iter():
        observation, _, terminated, truncated, info = env.last()
        env.step(None if terminated or truncated else team.act(observation, info))
    return env.render()


if __name__ == "__main__":
    print(train(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example")))
