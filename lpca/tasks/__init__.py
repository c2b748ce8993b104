"""Split-information tasks: who sees what, and which answers are right."""

from __future__ import annotations

from pathlib import Path

from lpca.tasks.base import (
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
]


def make_task(name: str, settings: Settings, folder: Path = Path()) -> Task:
    """Build the task a spec in `folder` names; TaskError on an unknown name or setting."""
    try:
        kind = TASKS[name]
    except KeyError as error:
        raise TaskError(str(error), "name") from None
    return kind.from_settings(settings, folder)
