"""Measures a grid's codecs in this process, one after the other; others may share the work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lpca.base.files import cache_dir, claimed
from lpca.gate.evidence import command_line
from lpca.gate.plan import task_of
from lpca.lab.engines import ENGINES, Engine, Job
from lpca.lab.grid import Cell
from lpca.lab.results import Bench, Results, keys_of
from lpca.receivers.load import load_receiver
from lpca.report.console import Pace

PATIENCE = 1.0
"""Seconds between looks at what other processes measure."""


@ENGINES.register("local")
@dataclass(eq=False)
class LocalEngine(Engine):
    """This process; what another one works on is left to it, and waited for at the end."""

    bench: Bench

    @classmethod
    @contextmanager
    def opened(cls, job: Job) -> Iterator[LocalEngine]:
        """Load the receiver."""
        job.console.tell(f"loading receiver {job.receiver}")
        receiver = load_receiver(job.receiver, dtype=job.grid.dtype, **job.how)
        receiver = receiver.prompted(job.spec.prompt)
        keys = keys_of(job.grid, job.spec, task_of(job.spec), receiver, folders=job.folders)
        command = tuple(command_line())
        bench = Bench(
            job.spec,
            receiver,
            cache_dir(),
            job.ledger,
            job.batch_size,
            command,
            job.console,
            job.folders,
        )
        yield cls(job, Results(job.grid, job.spec, job.out, keys, job.console.tell), bench)

    def cells(self) -> Iterator[Cell]:
        """Measure what is not there yet; yields each such codec as soon as it is."""
        results, tell = self.results, self.job.console.tell
        waiting, total = results.missing(), len(results.grid.cells())
        pace, told = Pace(total, total - len(waiting)), False
        while waiting:
            done: list[Cell] = []
            for cell in waiting:
                if results.summary(cell) is None:
                    with claimed(results.place(cell)) as mine:
                        # another process may have been done with it just before
                        if mine and results.summary(cell) is None:
                            settled = total - len(waiting) + len(done)
                            left = pace.left(settled, ", about ")
                            tell(f"{cell.label}: codec {settled + 1} of {total}{left}")
                            self._measure(cell)
                if results.summary(cell) is not None:
                    done.append(cell)
                    yield cell
            waiting = [cell for cell in waiting if cell not in done]
            if waiting and not done:
                if not told:
                    tell(f"{len(waiting)} codecs are measured by another process")
                told = True
                time.sleep(PATIENCE)

    def _measure(self, cell: Cell) -> None:
        results = self.results
        reason = self.bench.measure(results.grid.gate, cell, results.key(cell), results.place(cell))
        if reason is None and results.summary(cell) is None:
            # it would be measured again and again
            reason = "its evidence does not hold when it is read"
        if reason is None:
            results.keep_whole(cell)
        else:
            self.job.console.tell(f"{cell.label} is not measured: {reason}")
            results.keep_broken(cell, reason)
