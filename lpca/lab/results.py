"""A grid's results in their folder, by content: what is there, and what it came to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lpca.base.code_identity import code_hash
from lpca.base.files import StorageError, read_json, write_json
from lpca.base.hashing import hash_data, hash_file
from lpca.base.version import __version__
from lpca.codec.architectures import CODECS
from lpca.codec.checkpoint import identify
from lpca.codec.objectives import OBJECTIVES
from lpca.evaluation.conditions import CONDITIONS
from lpca.evidence import Evidence, EvidenceError, read_evidence
from lpca.gate.plan import evidence_path, gate_conditions, sound_spec
from lpca.gate.runner import Runner
from lpca.gatespec.model import Spec
from lpca.lab.grid import Cell, Grid
from lpca.lab.summary import Reading, not_measured, read
from lpca.receivers.model import Receiver
from lpca.tasks import TASKS, Task

EVIDENCE, BROKEN = "evidence", "broken.json"


@dataclass(frozen=True)
class Named:
    """What a receiver makes of a grid: each codec's key by its label, and how it is called."""

    keys: Mapping[str, str]
    receiver: Mapping[str, str]


def name_cells(
    grid: Grid, spec: Spec, task: Task, receiver: Receiver, cells: list[Cell] | None = None
) -> Named:
    """Name everything that the evidence of `cells` (all, unless given) follows from."""
    setting = {
        "gate": grid.gate,
        "spec": hash_file(Path(spec.file)),
        "contents": dict(task.contents()),
        "receiver": [receiver.weights_hash, receiver.configuration_hash],
        "computed": [receiver.device.type, str(receiver.dtype)],
        "code": [__version__, deciding_code(spec, grid.gate, task)],
    }
    keys = {}
    for cell in grid.cells() if cells is None else cells:
        identity = identify(receiver, task, cell.k, cell.seed, cell.row.recipe)
        keys[cell.label] = hash_data([identity.hash(), setting])
    dtype = str(receiver.dtype).removeprefix("torch.")
    about = {"name": receiver.name, "device": receiver.device.type, "dtype": dtype}
    return Named(keys, about)


@dataclass(eq=False)
class Results:
    """A grid's evidence below `folder`, whichever engine put it there."""

    grid: Grid
    spec: Spec
    folder: Path
    named: Named
    _began: float = field(default_factory=time.time)
    _readings: dict[str, Reading] = field(default_factory=dict)

    def reading(self, cell: Cell) -> Reading | None:
        """What a codec came to; None while it is still to be measured."""
        key = self.key(cell)
        if key not in self._readings:
            evidence = _evidence(self.evidence(cell))
            if evidence is not None and evidence.run == key:
                self._readings[key] = read(evidence)
            elif (reason := self._broken(cell)) is not None:
                self._readings[key] = not_measured(reason)
        return self._readings.get(key)

    def key(self, cell: Cell) -> str:
        """Names everything that a codec's evidence follows from."""
        return self.named.keys[cell.label]

    def place(self, cell: Cell) -> Path:
        """The folder of a codec's evidence."""
        return self.folder / EVIDENCE / self.key(cell)[:16]

    def evidence(self, cell: Cell) -> Path:
        """Where a codec's evidence stands."""
        return evidence_path(self.place(cell), self.grid.gate, cell.k)

    def keep_broken(self, cell: Cell, reason: str) -> None:
        """Keep a codec as NOT MEASURED; a later run tries it again."""
        write_json(self.place(cell) / BROKEN, {"reason": reason, "at": time.time()})

    def keep_whole(self, cell: Cell) -> None:
        """Its evidence is there: whatever broke it before is past."""
        (self.place(cell) / BROKEN).unlink(missing_ok=True)

    def _broken(self, cell: Cell) -> str | None:
        """Why a codec broke since this process began; earlier ones are tried again."""
        held = _stored(self.place(cell) / BROKEN)
        fresh = held is not None and float(held.get("at", 0.0)) >= self._began
        return str(held["reason"]) if held and fresh else None


def deciding_code(spec: Spec, gate: str, task: Task) -> str:
    """Hash the code that makes a gate's evidence: outcomes, checks and verdict.

    A codec's own code is named by its identity.
    """
    return code_hash(
        Runner,
        sound_spec,
        task,
        resolved={
            CODECS.kind: [],
            OBJECTIVES.kind: [],
            CONDITIONS.kind: gate_conditions(spec, gate),
            TASKS.kind: [task.name],
        },
    )


def _evidence(path: Path) -> Evidence | None:
    try:
        return read_evidence(path) if path.exists() else None
    except (StorageError, EvidenceError):
        return None


def _stored(path: Path) -> dict[str, Any] | None:
    try:
        held = read_json(path) if path.exists() else None
    except StorageError:
        return None
    return held if isinstance(held, dict) else None
