"""Turns settings into objects: the one place that names concrete tasks, models, engines and learners."""

from tracer_agents.build.following import follow_leader
from tracer_agents.build.parts import Parts, TeamModel, build, build_backend, build_learner, build_speakers, build_task
from tracer_agents.build.policy import SHIPPED, TINY, Policy, load_policy, model_folder
from tracer_agents.build.remote import RemoteModel, chat_requests, check_keys, prices_of, spending_notes
from tracer_agents.build.servers import build_sglang

__all__ = [
    "SHIPPED",
    "TINY",
    "Parts",
    "Policy",
    "RemoteModel",
    "TeamModel",
    "build",
    "build_backend",
    "build_learner",
    "build_sglang",
    "build_speakers",
    "build_task",
    "chat_requests",
    "check_keys",
    "follow_leader",
    "load_policy",
    "model_folder",
    "prices_of",
    "spending_notes",
]
