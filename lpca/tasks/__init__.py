"""Split-information tasks: who sees what, and which answers are right."""

from __future__ import annotations

from collections.abc import Mapping

from lpca.tasks.base import Episode, EpisodeSet, Split, Task, TaskError
from lpca.tasks.trip import Trip

__all__ = ["Episode", "EpisodeSet", "Split", "Task", "TaskError", "Trip", "make_task"]


def make_task(name: str, settings: Mapping[str, int | float | str | bool]) -> Task:
    """Build the task a spec names; raises TaskError on an unknown name or setting."""
    if name != Trip.name:
        raise TaskError(f"unknown task {name!r}; allowed: {Trip.name}")
    return Trip.from_settings(settings)
