"""Measures a grid's codecs on a Ray cluster: Ray places them, and redoes what a lost machine had.

Only this process keeps anything: evidence by its content's key and the ledger. What Ray computes
twice is therefore kept once, and what was kept is not computed again.
"""

from __future__ import annotations

import json
import logging
import platform
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from lpca.base.errors import RequestError, RunError, needed
from lpca.base.files import StorageError, cache_dir, locked, scratch_folder, write_text
from lpca.base.hashing import with_hash
from lpca.base.tables import HUB
from lpca.gate.evidence import command_line
from lpca.gate.plan import evidence_path, sound_spec, task_of
from lpca.gatespec.model import Spec
from lpca.lab.engines import ENGINES, Engine, Job
from lpca.lab.grid import Cell, Grid, read_grid
from lpca.lab.results import Bench, GridKeys, Results, keys_of, without_shown_with
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.receivers.sources import SHIPPED
from lpca.report.console import Pace, StderrConsole
from lpca.stats.verdicts import Verdict
from lpca.tasks import Task
from lpca.validity.ledger import last_verdicts, unpaid
from lpca.validity.ledger_file import LedgerError, LedgerFile

SCHEME = "ray"
LOSSES = 3
"""How many machines or processes may be lost under one codec before it is NOT MEASURED."""
PATIENCE = 1.0
"""Seconds after which Ctrl-C is seen."""
GRID, SPEC, LEDGER = "grid.yaml", "gate_specs.yaml", "ledger"
"""What they are called on another machine."""


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
            job.grid, job.spec, task_of(job.spec), job.receiver, job.how, job.batch_size
        )
        order = replace(order, folders=job.folders)
        with _joined(job.engine) as ray:
            job.console.tell(f"loading receiver {job.receiver} on the cluster")
            try:
                # as a machine that will measure them names them
                keys = ray.get(_on_a_machine(ray, keys_there, order).remote(order))
            except ray.exceptions.RayError as error:
                raise RunError(_reason(error)) from error
            yield cls(job, Results(job.grid, job.spec, job.out, keys, job.console.tell), order, ray)

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
                    if not self.keep(same[0], found):
                        self._send(measure, order, same)
                        continue
                    how = f"not measured: {found.reason}" if found.reason else f"on {found.machine}"
                    for cell in same:
                        settled += 1
                        left = pace.left(settled, ", about ")
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

    def keep(self, cell: Cell, found: MeasuredThere) -> bool:
        """Keep what came, unless another process was first.

        Returns:
            Whether it is settled; where codecs judged meanwhile left no place for it in the ledger
            it is to be judged anew, for codecs measured side by side do not know of each other.
        """
        results = self.results
        with locked(results.place(cell)):
            if results.summary(cell) is not None:
                return True
            if found.reason:
                results.keep_broken(cell, found.reason)
                return True
            if not found.ledger_lines:
                self._keep_evidence(cell, found)
                return True
            try:
                with LedgerFile.opened(self.job.ledger) as ledger:
                    if is_overdrawn(ledger, found):
                        return False
                    ledger.adopt(found.ledger_lines)
                    ledger.write_new()
                    self._keep_evidence(cell, found)
            except LedgerError:
                return False
        return True

    def _keep_evidence(self, cell: Cell, found: MeasuredThere) -> None:
        write_text(self.results.evidence(cell), found.evidence)
        self.results.keep_whole(cell)


def is_overdrawn(ledger: LedgerFile, found: MeasuredThere) -> bool:
    """Whether a ledger as it is now leaves no place for what was judged beside an earlier one."""
    before = {line.hash for line in ledger.lines}
    known = LedgerFile(ledger.folder, list(ledger.lines))
    known.adopt(found.ledger_lines)
    verdicts = last_verdicts(known.lines)
    late = [line for line in unpaid(known) if line not in before]
    return any(verdicts.get(line) != Verdict.INVALID for line in late)


@contextmanager
def _joined(engine: str) -> Iterator[ModuleType]:
    """RequestError where Ray is not installed, or nothing answers."""
    ray: ModuleType = needed("ray", "ray", f"--engine {engine}")
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
    if order.how["device"] == "cuda" and not has_gpu:
        raise RequestError("--device cuda: no machine of the cluster has a GPU")
    gpus = int(has_gpu and order.how["device"] in ("auto", "cuda"))
    return ray.remote(num_cpus=1, num_gpus=gpus, max_retries=LOSSES)(function)


def _reason(error: Exception) -> str:
    """An error in a task is followed by its traceback: the last line names it."""
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())}"[:500].removesuffix(": ")


@dataclass(frozen=True)
class Order:
    """A grid as another machine needs it.

    `files` are by their path from the spec's folder; `place` is where the spec stands here.
    `folders` have the users' own codecs, on every machine.
    """

    grid: bytes
    spec: bytes
    place: str
    files: Mapping[str, bytes]
    receiver: str
    how: Mapping[str, str]
    batch_size: int
    command: tuple[str, ...] = field(default_factory=lambda: tuple(command_line()))
    run: str = ""
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class MeasuredThere:
    """What came of a codec: its evidence, as the file's text, or the reason why there is none.

    `ledger_lines` are those that were added to the ledger it was judged beside.
    """

    machine: str
    evidence: str = ""
    reason: str = ""
    ledger_lines: tuple[str, ...] = ()


def order_of(
    grid: Grid, spec: Spec, task: Task, receiver: str, how: Mapping[str, str], batch: int
) -> Order:
    """Put a grid's files together.

    Raises:
        RequestError: a file of the task's stands outside of the spec's folder: it would have no
            place elsewhere.
    """
    home = grid.spec.resolve().parent
    files: dict[str, bytes] = {}
    for setting in task.contents():
        name = str(spec.task.settings[setting])
        if name.startswith(HUB):
            # each machine reads it from where this one did; what it holds is compared by its hash
            continue
        if not (home / name).resolve().is_relative_to(home):
            raise RequestError(
                f"{spec.file}: the task's {setting} {name} stands outside of the spec's folder; "
                "allowed on other machines: a file below it"
            )
        files[name] = (home / name).read_bytes()
    if receiver not in SHIPPED and Path(receiver).exists():
        # other machines work in other folders
        receiver = str(Path(receiver).resolve())
    return Order(
        Path(grid.file).read_bytes(),
        grid.spec.read_bytes(),
        spec.file,
        files,
        receiver,
        how,
        batch,
        run=grid.run,
    )


def keys_there(order: Order) -> GridKeys:
    """The keys of a grid's codecs as this machine would compute them."""
    with _unpacked(order) as (grid, spec, task, _):
        receiver = _loaded(order.receiver, tuple(order.how.items()), grid.dtype).prompted(
            spec.prompt
        )
        return keys_of(grid, spec, task, receiver, folders=order.folders)


def measure_there(order: Order, index: int, key: str, ledger: Mapping[str, str]) -> MeasuredThere:
    """Measure one codec of an order on this machine.

    A machine on which it would have another key (other code, weights, precision or kind of
    device) does not measure it.

    Args:
        order: the grid.
        index: of the codec, among the grid's cells.
        key: of the codec, as it was named.
        ledger: the files of the ledger beside which it is judged, by name.
    """
    machine = platform.node()
    with _unpacked(order) as (grid, spec, task, folder):
        cell = grid.cells()[index]
        receiver = _loaded(order.receiver, tuple(order.how.items()), grid.dtype).prompted(
            spec.prompt
        )
        own = keys_of(grid, spec, task, receiver, [cell], order.folders)
        if own.by_label[cell.label] != key:
            return MeasuredThere(
                machine,
                reason=f"{machine} would compute another codec than the machine that named it "
                f"(here: {', '.join(own.receiver.values())}); allowed: the same lpca, weights, "
                "precision and kind of device on every machine",
            )
        books = folder / LEDGER
        books.mkdir()
        for name, text in ledger.items():
            (books / name).write_text(text, encoding="utf-8")
        before = _lines(books)
        with StderrConsole(machine) as console:
            bench = Bench(
                spec,
                receiver,
                cache_dir(),
                books,
                order.batch_size,
                order.command,
                console,
                order.folders,
            )
            try:
                reason = bench.measure(grid.gate, cell, key, folder)
            except StorageError as error:
                reason = str(error)
        if reason is not None:
            return MeasuredThere(machine, reason=f"{reason} (on {machine})")
        evidence = evidence_path(folder, grid.gate, cell.k).read_text(encoding="utf-8")
        # a criterion names its line, in a file that its reader has
        evidence = evidence.replace(_quoted(folder / SPEC), _quoted(order.place))
        evidence = json.dumps(with_hash(json.loads(evidence)))
        added = tuple(line for line in _lines(books) if line not in before)
        return MeasuredThere(machine, evidence, ledger_lines=added)


def ledger_texts(folder: Path) -> dict[str, str]:
    """The files of a ledger, to be sent along."""
    return {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json*")}


def _quoted(path: object) -> str:
    """As it stands within a text in JSON."""
    return json.dumps(str(path))[1:-1]


def _lines(books: Path) -> list[str]:
    """What can be read; an altered ledger is found, and refused, where the codec is judged."""
    try:
        return [line.text for line in LedgerFile.read(books).lines]
    except LedgerError:
        return []


@contextmanager
def _unpacked(order: Order) -> Iterator[tuple[Grid, Spec, Task, Path]]:
    with scratch_folder(Path(tempfile.gettempdir()) / "lpca-order") as folder:
        (folder / GRID).write_bytes(order.grid)
        (folder / SPEC).write_bytes(order.spec)
        for path, content in order.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        grid = replace(read_grid(folder / GRID, order.run), spec=folder / SPEC)
        spec = without_shown_with(sound_spec(grid.spec), grid.gate)
        yield grid, spec, task_of(spec), folder


@lru_cache(maxsize=1)
def _loaded(name: str, how: tuple[tuple[str, str], ...], dtype: str) -> Receiver:
    """A process measures one codec after the other on the receiver that it has."""
    return load_receiver(name, dtype=dtype, **dict(how))
