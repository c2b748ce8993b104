"""Measure a grid's codecs one after the other; several processes may share the work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from lpca.base.files import StorageError, claimed
from lpca.gate.evidence import Origin
from lpca.gate.runner import Console, Options, Runner
from lpca.gatespec.model import Spec
from lpca.lab.grid import Cell
from lpca.lab.results import Results
from lpca.receivers.model import Receiver

PATIENCE = 1.0
"""Seconds between looks at what other processes measure."""


@dataclass(frozen=True, eq=False)
class Bench:
    """What this process measures codecs with."""

    spec: Spec
    receiver: Receiver
    cache: Path
    ledger: Path
    batch_size: int
    command: tuple[str, ...]
    console: Console

    def measure(self, gate: str, cell: Cell, key: str, folder: Path) -> str | None:
        """Put a codec's evidence, as run `key`, into `folder`; return why it broke, else None.

        Raises StorageError where nothing can be kept.
        """
        options = Options(
            receiver=self.receiver,
            device=self.receiver.device.type,
            dtype=str(self.receiver.dtype),
            checkpoint=None,
            retrain=False,
            train_seed=cell.seed,
            batch_size=self.batch_size,
            cache=self.cache,
            evidence=folder,
            ledger=self.ledger,
            announced=self.spec.evaluation.checkpoints,
            recipe=cell.row.recipe,
        )
        runner = Runner(self.spec, options, Origin(key, self.command), self.console)
        try:
            runner.evaluate_shared(gate, cell.k)
            runner.evidence(gate, cell.k)
        except StorageError:
            raise
        except Exception as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
        return None


@dataclass(eq=False)
class Work:
    """A grid that is measured here."""

    results: Results
    bench: Bench

    def cells(self) -> Iterator[Cell]:
        """Measure what is not there yet; yields each such codec as soon as it is.

        A codec that breaks is kept as NOT MEASURED with its reason; a later run tries it again.
        What another process works on is left to it, and waited for at the end. Raises
        StorageError where nothing can be kept.
        """
        results, console = self.results, self.bench.console
        cells = results.grid.cells()
        waiting = [cell for cell in cells if results.reading(cell) is None]
        pace, told = Pace(len(cells), len(cells) - len(waiting)), False
        while waiting:
            done: list[Cell] = []
            for cell in waiting:
                if results.reading(cell) is None:
                    with claimed(results.place(cell)) as mine:
                        if mine and results.reading(cell) is None:
                            settled = pace.total - len(waiting) + len(done)
                            console.tell(
                                f"{cell.label}: codec {settled + 1} of {pace.total}"
                                f"{pace.left(settled)}"
                            )
                            self._measure(cell)
                if results.reading(cell) is not None:
                    done.append(cell)
                    yield cell
            waiting = [cell for cell in waiting if cell not in done]
            if waiting and not done:
                if not told:
                    console.tell(f"{len(waiting)} codecs are measured by another process")
                told = True
                time.sleep(PATIENCE)

    def _measure(self, cell: Cell) -> None:
        results = self.results
        gate, place = results.grid.gate, results.place(cell)
        reason = self.bench.measure(gate, cell, results.key(cell), place)
        if reason is None:
            results.keep_whole(cell)
        else:
            self.bench.console.tell(f"{cell.label} is not measured: {reason}")
            results.keep_broken(cell, reason)


class Pace:
    """How long the rest will take, at the pace of all processes since this one began."""

    def __init__(self, total: int, before: int) -> None:
        self.total, self._before = total, before
        self._started = time.monotonic()

    def left(self, settled: int) -> str:
        """For people, after `settled` of the codecs; nothing where it is not known yet."""
        done = settled - self._before
        if done <= 0 or settled >= self.total:
            return ""
        seconds = (time.monotonic() - self._started) / done * (self.total - settled)
        return f", about {tqdm.format_interval(seconds)} left"


def without_beside(spec: Spec, gate: str) -> Spec:
    """The spec without the gates that are only shown beside: a grid compares under one."""
    return replace(spec, gates={**spec.gates, gate: replace(spec.gates[gate], shown_with=())})
