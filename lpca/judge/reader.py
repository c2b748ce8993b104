"""What each kind of file of outcomes holds, and from rows to a table that a gate is decided from.

A table is paired: every row that lacks an outcome, has another than true or false or stands twice
is named.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from lpca.base.registry import suggestion
from lpca.evidence.files import is_evidence, parse_evidence
from lpca.evidence.json_form import EvidenceError
from lpca.evidence.model import Evidence
from lpca.gatespec.keys import EPISODES
from lpca.gatespec.model import CONDITIONS
from lpca.judge.marginals import Attempt, Marginals, attempts_of, is_counts, marginals_of
from lpca.judge.outcomes import OutcomeError, OutcomeTable, clipped, printable, shown

NAMES = ("seed", "episode")
STRATUM = "answers"
_STRATA = ("seen", "unseen")
_TRUE = frozenset({"1", "true"})
_FALSE = frozenset({"0", "false"})
_WHOLE = re.compile(r"(-?[0-9]+)\.0*")
_LONGEST_NUMBER = 18
_ABSENT = frozenset({"", "none", "null", "nan", "na"})


@dataclass(frozen=True)
class Row:
    """One episode as its file has it; `place` is how messages name it."""

    place: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """One gate's episodes at its k, and the validity checks that failed on them."""

    gate: str
    k: int | None
    table: OutcomeTable
    faults: tuple[str, ...]


Contents = OutcomeTable | Measured | Marginals | tuple[Attempt, ...]


def read_outcomes(path: str) -> Contents:
    """Read a .json, .jsonl, .csv or .parquet file of outcomes.

    A JSON file holds a list of rows, outcomes by condition and seed, counts by condition
    (`{"normal": [11, 50]}`), published `attempts`, or the evidence of a pytest run.

    Raises:
        OutcomeError: the file cannot be read or holds nothing that may be judged; the text
            begins with the file's name.
    """
    readers = {".json": _json, ".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}
    reader = readers.get(Path(path).suffix.lower())
    if reader is None:
        raise OutcomeError(f"{path}: unknown kind of file; allowed: {', '.join(readers)}")
    try:
        return reader(_bytes_of(path))
    except UnicodeDecodeError as error:
        raise OutcomeError(f"{path}: byte {error.start} is not UTF-8") from None
    except OutcomeError as error:
        raise OutcomeError(f"{path}: {error}") from None


def _bytes_of(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise OutcomeError(f"the file cannot be read ({reason})") from None


def _csv(data: bytes) -> OutcomeTable:
    lines = csv.reader(io.StringIO(data.decode("utf-8-sig")), strict=True)
    try:
        numbered = [(lines.line_num, cells) for cells in lines if cells]
    except csv.Error as error:
        raise OutcomeError(f"line {lines.line_num} is no CSV ({error})") from None
    if not numbered:
        raise OutcomeError("the file is empty; a line of column names is expected")
    names = [name.strip() for name in numbered[0][1]]
    _refuse_repeated(names)
    uneven = [f"line {line}" for line, cells in numbered[1:] if len(cells) != len(names)]
    if uneven:
        raise OutcomeError(f"{shown(uneven)}: not {len(names)} values, one per column")
    return table_of(
        [Row(f"line {line}", dict(zip(names, cells, strict=True))) for line, cells in numbered[1:]]
    )


def _refuse_repeated(names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        raise OutcomeError(f"a column stands twice among {shown(names)}; once is allowed")


def _jsonl(data: bytes) -> OutcomeTable:
    lines = data.decode("utf-8-sig").split("\n")
    rows = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            rows.append(_row(f"line {number}", _parsed(line, number)))
    return table_of(rows)


def _json(data: bytes) -> Contents:
    held = _parsed(data.decode("utf-8-sig"), 1)
    if isinstance(held, dict) and isinstance(held.get("attempts"), list):
        return attempts_of(held["attempts"])
    if is_evidence(held):
        return _measured(held)
    if isinstance(held, list):
        return table_of([_row(f"row {index}", row) for index, row in enumerate(held, start=1)])
    if isinstance(held, dict) and held and set(held) <= set(CONDITIONS):
        if not any(is_counts(value) for value in held.values()):
            return _by_condition(held)
        return marginals_of(held)
    raise OutcomeError(
        "this JSON holds no outcomes; allowed: a list of rows, outcomes by condition and seed, or "
        'counts such as {"normal": [11, 50]}'
    )


def _measured(held: Any) -> Measured:
    """What is judged again; the outcomes are those of the evidence's own score."""
    try:
        evidence = parse_evidence(held)
    except EvidenceError as error:
        raise OutcomeError(f"this evidence is damaged: {error}") from None
    faults = tuple(printable(f"{one.title}: {one.detail}") for one in evidence.failed_checks)
    return Measured(evidence.gate, evidence.k, table_of_evidence(evidence), faults)


def _by_condition(columns: Mapping[str, Mapping[str, Any]]) -> OutcomeTable:
    every = list(dict.fromkeys(seed for column in columns.values() for seed in column))
    for condition, column in columns.items():
        missing = [seed for seed in every if seed not in column]
        if missing:
            raise OutcomeError(
                f"{condition} has no outcome for seeds {shown(missing)}; every condition needs the "
                "same seeds"
            )
    rows = []
    for seed in every:
        own = {name: column[seed] for name, column in columns.items()}
        rows.append(Row(f"seed {seed}", {"seed": seed, **own}))
    return table_of(rows)


def _row(place: str, held: Any) -> Row:
    if not isinstance(held, dict):
        raise OutcomeError(f"{place} is no object; allowed: {{'seed': 1, 'normal': true, ...}}")
    return Row(place, held)


def _parsed(text: str, line: int) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        at = f"line {line + error.lineno - 1}, column {error.colno}"
        raise OutcomeError(f"{at} is no JSON ({error.msg})") from None
    except OutcomeError:
        raise
    except ValueError as error:
        raise OutcomeError(f"line {line} is no JSON ({error})") from None
    except RecursionError:
        raise OutcomeError("this JSON is nested too deeply to be outcomes") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise OutcomeError(
            f"the key {clipped(twice)!r} stands twice in one object; once is allowed"
        )
    return held


def _parquet(data: bytes) -> OutcomeTable:
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise OutcomeError("parquet files need pyarrow: pip install 'lpca[parquet]'") from None
    try:
        file = parquet.ParquetFile(arrow.BufferReader(data))
        _refuse_repeated(file.schema_arrow.names)
        if file.metadata.num_rows > EPISODES.high:
            raise OutcomeError(
                f"{file.metadata.num_rows} rows; allowed: at most {EPISODES.high}, one per episode"
            )
        held = file.read().to_pylist()
    except (arrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise OutcomeError(f"this is no parquet file ({clipped(reason)})") from None
    return table_of([Row(f"row {index}", row) for index, row in enumerate(held, start=1)])


def table_of(rows: Sequence[Row]) -> OutcomeTable:
    """Check rows and pair them.

    Each row has `seed` or `episode`, one outcome per condition (1, 0, true or false), and
    optionally `answers` (seen or unseen).

    Raises:
        OutcomeError: no rows, an unknown column, a missing outcome, a duplicated episode or an
            outcome that is not binary; the first few such rows are named.
    """
    if not rows:
        raise OutcomeError("there is no row; one per episode is expected")
    columns = list(dict.fromkeys(name for row in rows for name in row.values))
    key = _key(columns)
    conditions = [name for name in columns if name in CONDITIONS]
    _check_columns(columns, conditions)
    seeds = _seeds(rows, key)
    outcomes = {name: tuple(_outcomes(rows, name)) for name in conditions}
    answers = _answers(rows) if STRATUM in columns else None
    return OutcomeTable(seeds, outcomes, answers)


def _key(columns: Sequence[str]) -> str:
    given = [name for name in NAMES if name in columns]
    if len(given) != 1:
        raise OutcomeError(
            f"the columns are {shown(columns)}; exactly one of {' and '.join(NAMES)} is due"
        )
    return given[0]


def _check_columns(columns: Sequence[str], conditions: Sequence[str]) -> None:
    allowed = (*NAMES, STRATUM, *CONDITIONS)
    unknown = next((name for name in columns if name not in allowed), None)
    if unknown is not None:
        raise OutcomeError(
            f"unknown column {clipped(str(unknown))!r}; {suggestion(str(unknown), allowed)}"
        )
    if not conditions:
        raise OutcomeError(f"there is no column of outcomes; allowed: {', '.join(CONDITIONS)}")


def _seeds(rows: Sequence[Row], key: str) -> tuple[int | str, ...]:
    texts = [_name(row.values.get(key)) for row in rows]
    numbers = all(text.isdecimal() and len(text) <= _LONGEST_NUMBER for text in texts)
    if numbers:
        texts = [str(int(text)) for text in texts]
    places = [row.place for row in rows]
    if nameless := _where(texts, _ABSENT.__contains__, places):
        raise OutcomeError(f"no {key} in {shown(nameless)}; every row names its episode")
    twice = {text for text, count in Counter(texts).items() if count > 1}
    named = [f"{place} ({key} {text})" for place, text in zip(places, texts, strict=True)]
    if repeated := _where(texts, twice.__contains__, named):
        raise OutcomeError(f"duplicated episodes: {shown(repeated)}; one row each is allowed")
    return tuple(int(text) if numbers else text for text in texts)


def _name(value: Any) -> str:
    is_name = isinstance(value, str | int | float) and not isinstance(value, bool)
    return _text(value) if is_name else ""


def _outcomes(rows: Sequence[Row], condition: str) -> list[bool]:
    texts = [_text(row.values.get(condition)) for row in rows]
    if missing := _where(texts, _ABSENT.__contains__, [row.place for row in rows]):
        raise OutcomeError(
            f"no outcome under {condition} in {shown(missing)}; a paired claim needs every episode "
            "under every condition"
        )
    if wrong := _others(rows, texts, _TRUE | _FALSE):
        raise OutcomeError(
            f"{condition} is not binary in {shown(wrong)}; allowed: 1, 0, true, false"
        )
    return [text in _TRUE for text in texts]


def _answers(rows: Sequence[Row]) -> tuple[str, ...]:
    texts = [_text(row.values.get(STRATUM)) for row in rows]
    if wrong := _others(rows, texts, _STRATA):
        raise OutcomeError(f"{STRATUM} in {shown(wrong)}; allowed: {', '.join(_STRATA)}")
    return tuple(texts)


def _where(
    texts: Sequence[str], is_wrong: Callable[[str], bool], names: Sequence[str]
) -> list[str]:
    """The names of the rows whose text is wrong."""
    return [name for name, text in zip(names, texts, strict=True) if is_wrong(text)]


def _others(rows: Sequence[Row], texts: Sequence[str], allowed: Collection[str]) -> list[str]:
    """The rows whose text is none of those allowed, each with it."""
    pairs = zip(rows, texts, strict=True)
    named = [f"{row.place} ({clipped(text) or 'empty'})" for row, text in pairs]
    return _where(texts, lambda text: text not in allowed, named)


def _text(value: Any) -> str:
    """A cell as text: 1, 1.0, "1.0" and True read alike, as files of different kinds hold them."""
    text = "" if value is None else str(value).strip().lower()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def table_of_evidence(evidence: Evidence) -> OutcomeTable:
    """The outcomes of a run's episodes.

    Raises:
        OutcomeError: as for `table_of`.
    """
    rows = []
    for index, episode in enumerate(evidence.episodes, start=1):
        own = {name: found.success(evidence.score) for name, found in episode.outcomes.items()}
        values = {"seed": episode.seed, "answers": episode.answers, **own}
        rows.append(Row(f"episode {index}", values))
    return table_of(rows)
