"""A grid file: which codecs are compared, under which gate. Read here; measured elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lpca.base.arguments import DTYPES, MAX_K, MAX_SEED, RECEIVER
from lpca.base.registry import suggestion
from lpca.codec.recipe import Recipe, recipe_of
from lpca.gate.plan import declares, gate_conditions
from lpca.gatespec import document
from lpca.gatespec.document import Section, SpecError
from lpca.gatespec.keys import VERSION
from lpca.gatespec.kinds import TEXT, Choice, Integer, Kind
from lpca.gatespec.model import Gate, Position, Spec
from lpca.lab.summary import NEEDED

KEYS = ("version", "gate", "spec", "receiver", "dtype", "k", "seeds", "defaults", "rows")
SPEC = "gate_specs.yaml"
EXPECTED = "a mapping with version, gate, k, seeds, defaults and rows"
MAX_ROWS = 100
LONGEST_NAME = 60
_WHOLE, _STAGED = {"objective", "steps"}, {"curriculum"}
EITHER = ((_WHOLE, _STAGED), (_STAGED, _WHOLE))
"""A row that has one of the second takes none of the first from `defaults`."""


@dataclass(frozen=True)
class Row:
    """One recipe of the grid, by its name."""

    name: str
    recipe: Recipe


@dataclass(frozen=True)
class Cell:
    """One codec of the grid: a row's recipe at a k, trained with a seed."""

    row: Row
    k: int
    seed: int

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.row.name}, k={self.k}, seed {self.seed}"


@dataclass(frozen=True)
class Grid:
    """A whole grid file; `spec` stands relative to the grid's own folder.

    `places` says by key where its value stands.
    """

    file: str
    gate: str
    spec: Path
    receiver: str
    dtype: str
    ks: tuple[int, ...]
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]
    places: dict[str, Position]

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return Path(self.file).stem

    def cells(self) -> list[Cell]:
        """Every codec, each row once before any a second time."""
        return [Cell(row, k, seed) for seed in self.seeds for k in self.ks for row in self.rows]

    def in_order(self) -> list[Cell]:
        """Every codec, row by row."""
        return [Cell(row, k, seed) for k in self.ks for row in self.rows for seed in self.seeds]


def read_grid(path: str | os.PathLike[str]) -> Grid:
    """Read a grid file.

    Raises:
        SpecError: anything in the file, or the file itself, that is not as it must be; the first
            such place, with what is allowed there.
    """
    root = document.read_document(path, EXPECTED)
    root.check_keys("the grid", KEYS)
    VERSION.read(root.required("version", "the grid"), "version")
    rows = document.as_items(root.required("rows", "the grid"), "rows")
    if not 1 <= len(rows) <= MAX_ROWS:
        at, what = root.entries["rows"].value, f"rows holds {len(rows)} and"
        document.refuse(at, what, f"1 to {MAX_ROWS} rows")
    node = root.get("defaults")
    shared = document.as_section(node, "defaults") if node else Section({}, root.position)
    # what is wrong there is told at its own line, not at that of a row that takes it
    recipe_of(shared)
    names: dict[str, Position] = {}
    return Grid(
        file=os.fspath(path),
        gate=TEXT.read(root.required("gate", "the grid"), "gate"),
        spec=Path(path).parent / _read(root, "spec", TEXT, SPEC),
        receiver=_read(root, "receiver", TEXT, RECEIVER),
        dtype=_read(root, "dtype", Choice(DTYPES), DTYPES[0]),
        ks=_distinct(root, "k", Integer(1, MAX_K), "k"),
        seeds=_distinct(root, "seeds", Integer(0, MAX_SEED), "a seed"),
        rows=tuple(_row(node, shared, names) for node in rows),
        places={**root.places, "rows": root.entries["rows"].value.position},
    )


def _row(node: document.Node, defaults: Section, names: dict[str, Position]) -> Row:
    section = document.as_section(node, "a row")
    at = section.required("name", "a row")
    name = " ".join(TEXT.read(at, "the row's name").split())
    if len(name) > LONGEST_NAME or not name.isprintable():
        document.refuse(at, "the row's name", f"at most {LONGEST_NAME} printable characters")
    if name in names:
        raise SpecError(
            at.position,
            f"the row {name!r} stands twice (first on line {names[name].line}); once is allowed",
        )
    names[name] = at.position
    own = {key: entry for key, entry in section.entries.items() if key != "name"}
    kept = {
        key: entry
        for key, entry in defaults.entries.items()
        if not any(key in ours and own.keys() & theirs for ours, theirs in EITHER)
    }
    return Row(name, recipe_of(Section({**kept, **own}, section.position)))


def _read(root: Section, key: str, kind: Kind, default: str) -> Any:
    node = root.get(key)
    return kind.read(node, key) if node else default


def _distinct(root: Section, key: str, kind: Integer, what: str) -> tuple[int, ...]:
    """A list of different numbers, at least one; a single number stands for itself."""
    node = root.required(key, "the grid")
    found: list[int] = []
    for item in (node,) if isinstance(node, document.Scalar) else document.as_items(node, key):
        value = kind.read(item, what)
        if value in found:
            raise SpecError(item.position, f"{key} holds {value} twice; once is allowed")
        found.append(value)
    if not found:
        raise SpecError(node.position, f"{key} is an empty list; at least one number is due")
    return tuple(found)


def gate_of(grid: Grid, spec: Spec) -> Gate:
    """Return the grid's gate, if its codecs can be compared under it.

    Raises:
        SpecError: at the grid's line that is at fault: the spec has no such gate, it does not
            allow a k, it injects no latents, lacks a condition that the table rests on, stops
            early, or the spec does not allow as many codecs on its test episodes.
    """
    place = grid.places["gate"]
    if grid.gate not in spec.gates:
        raise SpecError(place, f"gate {grid.gate[:60]!r}; {suggestion(grid.gate, spec.gates)}")
    gate = spec.gates[grid.gate]
    missing = [name for name in NEEDED if name not in gate_conditions(spec, gate.name)]
    if missing:
        raise SpecError(
            place,
            f"gate {gate.name} is not run under {', '.join(missing)}; allowed: a gate with the "
            f"conditions {', '.join(NEEDED)}, its required gates' included",
        )
    if gate.sequential is not None:
        raise SpecError(
            place,
            f"gate {gate.name} stops early (sequential), so its codecs would be compared on "
            "different episodes; allowed: a gate of a fixed n",
        )
    for k in grid.ks:
        if not declares(gate, k):
            listed = ", ".join(map(str, gate.family))
            raise SpecError(
                grid.places["k"], f"gate {gate.name} does not declare k={k}; allowed: {listed}"
            )
    _refuse_too_many(grid, spec)
    return gate


def _refuse_too_many(grid: Grid, spec: Spec) -> None:
    # every k counts: all of them are chosen among on the same episodes
    count = len(grid.rows) * len(grid.seeds) * len(grid.ks)
    allowed = spec.evaluation.checkpoints
    if count <= allowed:
        return
    at = spec.evaluation.places.get("checkpoints", Position(spec.file, 1, 1))
    raise SpecError(
        grid.places["rows"],
        f"{len(grid.rows)} rows with {len(grid.seeds)} seeds at {len(grid.ks)} k put {count} "
        f"codecs on the same test episodes, and {at.file}:{at.line} allows {allowed}; write "
        f"evaluation: {{checkpoints: {count}}} in a spec of the grid's own, with a task seed of "
        "its own: each verdict then pays for all of them",
    )
