"""The agents' branch of the project's error tree."""

from tracer_env.errors import TracerError


class GenerationFailed(TracerError, RuntimeError):
    """An engine could not complete a request; the message names the stage and the remedy."""


class EngineFault(GenerationFailed):
    """One failed exchange with an engine, which may be tried again; the message names the address and the stage."""


class EngineGone(EngineFault):
    """The engine did not answer at all, or holds other weights: it must be brought back before it is asked again."""


class SpendingLimitReached(GenerationFailed):
    """The next completion could cost more than may still be spent; everything bought so far is on disk."""


class ParityFailed(TracerError, RuntimeError):
    """An engine that does not do what the learner's log-probabilities say; the message names check and numbers."""


class TrainingDiverged(TracerError, RuntimeError):
    """Losses, gradients or weights that are not finite; the message names the policy and the remedy."""


class RunError(TracerError, RuntimeError):
    """A run directory that cannot be used: missing, incomplete, or made with other settings."""


class UploadFailed(TracerError, RuntimeError):
    """A hub did not take what was sent; the message names the repository and the remedy."""


class DoctorFailed(TracerError, RuntimeError):
    """Something that the settings need is missing; the message names the checks."""
