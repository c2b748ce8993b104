"""Split-information tasks: who sees what, and which answers are right."""

from __future__ import annotations

from pathlib import Path

from lpca.gatespec.load import SpecError
from lpca.gatespec.model import Spec
from lpca.tasks.base import (
    MAX_TASK_SEED,
    TASKS,
    Episode,
    EpisodeSet,
    Settings,
    Split,
    Task,
    TaskError,
    ToldEpisode,
)
from lpca.tasks.family import Family, FreeEpisode, family_named
from lpca.tasks.kinds.episodes import Episodes
from lpca.tasks.kinds.relay import Relay
from lpca.tasks.kinds.trip import Trip

__all__ = [
    "TASKS",
    "Episode",
    "EpisodeSet",
    "Episodes",
    "Family",
    "FreeEpisode",
    "Relay",
    "Split",
    "Task",
    "TaskError",
    "ToldEpisode",
    "Trip",
    "family_named",
    "make_task",
    "task_of",
]


def make_task(name: str, settings: Settings, folder: Path = Path()) -> Task:
    """Build the task a spec in `folder` names; TaskError on an unknown name or setting."""
    try:
        kind = TASKS[name]
    except KeyError as error:
        raise TaskError(str(error), "name") from None
    return kind.from_settings(settings, folder)


def task_of(spec: Spec) -> Task:
    """Build a spec's task; SpecError, with the place of the setting at fault, when it cannot be.

    A user's own episodes are drawn for every gate, so that too few are found before any model is.
    """
    task = spec.task
    try:
        if not 0 <= task.seed <= MAX_TASK_SEED:
            raise TaskError(f"seed is {task.seed}; allowed: 0 to {MAX_TASK_SEED}", "seed")
        made = make_task(task.name, task.settings, Path(spec.file).parent)
    except TaskError as error:
        place = task.places.get(error.setting or "", task.places["name"])
        raise SpecError(place, str(error)) from error
    kind = TASKS[task.name]
    if not kind.tells_facts:
        _refuse_facts(spec)
    if kind.may_run_out:
        _draw(spec, made)
    return made


def _refuse_facts(spec: Spec) -> None:
    telling = [name for name, kind in TASKS.items() if kind.tells_facts]
    for gate in spec.gates.values():
        if "p5" in gate.conditions:
            raise SpecError(
                gate.places.get("conditions", gate.position),
                f"gate {gate.name} runs p5, and task {spec.task.name} has no facts to be told as "
                f"structured text; allowed: task {', '.join(telling)}",
            )


def _draw(spec: Spec, task: Task) -> None:
    sizes = {(gate.answers, spec.episodes(gate)): gate for gate in reversed(spec.gates.values())}
    for (answers, n), gate in reversed(sizes.items()):
        try:
            task.evaluation_set("test", answers, n, spec.task.seed)
        except TaskError as error:
            place = gate.places.get("n") or spec.evaluation.places.get("n", gate.position)
            place = spec.task.places.get(error.setting or "", place)
            raise SpecError(place, f"gate {gate.name}: {error}") from error
