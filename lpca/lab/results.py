"""A grid's results, by content, and how one codec of it is measured, here or elsewhere."""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from lpca.base import __version__
from lpca.base.code_identity import code_hash
from lpca.base.errors import RequestError
from lpca.base.files import StorageError, cache_dir, read_json, write_json
from lpca.base.hashing import hash_data, hash_file
from lpca.codec.architectures import CODECS
from lpca.codec.checkpoint import identify
from lpca.codec.objectives import OBJECTIVES
from lpca.codec.recipe import Recipe
from lpca.evaluation.conditions import CONDITIONS
from lpca.evidence.files import read_evidence
from lpca.evidence.json_form import EvidenceError
from lpca.evidence.model import Evidence
from lpca.gate.evidence import Origin, command_line
from lpca.gate.plan import evidence_path, gate_conditions, needs_control, sound_spec, task_of
from lpca.gate.runner import Console, Options, Runner
from lpca.gatespec.model import Spec
from lpca.lab.grid import Cell, Grid, read_grid
from lpca.lab.summary import CodecSummary, not_measured, summary_of
from lpca.receivers.load import SHIPPED, load_receiver
from lpca.receivers.model import Receiver
from lpca.report.console import StderrConsole
from lpca.tasks import TASKS, Task
from lpca.validity.ledger import LedgerEntry, read_entries

EVIDENCE, BROKEN = "evidence", "broken.json"


@dataclass(frozen=True)
class GridKeys:
    """Each codec's key by its label, and how the receiver is called that they are for."""

    by_label: Mapping[str, str]
    receiver: Mapping[str, str]


def keys_of(
    grid: Grid, spec: Spec, task: Task, receiver: Receiver, cells: list[Cell] | None = None
) -> GridKeys:
    """Hash everything that the evidence of each codec follows from.

    Args:
        grid: whose codecs they are.
        spec: the grid's, with its gate.
        task: the spec's.
        receiver: loaded, on the kind of device and in the precision that codecs are measured in.
        cells: only these codecs; all unless given.
    """
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
    return GridKeys(keys, about)


@dataclass(eq=False)
class Results:
    """A grid's evidence below `folder`, whichever engine put it there."""

    grid: Grid
    spec: Spec
    folder: Path
    keys: GridKeys
    _began: float = field(default_factory=time.time)
    _summaries: dict[str, CodecSummary] = field(default_factory=dict)

    def summary(self, cell: Cell) -> CodecSummary | None:
        """What a codec came to; None while it is still to be measured."""
        key = self.key(cell)
        if key not in self._summaries:
            evidence = _evidence(self.evidence(cell))
            if evidence is not None and evidence.run == key:
                self._summaries[key] = summary_of(evidence)
            elif (reason := self._broken(cell)) is not None:
                self._summaries[key] = not_measured(reason)
        return self._summaries.get(key)

    def missing(self) -> list[Cell]:
        """The codecs that are still to be measured, each row once before any a second time."""
        return [cell for cell in self.grid.cells() if self.summary(cell) is None]

    def key(self, cell: Cell) -> str:
        """Names everything that a codec's evidence follows from."""
        return self.keys.by_label[cell.label]

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
        try:
            held = read_json(self.place(cell) / BROKEN)
            return str(held["reason"]) if held["at"] >= self._began else None
        except (StorageError, LookupError, TypeError):
            # none is there, or not as it is written here
            return None


def deciding_code(spec: Spec, gate: str, task: Task) -> str:
    """Hash the code that makes a gate's evidence: outcomes, checks and verdict.

    A codec's own code is named by its identity; that of the control, which is trained beside it,
    counts here.
    """
    control = Recipe().control() if needs_control(spec, gate) else None
    return code_hash(
        Runner,
        Bench,
        without_shown_with,
        sound_spec,
        task,
        resolved={
            CODECS.kind: [control.architecture] if control else [],
            OBJECTIVES.kind: control.objectives if control else [],
            CONDITIONS.kind: gate_conditions(spec, gate),
            TASKS.kind: [task.name],
        },
    )


def _evidence(path: Path) -> Evidence | None:
    try:
        return read_evidence(path) if path.exists() else None
    except (StorageError, EvidenceError):
        return None


GRID, SPEC, LEDGER = "grid.yaml", "gate_specs.yaml", "ledger"
"""What they are called on another machine."""


def without_shown_with(spec: Spec, gate: str) -> Spec:
    """The spec without the gates that are only shown beside: a grid compares under one."""
    return replace(spec, gates={**spec.gates, gate: replace(spec.gates[gate], shown_with=())})


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

        Raises:
            StorageError: nothing can be kept.
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
            # whatever one recipe does wrong, the others are still to be measured
            return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
        return None


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
class MeasuredThere:
    """What came of a codec: its evidence, as the file's text, or the reason why there is none."""

    machine: str
    evidence: str = ""
    reason: str = ""
    ledger_entries: tuple[LedgerEntry, ...] = ()


def order_of(grid: Grid, spec: Spec, task: Task, receiver: str, device: str, batch: int) -> Order:
    """Put a grid's files together.

    Raises:
        RequestError: a file of the task's stands outside of the spec's folder: it would have no
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


def keys_there(order: Order) -> GridKeys:
    """The keys of a grid's codecs as this machine would compute them."""
    with _unpacked(order) as (grid, spec, task, _):
        return keys_of(grid, spec, task, _receiver(order, grid))


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
        cell, receiver = grid.cells()[index], _receiver(order, grid)
        own = keys_of(grid, spec, task, receiver, [cell])
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
        before = _entries(books)
        with StderrConsole(machine) as console:
            bench = Bench(
                spec, receiver, cache_dir(), books, order.batch_size, order.command, console
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
        added = tuple(entry for entry in _entries(books) if entry not in before)
        return MeasuredThere(machine, evidence, ledger_entries=added)


def ledger_texts(folder: Path) -> dict[str, str]:
    """The files of a ledger, to be sent along."""
    return {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.jsonl")}


def _quoted(path: object) -> str:
    """As it stands within a text in JSON."""
    return json.dumps(str(path))[1:-1]


def _entries(books: Path) -> list[LedgerEntry]:
    """What can be read; an altered file is found, and refused, where the codec is judged."""
    found: list[LedgerEntry] = []
    for path in sorted(books.glob("*.jsonl")):
        try:
            found += read_entries(books, path.stem)
        except StorageError:
            continue
    return found


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
        spec = without_shown_with(sound_spec(grid.spec), grid.gate)
        yield grid, spec, task_of(spec), folder


def _receiver(order: Order, grid: Grid) -> Receiver:
    return _loaded(order.receiver, order.device, grid.dtype)


@lru_cache(maxsize=1)
def _loaded(name: str, device: str, dtype: str) -> Receiver:
    """A process measures one codec after the other on the receiver that it has."""
    return load_receiver(name, device, dtype)
