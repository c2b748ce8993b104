"""A grid file: which codecs are compared, under which gate. Read here; measured elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lpca.base.arguments import DTYPES, MAX_K, MAX_SEED, RECEIVER, parse_codec
from lpca.base.errors import RequestError
from lpca.base.registry import suggestion
from lpca.codec.recipe import Recipe, recipe_of
from lpca.gate.plan import declares, gate_conditions
from lpca.gatespec import document
from lpca.gatespec.document import Section, SpecError
from lpca.gatespec.keys import VERSION
from lpca.gatespec.kinds import TEXT, Choice, Identifier, Integer, Kind
from lpca.gatespec.model import Gate, Position, Spec
from lpca.lab.summary import NEEDED

ONE_RUN = ("gate", "receiver")
KEYS = ("version", "runs", *ONE_RUN, "spec", "dtype", "k", "seeds", "defaults", "rows")
RUN_KEYS = ("name", *ONE_RUN, "rows")
SPEC = "gate_specs.yaml"
EXPECTED = "a mapping with version, gate, k, seeds, defaults and rows"
MAX_ROWS = 100
LONGEST_NAME = 60
_WHOLE, _STAGED = {"objective", "steps"}, {"curriculum"}
EITHER = ((_WHOLE, _STAGED), (_STAGED, _WHOLE))
"""A row that has one of the second takes none of the first from `defaults`."""


@dataclass(frozen=True)
class Row:
    """One line of the grid, by its name: a recipe, or a codec or channel of the user's own.

    Attributes:
        name: as the table has it.
        recipe: how lpca trains its codecs.
        channel: "package.module:factory" in place of a recipe; empty where lpca trains.
        ks: its own k; empty for the grid's.
    """

    name: str
    recipe: Recipe
    channel: str = ""
    ks: tuple[int, ...] = ()

    def content(self) -> dict[str, Any]:
        """What it is, for people and files."""
        return {"channel": self.channel} if self.channel else self.recipe.content()


@dataclass(frozen=True)
class Cell:
    """One codec of the grid: a row's recipe at a k, trained with a seed; or a user's own at a k."""

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

    `places` says by key where its value stands. A file with `runs` is a grid for each of them,
    which `run` names.
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
    run: str = ""

    @property
    def name(self) -> str:
        """The file's name without its ending, and its run's."""
        return "-".join(filter(None, [Path(self.file).stem, self.run]))

    def cells(self) -> list[Cell]:
        """Every codec, each row once before any a second time."""
        return sorted(self.in_order(), key=lambda cell: self.seeds.index(cell.seed))

    def in_order(self) -> list[Cell]:
        """Every codec, by k and row by row."""
        every = dict.fromkeys([*self.ks, *(k for row in self.rows for k in row.ks)])
        return [
            Cell(row, k, seed)
            for k in every
            for row in self.rows
            if k in (row.ks or self.ks)
            # a user's own is not trained here: it is the same whatever the seed
            for seed in (self.seeds[:1] if row.channel else self.seeds)
        ]


def read_grid(path: str | os.PathLike[str], run: str = "") -> Grid:
    """Read a grid file that has one run, or of several the one of a name.

    Raises:
        SpecError: as for `read_grids`.
        RequestError: there is no run of this name, or several and none is named.
    """
    grids = {grid.run: grid for grid in read_grids(path)}
    if not run and len(grids) == 1:
        return next(iter(grids.values()))
    if run not in grids:
        allowed = suggestion(run, list(filter(None, grids))) if any(grids) else "allowed: none"
        raise RequestError(f"{os.fspath(path)}: run {run[:40]!r}; {allowed}")
    return grids[run]


def read_grids(path: str | os.PathLike[str]) -> list[Grid]:
    """Read a grid file: one grid for each of its `runs`, or the one that it is.

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
    found = tuple(_row(node, shared, names) for node in rows)
    several = _runs(root)
    return [
        Grid(
            file=os.fspath(path),
            gate=TEXT.read(section.required("gate", what), "gate"),
            spec=Path(path).parent / _read(root, "spec", TEXT, SPEC),
            receiver=_read(section, "receiver", TEXT, RECEIVER),
            dtype=_read(root, "dtype", Choice(DTYPES), DTYPES[0]),
            ks=_distinct(root, "k", Integer(1, MAX_K), "k"),
            seeds=_distinct(root, "seeds", Integer(0, MAX_SEED), "a seed"),
            rows=found if section is root else _named_rows(section, found),
            places={
                **root.places,
                "rows": root.entries["rows"].value.position,
                **section.places,
            },
            run=name,
        )
        for name, section in (several or {"": root}).items()
        for what in ["a run" if name else "the grid"]
    ]


def _runs(root: Section) -> dict[str, Section]:
    """Each run by its name; none where the file is one grid."""
    node = root.get("runs")
    if node is None:
        return {}
    items = document.as_items(node, "runs")
    if not items:
        raise SpecError(node.position, "runs is an empty list; at least one run is due")
    for key in ONE_RUN:
        if key in root.entries:
            raise SpecError(
                root.entries[key].value.position,
                f"{key} stands beside runs; allowed: in each run",
            )
    found: dict[str, Section] = {}
    for item in items:
        section = document.as_section(item, "a run")
        section.check_keys("a run", RUN_KEYS)
        at = section.required("name", "a run")
        name = Identifier().read(at, "the run's name")
        if name in found:
            raise SpecError(at.position, f"the run {name} stands twice; once is allowed")
        found[name] = section
    return found


def _named_rows(section: Section, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """The rows that a run names, in the grid's order; all of them where it names none."""
    if (node := section.get("rows")) is None:
        return rows
    names = [row.name for row in rows]
    wanted = [
        " ".join(TEXT.read(item, "a row's name").split())
        for item in document.as_items(node, "rows")
    ]
    if strange := [name for name in wanted if name not in names]:
        raise SpecError(
            node.position, f"the row {strange[0][:60]!r}; {suggestion(strange[0], names)}"
        )
    if not wanted:
        raise SpecError(node.position, "rows is an empty list; at least one row is due")
    return tuple(row for row in rows if row.name in wanted)


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
    if "channel" in own:
        return _own_row(name, section)
    kept = {
        key: entry
        for key, entry in defaults.entries.items()
        if not any(key in ours and own.keys() & theirs for ours, theirs in EITHER)
    }
    return Row(name, recipe_of(Section({**kept, **own}, section.position)))


def _own_row(name: str, section: Section) -> Row:
    """A row of a codec or channel of the user's own."""
    for key, entry in section.entries.items():
        if key not in ("name", "channel", "k"):
            raise SpecError(
                entry.key.position,
                f"{key} stands beside channel, which lpca does not train; allowed: name and k",
            )
    node = section.required("channel", "a row")
    text = TEXT.read(node, "channel")
    try:
        parse_codec(text)
    except RequestError:
        document.refuse(node, "channel", "package.module:factory")
    ks = _distinct(section, "k", Integer(1, MAX_K), "k") if section.get("k") else ()
    return Row(name, Recipe(), text, ks)


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
    for cell in grid.cells():
        if not declares(gate, cell.k):
            listed = ", ".join(map(str, gate.family))
            raise SpecError(
                grid.places["k"],
                f"gate {gate.name} does not declare k={cell.k}; allowed: {listed}",
            )
    _refuse_too_many(grid, spec)
    return gate


def _refuse_too_many(grid: Grid, spec: Spec) -> None:
    # every k counts: all of them are chosen among on the same episodes
    count = len(grid.cells())
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
