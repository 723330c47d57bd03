"""Conformance checks for debate environments: run them on your own protocol."""

from tracer_env.testing.conformance import ConformanceReport, check_dialogue_env, plausible_text

__all__ = ["ConformanceReport", "check_dialogue_env", "plausible_text"]
