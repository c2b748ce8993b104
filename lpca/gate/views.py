"""What A is to encode for gates, without a receiver: views for a channel that works elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lpca.base.errors import RequestError
from lpca.base.registry import suggestion
from lpca.channel.elsewhere import ids_of
from lpca.channel.packets import View
from lpca.codec.base import DEFAULT_SEED
from lpca.codec.channel import as_view, asked_of, view_of
from lpca.evaluation.conditions import CONDITIONS, Setting
from lpca.gate.measure import MEAN_MESSAGES
from lpca.gate.plan import (
    declares,
    gate_conditions,
    gate_episodes,
    needs_codec,
    on_validation,
    refuse_drawn_views,
)
from lpca.gatespec.model import CODEC_LATENTS, Spec
from lpca.tasks import Task

if TYPE_CHECKING:
    from lpca.receivers.model import Receiver

MOST_BYTES = 16 * 2**20
"""Of a file's first line no more is read."""


def gates_of_views(spec: Spec, asked: Sequence[str] = (), k: int | None = None) -> Sequence[str]:
    """Return the gates whose views are written: those asked for, else all that need a codec.

    Args:
        spec: the spec.
        asked: names of gates.
        k: the most positions of a packet; gates that declare others are left out.

    Raises:
        RequestError: one asked for is unknown, needs no codec or declares another k, or the spec
            has none; or its episodes are drawn when a codec is there.
    """
    refuse_drawn_views(spec)
    for name in asked:
        if name not in spec.gates:
            raise RequestError(f"--gate {name[:60]}: {suggestion(name, spec.gates)}")
        if not needs_codec(spec, name):
            raise RequestError(f"--gate {name}: it needs no codec; allowed: {_all(spec)}")
        if not declares(spec.gates[name], k):
            allowed = ", ".join(map(str, spec.gates[name].family))
            raise RequestError(f"--k {k}: gate {name} does not declare it; allowed: {allowed}")
    found = [name for name in spec.gates if needs_codec(spec, name)]
    found = [name for name in found if declares(spec.gates[name], k)]
    if not found:
        raise RequestError(f"{spec.file}: no gate needs a codec at this k; so there are no views")
    return list(dict.fromkeys(asked)) or found


def _all(spec: Spec) -> str:
    return ", ".join(name for name in spec.gates if needs_codec(spec, name)) or "none"


def views_of(spec: Spec, task: Task, gates: Iterable[str], split: str = "test") -> list[View]:
    """Return what A may read of the episodes and controls of gates, each view once, in no order.

    Args:
        spec: that has the gates.
        task: makes their episodes.
        gates: their names.
        split: the episodes that are read.

    Raises:
        TaskError: their episodes cannot be had, or lack what a condition needs.
    """
    training = asked_of(task.training_batch(0, MEAN_MESSAGES, DEFAULT_SEED))
    found: dict[View, None] = {}
    for name in gates:
        own = on_validation(spec, name, task) if split == "validation" else spec
        episodes = gate_episodes(own, own.gates[name], task).by_slot
        # which messages are needed follows from episodes alone: nothing is read yet
        setting = Setting(cast("Receiver", None), None, episodes, training_messages=training)
        # the others are made of no message, or of no more than its words
        named = [one for one in gate_conditions(own, name) if one in CODEC_LATENTS]
        made = [CONDITIONS[condition]() for condition in named]
        needed = [as_view(asked) for one in made for asked in one.needs(setting)]
        # by these a channel is known, whatever the conditions are
        needed += map(view_of, episodes.whole)
        found |= dict.fromkeys(needed)
    return list(found)


def written_views(views: Iterable[View]) -> str:
    """Return the file's text: lines of `{"id", "messages", "public"}`, in the order of ids.

    Ids follow from what stands in the line, and so does their order: nothing tells of which
    condition a message is. Some views stand under two ids, so that it is seen whether a packet
    follows from its view alone.
    """
    lines = {
        name: json.dumps({"id": name, "messages": [*view.messages], "public": view.public})
        for view in views
        for name in ids_of(view)
    }
    return "".join(f"{lines[name]}\n" for name in sorted(lines))


def is_of_views(path: Path) -> bool:
    """Whether a file is one of views, to judge by its first line: it may be written again.

    Raises:
        OSError: it cannot be read.
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        line = file.readline(MOST_BYTES)
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return not line
    return isinstance(told, dict) and told.keys() == {"id", "messages", "public"}
