"""A grid's results, by content, and how one codec of it is measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lpca.base import __version__
from lpca.base.code_identity import code_hash
from lpca.base.files import StorageError, read_json, remove, write_json
from lpca.base.hashing import hash_data, is_altered, with_hash
from lpca.channel.side import Wall
from lpca.codec.architectures import CODECS
from lpca.codec.checkpoint import identify
from lpca.codec.objectives import OBJECTIVES
from lpca.codec.recipe import Recipe
from lpca.codec.remote import source_hash
from lpca.codec.user_codec import codec_named
from lpca.evaluation.conditions import CONDITIONS
from lpca.evidence.json_form import EvidenceError
from lpca.evidence.model import Evidence
from lpca.gate.evidence import Origin
from lpca.gate.plan import evidence_path, gate_conditions, needs_control, sound_spec
from lpca.gate.runner import Console, Options, Runner
from lpca.gatespec.model import Spec
from lpca.judge.stored import read_stored
from lpca.lab.grid import Cell, Grid
from lpca.lab.summary import CodecSummary, not_measured, summary_of
from lpca.receivers.model import Receiver
from lpca.tasks import TASKS, Task

EVIDENCE, BROKEN = "evidence", "broken.json"


@dataclass(frozen=True)
class GridKeys:
    """Each codec's key by its label, and how the receiver is called that they are for."""

    by_label: Mapping[str, str]
    receiver: Mapping[str, str]


def keys_of(
    grid: Grid,
    spec: Spec,
    task: Task,
    receiver: Receiver,
    cells: list[Cell] | None = None,
    folders: Sequence[Path] = (),
) -> GridKeys:
    """Hash everything that the evidence of each codec follows from.

    Of a user's own that is its code, as far as it is read: neither its data nor its packages.

    Args:
        grid: whose codecs they are.
        spec: the grid's, with its gate.
        task: the spec's.
        receiver: loaded, on the kind of device and in the precision that codecs are measured in.
        cells: only these codecs; all unless given.
        folders: from where users' own codecs are importable, beside Python's own.
    """
    setting = {
        "gate": grid.gate,
        "spec": spec.sha256,
        "contents": dict(task.contents()),
        "receiver": [receiver.weights_hash, receiver.configuration_hash],
        "computed": [receiver.device.type, str(receiver.dtype), receiver.attn],
        "code": [__version__, deciding_code(spec, grid.gate, task)],
    }
    keys = {}
    for cell in grid.cells() if cells is None else cells:
        if cell.row.channel:
            own = source_hash(cell.row.channel, folders)
            keys[cell.label] = hash_data([cell.row.channel, own, cell.k, setting])
        else:
            identity = identify(receiver, task, cell.k, cell.seed, cell.row.recipe)
            keys[cell.label] = hash_data([identity.hash(), setting])
    return GridKeys(keys, receiver.facts)


@dataclass(eq=False)
class Results:
    """A grid's evidence below `folder`, whichever engine put it there.

    What is not as it was written there, or does not come to its verdict once more by the spec, is
    as good as missing; `tell` then has one line on it.
    """

    grid: Grid
    spec: Spec
    folder: Path
    keys: GridKeys
    tell: Callable[[str], None] = lambda text: None
    _began: float = field(default_factory=time.time)
    _summaries: dict[str, CodecSummary] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def summary(self, cell: Cell) -> CodecSummary | None:
        """What a codec came to; None while it is still to be measured."""
        key = self.key(cell)
        if key not in self._summaries:
            evidence = self._evidence(cell)
            if evidence is not None and evidence.run == key:
                self._summaries[key] = summary_of(evidence)
                if (self.place(cell) / BROKEN).exists():
                    self.keep_whole(cell)
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
        held = with_hash({"reason": reason, "at": time.time()})
        write_json(self.place(cell) / BROKEN, held)

    def keep_whole(self, cell: Cell) -> None:
        """Its evidence is there: whatever broke it before is past."""
        remove(self.place(cell) / BROKEN)

    def _evidence(self, cell: Cell) -> Evidence | None:
        path, older = self.evidence(cell), list[str]()
        if not path.exists():
            return None
        try:
            found = read_stored(path, self.spec, older.append)
        except (StorageError, EvidenceError) as error:
            older.append(str(error))
        if not older:
            return found
        if older[0] not in self._told:
            self._told.add(older[0])
            self.tell(f"{older[0]}; measured again")
        return None

    def _broken(self, cell: Cell) -> str | None:
        """Why a codec broke since this process began; earlier ones are tried again."""
        try:
            held = read_json(self.place(cell) / BROKEN)
            is_ours = not is_altered(held) and held["at"] >= self._began
            return str(held["reason"]) if is_ours else None
        except (StorageError, LookupError, TypeError, AttributeError):
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
    folders: tuple[Path, ...] = ()

    def measure(self, gate: str, cell: Cell, key: str, folder: Path) -> str | None:
        """Put a codec's evidence, as run `key`, into `folder`; return why it broke, else None.

        Raises:
            StorageError: nothing can be kept.
        """
        channel = cell.row.channel
        options = Options(
            receiver=self.receiver,
            device=self.receiver.device.type,
            dtype=str(self.receiver.dtype),
            train_seed=cell.seed,
            batch_size=self.batch_size,
            cache=self.cache,
            evidence=folder,
            ledger=self.ledger,
            recipe=cell.row.recipe,
            codec=codec_named(channel, self.folders) if channel else None,
            wall=Wall() if channel else None,
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
        finally:
            runner.close()
        return None
