"""The agents' branch of the project's error tree."""

from tracer_env.errors import TracerError


class GenerationFailed(TracerError, RuntimeError):
    """An engine could not complete a request; the message names the stage and the remedy."""


class RunError(TracerError, RuntimeError):
    """A run directory that cannot be used: missing, incomplete, or made with other settings."""
