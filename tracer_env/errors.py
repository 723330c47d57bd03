"""The one error tree of the project: every error a user can cause or meet derives from ``TracerError``."""


class TracerError(Exception):
    """Base of all errors raised on purpose; its message says what is wrong, where, and what to do."""


class IllegalMove(TracerError, ValueError):
    """An action that the rules of the dialogue do not allow in this state."""


class InvalidAction(TracerError, ValueError):
    """An action of the wrong type or outside its agent's space."""


class ConfigError(TracerError, ValueError):
    """A setting that cannot be used; the message names the field and the values that can."""


class DataError(TracerError, ValueError):
    """A row or file that cannot be read; the message names the file, the line and the field."""


class LeakageError(DataError):
    """Training on data that is meant for evaluation, or a split that overlaps another."""


class GradingError(TracerError, RuntimeError):
    """The grading worker could not be started or kept alive."""


class ConformanceError(TracerError, AssertionError):
    """An environment that breaks its contract; the message names the rule, the episode and the agent."""
