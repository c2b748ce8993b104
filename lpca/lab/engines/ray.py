"""Measures a grid's codecs on a Ray cluster: Ray places them, and redoes what a lost machine had.

Only this process keeps anything: evidence by its content's key and the ledger. What Ray computes
twice is therefore kept once, and what was kept is not computed again.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar

from lpca.base.errors import RequestError, RunError
from lpca.base.files import locked, write_text
from lpca.gate.plan import task_of
from lpca.lab.engines import ENGINES, Engine, Job, Pace
from lpca.lab.grid import Cell
from lpca.lab.results import (
    MeasuredThere,
    Order,
    Results,
    keys_there,
    ledger_texts,
    measure_there,
    order_of,
)
from lpca.stats.verdicts import Verdict
from lpca.validity.ledger import GateLedger, add_entry

SCHEME = "ray"
LOSSES = 3
"""How many machines or processes may be lost under one codec before it is NOT MEASURED."""
PATIENCE = 1.0
"""Seconds after which Ctrl-C is seen."""


@ENGINES.register(SCHEME)
@dataclass(eq=False)
class RayEngine(Engine):
    """A cluster that this process has joined; `ray` is the package, which is an extra."""

    address: ClassVar[str] = "HOST:PORT"
    order: Order
    ray: ModuleType
    _waiting: dict[Any, list[Cell]] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def opened(cls, job: Job) -> Iterator[RayEngine]:
        """Join the cluster, or start one of this machine where none is; leave it afterwards."""
        order = order_of(
            job.grid, job.spec, task_of(job.spec), job.receiver, job.device, job.batch_size
        )
        with _joined(job.engine) as ray:
            job.console.tell(f"loading receiver {job.receiver} on the cluster")
            try:
                # as a machine that will measure them names them
                keys = ray.get(_on_a_machine(ray, keys_there, order).remote(order))
            except ray.exceptions.RayError as error:
                raise RunError(_reason(error)) from error
            yield cls(job, Results(job.grid, job.spec, job.out, keys), order, ray)

    def cells(self) -> Iterator[Cell]:
        """Measure what is not there yet; yields each such codec as soon as it is."""
        results, ray, tell = self.results, self.ray, self.job.console.tell
        told = "another process has this grid on a cluster; waiting"
        with locked(results.folder / SCHEME, lambda: tell(told)):
            missing, total = results.missing(), len(results.grid.cells())
            settled = total - len(missing)
            pace = Pace(total, settled)
            measure = _on_a_machine(ray, measure_there, self.order)
            order = ray.put(self.order)
            # rows of one recipe are one codec: measured once
            by_key: dict[str, list[Cell]] = {}
            for cell in missing:
                by_key.setdefault(results.key(cell), []).append(cell)
            for same in by_key.values():
                self._send(measure, order, same)
            if missing:
                tell(f"{len(missing)} codecs of {total} are sent to the cluster")
            while self._waiting:
                ready, _ = ray.wait(list(self._waiting), timeout=PATIENCE)
                for sent in ready:
                    same = self._waiting.pop(sent)
                    found = self._received(sent)
                    if self.is_overdrawn(found):
                        self._send(measure, order, same)
                        continue
                    self.keep(same[0], found)
                    how = f"not measured: {found.reason}" if found.reason else f"on {found.machine}"
                    for cell in same:
                        settled += 1
                        left = pace.left(settled)
                        tell(f"{cell.label}: codec {settled} of {total}, {how}{left}")
                        yield cell

    def _send(self, measure: Any, order: Any, same: list[Cell]) -> None:
        index = self.results.grid.cells().index(same[0])
        key, ledger = self.results.key(same[0]), ledger_texts(self.job.ledger)
        self._waiting[measure.remote(order, index, key, ledger)] = same

    def _received(self, sent: Any) -> MeasuredThere:
        try:
            found: MeasuredThere = self.ray.get(sent)
        except self.ray.exceptions.RayError as error:
            return MeasuredThere("the cluster", reason=_reason(error))
        return found

    def is_overdrawn(self, found: MeasuredThere) -> bool:
        """Whether codecs judged meanwhile leave no place for this one: it is judged anew.

        Codecs measured side by side do not know of each other. All that a grid has are paid for
        by each; but others may be in the ledger, which together with them are too many.
        """
        limit = self.results.spec.evaluation.checkpoints
        for entry in found.ledger_entries:
            known = GateLedger.read(self.job.ledger, entry, limit)
            if entry.verdict != Verdict.INVALID and (known.altered or len(known.codecs()) > limit):
                return True
        return False

    def keep(self, cell: Cell, found: MeasuredThere) -> None:
        """Keep what came, unless another process was first."""
        results = self.results
        with locked(results.place(cell)):
            if results.summary(cell) is not None:
                return
            if found.reason:
                results.keep_broken(cell, found.reason)
                return
            for entry in found.ledger_entries:
                add_entry(self.job.ledger, entry)
            write_text(results.evidence(cell), found.evidence)
            results.keep_whole(cell)


@contextmanager
def _joined(engine: str) -> Iterator[ModuleType]:
    """RequestError where Ray is not installed, or nothing answers."""
    try:
        import ray
    except ModuleNotFoundError as error:
        raise RequestError(
            f"--engine {engine}: the package ray is not installed; pip install 'lpca[ray]'"
        ) from error
    try:
        with warnings.catch_warnings():
            # what it warns of is then raised, and told once
            warnings.simplefilter("ignore")
            # without an address of its own Ray looks for the cluster of this machine
            address = None if engine == SCHEME else engine
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        # whatever the network, the address or another version of Ray makes of it
        reason = " ".join(str(error).split())
        raise RequestError(f"--engine {engine}: no cluster can be joined: {reason}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _on_a_machine(ray: ModuleType, function: Any, order: Order) -> Any:
    """A function that takes one core, and one GPU where the order or the cluster has them."""
    has_gpu = ray.cluster_resources().get("GPU", 0) >= 1
    if order.device == "cuda" and not has_gpu:
        raise RequestError("--device cuda: no machine of the cluster has a GPU")
    gpus = int(has_gpu and order.device in ("auto", "cuda"))
    return ray.remote(num_cpus=1, num_gpus=gpus, max_retries=LOSSES)(function)


def _reason(error: Exception) -> str:
    """An error in a task is followed by its traceback: the last line names it."""
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())}"[:500].removesuffix(": ")
