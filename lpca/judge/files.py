"""Outcome files: what each kind holds."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from lpca.evidence import EvidenceError, is_evidence, parse_evidence
from lpca.gatespec.keys import EPISODES
from lpca.gatespec.model import CONDITIONS
from lpca.judge.attempts import Attempt, attempts_of
from lpca.judge.marginals import Marginals, is_counts, marginals_of
from lpca.judge.measured import Measured, measured_of
from lpca.judge.outcomes import OutcomeError, OutcomeTable, clipped, shown
from lpca.judge.rows import Row, table_of

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
    try:
        return measured_of(parse_evidence(held))
    except EvidenceError as error:
        raise OutcomeError(f"this evidence is damaged: {error}") from None


def _by_condition(columns: Mapping[str, Mapping[str, Any]]) -> OutcomeTable:
    every = list(dict.fromkeys(seed for column in columns.values() for seed in column))
    for condition, column in columns.items():
        missing = [seed for seed in every if seed not in column]
        if missing:
            raise OutcomeError(
                f"{condition} has no outcome for seeds {shown(missing)}; every condition needs the "
                "same seeds"
            )
    return table_of(
        [
            Row(f"seed {seed}", {"seed": seed, **{name: columns[name][seed] for name in columns}})
            for seed in every
        ]
    )


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
