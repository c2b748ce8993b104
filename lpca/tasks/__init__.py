"""Split-information tasks: who sees what, and which answers are right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lpca.gatespec.load import SpecError
from lpca.gatespec.model import Spec
from lpca.tasks.base import (
    MAX_TASK_SEED,
    Episode,
    EpisodeSet,
    Split,
    Task,
    TaskError,
    ToldEpisode,
)
from lpca.tasks.episodes import Episodes
from lpca.tasks.families import FAMILIES, FreeEpisode
from lpca.tasks.relay import Relay
from lpca.tasks.trip import Trip

__all__ = [
    "Episode",
    "EpisodeSet",
    "Episodes",
    "FreeEpisode",
    "Relay",
    "Split",
    "Task",
    "TaskError",
    "ToldEpisode",
    "Trip",
    "make_task",
    "task_of",
]

Settings = Mapping[str, int | float | str | bool]


def make_task(name: str, settings: Settings, folder: Path = Path()) -> Task:
    """Build the task a spec in `folder` names; TaskError on an unknown name or setting."""
    if name == Trip.name:
        return Trip.from_settings(settings)
    if name == Relay.name:
        return Relay.from_settings(settings)
    if name == Episodes.name:
        return Episodes.from_settings(settings, folder)
    if name in FAMILIES:
        return FAMILIES[name].from_settings(settings)
    allowed = ", ".join((Trip.name, Relay.name, Episodes.name, *FAMILIES))
    raise TaskError(f"unknown task {name[:60]!r}; allowed: {allowed}", "name")


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
    if not isinstance(made, Relay):
        _refuse_facts(spec)
    if isinstance(made, Episodes):
        _draw(spec, made)
    return made


def _refuse_facts(spec: Spec) -> None:
    for gate in spec.gates.values():
        if "p5" in gate.conditions:
            raise SpecError(
                gate.places.get("conditions", gate.position),
                f"gate {gate.name} runs p5, and task {spec.task.name} has no facts to be told as "
                f"structured text; allowed: task {Relay.name}",
            )


def _draw(spec: Spec, task: Episodes) -> None:
    sizes = {(gate.answers, spec.episodes(gate)): gate for gate in reversed(spec.gates.values())}
    for (answers, n), gate in reversed(sizes.items()):
        try:
            task.evaluation_set("test", answers, n, spec.task.seed)
        except TaskError as error:
            place = gate.places.get("n") or spec.evaluation.places.get("n", gate.position)
            place = spec.task.places.get(error.setting or "", place)
            raise SpecError(place, f"gate {gate.name}: {error}") from error
