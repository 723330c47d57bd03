"""Tasks: questions with gold answers in disjoint splits, and how an answer is read and graded."""

from tracer_env.tasks.base import SPLITS, Grade, Question, Split, Task
from tracer_env.tasks.catalogue import TASKS, make_task

__all__ = ["SPLITS", "TASKS", "Grade", "Question", "Split", "Task", "make_task"]
