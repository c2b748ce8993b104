"""Split-information tasks: who sees what, and which answers are right."""

from __future__ import annotations

from collections.abc import Mapping

from lpca.spec.load import SpecError
from lpca.spec.model import Spec
from lpca.tasks.base import MAX_TASK_SEED, Episode, EpisodeSet, Split, Task, TaskError
from lpca.tasks.trip import Trip

__all__ = ["Episode", "EpisodeSet", "Split", "Task", "TaskError", "Trip", "make_task", "task_of"]


def make_task(name: str, settings: Mapping[str, int | float | str | bool]) -> Task:
    """Build the task a spec names; raises TaskError on an unknown name or setting."""
    if name != Trip.name:
        raise TaskError(f"unknown task {name[:60]!r}; allowed: {Trip.name}", "name")
    return Trip.from_settings(settings)


def task_of(spec: Spec) -> Task:
    """Build a spec's task; SpecError, with the place of the setting at fault, when it cannot be."""
    task = spec.task
    try:
        if not 0 <= task.seed <= MAX_TASK_SEED:
            raise TaskError(f"seed is {task.seed}; allowed: 0 to {MAX_TASK_SEED}", "seed")
        return make_task(task.name, task.settings)
    except TaskError as error:
        place = task.places.get(error.setting or "", task.places["name"])
        raise SpecError(place, str(error)) from error
