"""One codec of a grid on a machine that shares no disk with the one that asked for it.

An order carries the files that a codec follows from; what comes back is its evidence and what it
adds to the ledger. The machine that asked is the only one that keeps them.
"""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from lpca.base.errors import RequestError
from lpca.base.files import StorageError, cache_dir
from lpca.gate.evidence import command_line
from lpca.gate.plan import evidence_path, sound_spec, task_of
from lpca.gatespec.model import Spec
from lpca.lab.grid import Cell, Grid, read_grid
from lpca.lab.results import Named, name_cells
from lpca.lab.work import Bench, without_beside
from lpca.receivers.load import SHIPPED, load_receiver
from lpca.receivers.model import Receiver
from lpca.report.console import StderrConsole
from lpca.tasks import Task
from lpca.validity.ledger import LedgerEntry, read_entries

GRID, SPEC, LEDGER = "grid.yaml", "gate_specs.yaml", "ledger"


@dataclass(frozen=True)
class Order:
    """A grid as another machine needs it.

    `files` are by their path from the spec's folder; `place` is where the spec stands here.
    """

    grid: bytes
    spec: bytes
    place: str
    files: Mapping[str, bytes]
    receiver: str
    device: str
    batch_size: int
    command: tuple[str, ...] = field(default_factory=lambda: tuple(command_line()))


@dataclass(frozen=True)
class Outcome:
    """What came of a codec: its evidence, as the file's text, or the reason why there is none."""

    machine: str
    evidence: str = ""
    reason: str = ""
    looks: tuple[LedgerEntry, ...] = ()


def order_of(grid: Grid, spec: Spec, task: Task, receiver: str, device: str, batch: int) -> Order:
    """Put a grid's files together.

    Raises RequestError for a file of the task's outside of the spec's folder: it would have no
    place elsewhere.
    """
    home = grid.spec.resolve().parent
    files: dict[str, bytes] = {}
    for setting in task.contents():
        name = str(spec.task.settings[setting])
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
        device,
        batch,
    )


def name_there(order: Order) -> Named:
    """Name a grid's codecs as this machine would compute them."""
    with _unpacked(order) as (grid, spec, task, _):
        return name_cells(grid, spec, task, _receiver(order, grid))


def measure_there(order: Order, index: int, key: str, ledger: Mapping[str, str]) -> Outcome:
    """Measure the codec at `index` of the grid's cells, beside what is in `ledger`.

    A machine on which it would have another key (other code, weights, precision or kind of
    device) does not measure it.
    """
    machine = platform.node()
    with _unpacked(order) as (grid, spec, task, folder):
        cell, receiver = grid.cells()[index], _receiver(order, grid)
        if (reason := _other(machine, grid, spec, task, receiver, cell, key)) is not None:
            return Outcome(machine, reason=reason)
        books = folder / LEDGER
        books.mkdir()
        for name, text in ledger.items():
            (books / name).write_text(text, encoding="utf-8")
        before = _looks(books)
        with StderrConsole(platform.node()) as console:
            bench = Bench(
                spec, receiver, cache_dir(), books, order.batch_size, order.command, console
            )
            try:
                reason = bench.measure(grid.gate, cell, key, folder)
            except StorageError as error:
                reason = str(error)
        if reason is not None:
            return Outcome(machine, reason=f"{reason} (on {machine})")
        evidence = evidence_path(folder, grid.gate, cell.k).read_text(encoding="utf-8")
        # a criterion names its line, in a file that its reader has
        evidence = evidence.replace(_quoted(folder / SPEC), _quoted(order.place))
        added = tuple(look for look in _looks(books) if look not in before)
        return Outcome(machine, evidence, looks=added)


def ledger_texts(folder: Path) -> dict[str, str]:
    """The files of a ledger, to be sent along."""
    return {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.jsonl")}


def _quoted(path: object) -> str:
    """As it stands within a text in JSON."""
    return json.dumps(str(path))[1:-1]


def _looks(books: Path) -> list[LedgerEntry]:
    """What can be read; an altered file is found, and refused, where the codec is judged."""
    found: list[LedgerEntry] = []
    for path in sorted(books.glob("*.jsonl")):
        try:
            found += read_entries(books, path.stem)
        except StorageError:
            continue
    return found


def _other(
    machine: str, grid: Grid, spec: Spec, task: Task, receiver: Receiver, cell: Cell, key: str
) -> str | None:
    own = name_cells(grid, spec, task, receiver, [cell])
    if own.keys[cell.label] == key:
        return None
    return (
        f"{machine} would compute another codec than the machine that named it (here: "
        f"{', '.join(own.receiver.values())}); allowed: the same lpca, weights, precision and "
        "kind of device on every machine"
    )


@contextmanager
def _unpacked(order: Order) -> Iterator[tuple[Grid, Spec, Task, Path]]:
    with tempfile.TemporaryDirectory(prefix="lpca-") as name:
        folder = Path(name)
        (folder / GRID).write_bytes(order.grid)
        (folder / SPEC).write_bytes(order.spec)
        for path, content in order.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        grid = replace(read_grid(folder / GRID), spec=folder / SPEC)
        spec = without_beside(sound_spec(grid.spec), grid.gate)
        yield grid, spec, task_of(spec), folder


def _receiver(order: Order, grid: Grid) -> Receiver:
    return _loaded(order.receiver, order.device, grid.dtype)


@lru_cache(maxsize=1)
def _loaded(name: str, device: str, dtype: str) -> Receiver:
    """A process measures one codec after the other on the receiver that it has."""
    return load_receiver(name, device, dtype)
