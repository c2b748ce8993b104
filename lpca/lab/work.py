"""Measure a grid's codecs one after the other; several processes may share the work."""

from __future__ import annotations

import pkgutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from tqdm import tqdm

import lpca.judge
import lpca.leaks
import lpca.stats
from lpca import __version__
from lpca.codec.checkpoint import identify
from lpca.evaluate import CODE
from lpca.evidence import Origin
from lpca.files import StorageError, claimed, read_json, write_json
from lpca.gate_plan import evidence_path
from lpca.hashing import hash_data, hash_file, hash_modules
from lpca.lab.grid import Cell, Grid
from lpca.lab.reading import Reading, not_measured, read
from lpca.receivers.model import Receiver
from lpca.runner import Console, Options, Runner
from lpca.spec.model import Spec
from lpca.tasks import Task

EVIDENCE, BROKEN = "evidence", "broken.json"
PATIENCE = 1.0
"""Seconds between looks at what other processes measure."""


@dataclass(eq=False)
class Work:
    """A grid on a loaded receiver, its results below `folder`."""

    grid: Grid
    spec: Spec
    task: Task
    receiver: Receiver
    folder: Path
    cache: Path
    ledger: Path
    batch_size: int
    command: tuple[str, ...]
    console: Console
    _began: float = field(default_factory=time.time)
    _readings: dict[str, Reading] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)

    def cells(self) -> Iterator[Cell]:
        """Measure what is not there yet; yields each such codec as soon as it is.

        A codec that breaks is kept as NOT MEASURED with its reason; a later run tries it again.
        What another process works on is left to it, and waited for at the end. Raises
        StorageError where nothing can be kept.
        """
        cells = self.grid.cells()
        waiting = [cell for cell in cells if self.reading(cell) is None]
        total, before = len(cells), len(cells) - len(waiting)
        started, told = time.monotonic(), False
        while waiting:
            done: list[Cell] = []
            for cell in waiting:
                if self.reading(cell) is None:
                    with claimed(self._place(cell)) as mine:
                        if mine and self.reading(cell) is None:
                            settled = total - len(waiting) + len(done)
                            self.console.tell(
                                f"{cell.label}: codec {settled + 1} of {total}"
                                f"{_left(started, settled - before, total - settled)}"
                            )
                            self._measure(cell)
                if self.reading(cell) is not None:
                    done.append(cell)
                    yield cell
            waiting = [cell for cell in waiting if cell not in done]
            if waiting and not done:
                if not told:
                    self.console.tell(f"{len(waiting)} codecs are measured by another process")
                told = True
                time.sleep(PATIENCE)

    def reading(self, cell: Cell) -> Reading | None:
        """What a codec came to; None while it is still to be measured."""
        key = self._key(cell)
        if key not in self._readings:
            evidence = _stored(self.evidence(cell))
            if evidence is not None and evidence.get("run") == key:
                self._readings[key] = read(evidence)
            elif (reason := self._broken(cell)) is not None:
                self._readings[key] = not_measured(reason)
        return self._readings.get(key)

    def evidence(self, cell: Cell) -> Path:
        """Where a codec's evidence stands."""
        return evidence_path(self._place(cell), self.grid.gate, cell.k)

    def _broken(self, cell: Cell) -> str | None:
        """Why a codec broke since this process began; earlier ones are tried again."""
        held = _stored(self._place(cell) / BROKEN)
        fresh = held is not None and float(held.get("at", 0.0)) >= self._began
        return str(held["reason"]) if held and fresh else None

    def _measure(self, cell: Cell) -> None:
        options = Options(
            receiver=self.receiver,
            device=self.receiver.device.type,
            dtype=str(self.receiver.dtype),
            checkpoint=None,
            retrain=False,
            train_seed=cell.seed,
            batch_size=self.batch_size,
            cache=self.cache,
            evidence=self._place(cell),
            ledger=self.ledger,
            announced=self.spec.evaluation.checkpoints,
            recipe=cell.row.recipe,
        )
        runner = Runner(self.spec, options, Origin(self._key(cell), self.command), self.console)
        try:
            runner.evaluate_shared(self.grid.gate, cell.k)
            runner.evidence(self.grid.gate, cell.k)
        except StorageError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
            self.console.tell(f"{cell.label} is not measured: {reason}")
            write_json(self._place(cell) / BROKEN, {"reason": reason, "at": time.time()})
        else:
            (self._place(cell) / BROKEN).unlink(missing_ok=True)

    def _place(self, cell: Cell) -> Path:
        return self.folder / EVIDENCE / self._key(cell)[:16]

    def _key(self, cell: Cell) -> str:
        """Names everything that a codec's evidence follows from."""
        if cell.label not in self._keys:
            identity = identify(self.receiver, self.task, cell.k, cell.seed, cell.row.recipe)
            self._keys[cell.label] = hash_data([identity.hash(), self._setting])
        return self._keys[cell.label]

    @cached_property
    def _setting(self) -> dict[str, Any]:
        receiver = self.receiver
        return {
            "gate": self.grid.gate,
            "spec": hash_file(Path(self.spec.file)),
            "contents": dict(self.task.contents()),
            "receiver": [receiver.weights_hash, receiver.configuration_hash],
            "computed": [receiver.device.type, str(receiver.dtype)],
            "code": [__version__, _deciding_code()],
        }


@cache
def _deciding_code() -> str:
    """SHA-256 of what makes outcomes, checks and verdicts."""
    packages = (lpca.judge, lpca.leaks, lpca.stats)
    modules = [
        f"{package.__name__}.{found.name}"
        for package in packages
        for found in pkgutil.iter_modules(package.__path__)
    ]
    return hash_modules([*modules, *CODE, "lpca.conditions", "lpca.measure", "lpca.evidence"])


def _left(started: float, done: int, left: int) -> str:
    """How long the rest will take, at the pace of all processes since this one began."""
    if done <= 0:
        return ""
    seconds = (time.monotonic() - started) / done * left
    return f", about {tqdm.format_interval(seconds)} left"


def _stored(path: Path) -> dict[str, Any] | None:
    try:
        held = read_json(path) if path.exists() else None
    except StorageError:
        return None
    return held if isinstance(held, dict) else None


def without_beside(spec: Spec, gate: str) -> Spec:
    """The spec without the gates that are only shown beside: a grid compares under one."""
    return replace(spec, gates={**spec.gates, gate: replace(spec.gates[gate], beside=())})
