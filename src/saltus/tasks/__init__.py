"""What models are asked: items drawn from a seed, as many as the resolution needs.

`task.py` says what a task is and registers it; the rest are entries.
"""

from saltus.tasks.task import TASKS, Task, task

__all__ = ["TASKS", "Task", "task"]
