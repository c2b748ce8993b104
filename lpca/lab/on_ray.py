"""A grid's codecs on a Ray cluster: Ray places them, and redoes what a lost machine had.

Only this process keeps anything: evidence by its content's key and the ledger. What Ray computes
twice is therefore kept once, and what was kept is not computed again.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from lpca.base.errors import RequestError, RunError
from lpca.base.files import locked, write_file
from lpca.gate.runner import Console
from lpca.lab.grid import Cell
from lpca.lab.remote import Order, Outcome, ledger_texts, measure_there, name_there
from lpca.lab.results import Named, Results
from lpca.lab.work import Pace
from lpca.stats import Verdict
from lpca.validity.ledger import GateLedger, add_entry

ENGINE = "ray"
LOSSES = 3
"""How many machines or processes may be lost under one codec before it is NOT MEASURED."""
PATIENCE = 1.0
"""Seconds after which Ctrl-C is seen."""


def address_of(engine: str) -> str | None:
    """The address in `ray[://address]`: None leaves it to Ray. RequestError for another engine."""
    if engine == ENGINE:
        return None
    if engine.startswith(f"{ENGINE}://") and len(engine) > len(f"{ENGINE}://"):
        return engine
    raise RequestError(f"--engine {engine}: unknown; allowed: local, ray, ray://HOST:PORT")


@contextmanager
def cluster(engine: str) -> Iterator[Cluster]:
    """Join a cluster, or start one of this machine where none is.

    Raises RequestError where Ray is not installed, or nothing answers.
    """
    address = address_of(engine)
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
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        # whatever the network, the address or another version of Ray makes of it
        reason = " ".join(str(error).split())
        raise RequestError(f"--engine {engine}: no cluster can be joined: {reason}") from error
    try:
        yield Cluster(ray)
    finally:
        ray.shutdown()


@dataclass(frozen=True)
class Cluster:
    """A cluster that this process has joined."""

    ray: ModuleType

    def name(self, order: Order) -> Named:
        """Name a grid's codecs as a machine that will measure them does.

        Raises RunError where it cannot, or a codec needs a GPU and no machine has one.
        """
        try:
            named: Named = self.ray.get(self.remote(name_there, order).remote(order))
        except self.ray.exceptions.RayError as error:
            raise RunError(_reason(error)) from error
        return named

    def remote(self, function: Any, order: Order) -> Any:
        """A function that takes one core, and one GPU where the order or the cluster has them."""
        there = self.ray.cluster_resources().get("GPU", 0) >= 1
        if order.device == "cuda" and not there:
            raise RequestError("--device cuda: no machine of the cluster has a GPU")
        gpus = int(there and order.device in ("auto", "cuda"))
        return self.ray.remote(num_cpus=1, num_gpus=gpus, max_retries=LOSSES)(function)


@dataclass(eq=False)
class RayWork:
    """A grid that is measured on a cluster."""

    results: Results
    order: Order
    ledger: Path
    console: Console
    cluster: Cluster
    _waiting: dict[Any, list[Cell]] = field(default_factory=dict)

    def cells(self) -> Iterator[Cell]:
        """Measure what is not there yet; yields each such codec as soon as it is.

        Raises StorageError where nothing can be kept.
        """
        results, ray = self.results, self.cluster.ray
        told = "another process has this grid on a cluster; waiting"
        with locked(results.folder / ENGINE, lambda: self.console.tell(told)):
            cells = results.grid.cells()
            missing = [cell for cell in cells if results.reading(cell) is None]
            pace = Pace(len(cells), len(cells) - len(missing))
            settled = pace.total - len(missing)
            measure = self.cluster.remote(measure_there, self.order)
            order = ray.put(self.order)
            for same in _by_key(results, missing):
                self._send(measure, order, same)
            if missing:
                self.console.tell(f"{len(missing)} codecs of {pace.total} are sent to the cluster")
            while self._waiting:
                ready, _ = ray.wait(list(self._waiting), timeout=PATIENCE)
                for sent in ready:
                    same = self._waiting.pop(sent)
                    outcome = self._outcome(sent)
                    if self._overdrawn(outcome):
                        self._send(measure, order, same)
                        continue
                    self._keep(same[0], outcome)
                    for cell in same:
                        settled += 1
                        self.console.tell(
                            f"{cell.label}: codec {settled} of {pace.total}, {_how(outcome)}"
                            f"{pace.left(settled)}"
                        )
                        yield cell

    def _send(self, measure: Any, order: Any, same: list[Cell]) -> None:
        cell = same[0]
        index = self.results.grid.cells().index(cell)
        sent = measure.remote(order, index, self.results.key(cell), ledger_texts(self.ledger))
        self._waiting[sent] = same

    def _outcome(self, sent: Any) -> Outcome:
        ray = self.cluster.ray
        try:
            outcome: Outcome = ray.get(sent)
        except ray.exceptions.RayError as error:
            return Outcome("the cluster", reason=_reason(error))
        return outcome

    def _overdrawn(self, outcome: Outcome) -> bool:
        """Whether codecs judged meanwhile leave no place for this one: it is judged anew.

        Codecs measured side by side do not know of each other. All that a grid has are paid for
        by each; but others may be in the ledger, which together with them are too many.
        """
        limit = self.results.spec.evaluation.checkpoints
        for look in outcome.looks:
            known = GateLedger.read(self.ledger, look, limit)
            if look.verdict != Verdict.INVALID and (known.altered or len(known.codecs()) > limit):
                return True
        return False

    def _keep(self, cell: Cell, outcome: Outcome) -> None:
        """Keep what came, unless another process was first."""
        results = self.results
        with locked(results.place(cell)):
            if results.reading(cell) is not None:
                return
            if outcome.reason:
                results.keep_broken(cell, outcome.reason)
                return
            for look in outcome.looks:
                add_entry(self.ledger, look)
            text = outcome.evidence
            write_file(results.evidence(cell), lambda part: part.write_text(text, encoding="utf-8"))
            results.keep_whole(cell)


def _by_key(results: Results, cells: list[Cell]) -> list[list[Cell]]:
    """Rows of one recipe are one codec: measured once."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(results.key(cell), []).append(cell)
    return list(found.values())


def _how(outcome: Outcome) -> str:
    if outcome.reason:
        return f"not measured: {outcome.reason}"
    return f"on {outcome.machine}"


def _reason(error: Exception) -> str:
    """An error in a task is followed by its traceback: the last line names it."""
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())}"[:500].removesuffix(": ")
