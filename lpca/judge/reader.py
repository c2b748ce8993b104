"""What a file of outcomes holds: a table, a run's evidence, counts, or a log of another harness.

What kind of file it is shows in what it begins with; its name decides only where that could be
several things.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

from lpca.base.registry import declared
from lpca.evidence.files import is_evidence, parse_evidence
from lpca.evidence.json_form import EvidenceError
from lpca.evidence.model import Evidence
from lpca.gatespec.keys import EPISODES
from lpca.gatespec.model import CONDITIONS
from lpca.judge.logs import (
    LARGEST_PART,
    LARGEST_WHOLE,
    inspect_rows,
    inspect_samples,
    is_inspect,
    is_lm_eval,
    lm_eval_rows,
    metric_of,
    zipped_rows,
)
from lpca.judge.marginals import Attempt, Marginals, attempts_of, is_counts, marginals_of
from lpca.judge.outcomes import OutcomeError, OutcomeTable, clipped, printable, shown
from lpca.judge.rows import (
    CONDITION,
    GROUP,
    KEYS,
    OUTCOME,
    REPEAT,
    STRATUM,
    Reading,
    Row,
    table_of,
)

LARGEST = 2**30
"""Bytes of a file that is read line by line; of a zip only parts are read."""
_BOM = b"\xef\xbb\xbf"
_NOT_BLANK = re.compile(rb"\S")


@dataclass(frozen=True)
class Measured:
    """One gate's episodes at its k, as a run's evidence has them.

    Attributes:
        gate: its name.
        k: the number of latents; None where none are injected.
        table: the outcomes.
        faults: the validity checks that failed, and what the evidence contradicts itself in.
        unchecked: the validity checks that were not carried out.
        spec: the hash of the spec that the run was judged by.
        explored: whether the episodes are validation's, on which nothing is decided.
    """

    gate: str
    k: int | None
    table: OutcomeTable
    faults: tuple[str, ...]
    unchecked: tuple[str, ...]
    spec: str
    explored: bool = False


@dataclass(frozen=True)
class Rows:
    """The rows of a table, or of a log of one condition that `harness` wrote."""

    rows: Sequence[Row]
    harness: str | None = None


Contents = OutcomeTable | Measured | Marginals | tuple[Attempt, ...]
_Held = Rows | Evidence | Marginals | tuple[Attempt, ...]


def read_outcomes(path: str, reading: Reading | None = None) -> Contents:
    """Read a file of outcomes.

    It holds a table in wide or in long form (CSV, JSON lines, JSON, parquet), outcomes by
    condition and seed, counts by condition (`{"normal": [11, 50]}`), published `attempts`, or a
    run's evidence; or it is a harness's log with a metric for each condition.

    Args:
        path: the file's.
        reading: what its columns are called, and whether its outcomes are marks.

    Raises:
        OutcomeError: the file cannot be read or holds nothing that may be judged; the text
            begins with the file's name.
    """
    reading = reading or Reading()
    with _named(path):
        held = _held(path, reading)
        if isinstance(held, Evidence):
            return _measured(held)
        if not isinstance(held, Rows):
            return held
        if held.harness and not set(reading.names) & set(CONDITIONS):
            raise OutcomeError(
                f"this log of {held.harness} is of one condition; allowed: a file for each, as "
                "--as normal=FILE --as p0=FILE"
            )
        return table_of(held.rows, reading)


def read_conditions(files: Mapping[str, str], reading: Reading | None = None) -> OutcomeTable:
    """Read one file for each condition, and align them by their episodes.

    Args:
        files: by condition its file: a table, or a harness's log.
        reading: as for `read_outcomes`; `reading.metric`, or what `reading.names` has for a
            condition, is the column of its outcomes.

    Raises:
        OutcomeError: as for `read_outcomes`; or an episode is not in every file, or is another
            one: of another group, or with another right answer.
    """
    reading = reading or Reading()
    rows: list[Row] = []
    answers: dict[str, tuple[str, str]] = {}
    for condition, path in files.items():
        own = replace(reading, tell=_prefixed(path, reading.tell))
        with _named(path):
            held = _held(path, own)
            if not isinstance(held, Rows):
                raise OutcomeError(
                    f"for {condition} a table or a log is due, not evidence or counts"
                )
            rows += _of_condition(condition, path, held, own)
            for row in held.rows:
                _refuse_other_answer(row, condition, answers)
    return table_of(_filled(rows), Reading(graded=reading.graded))


def _prefixed(path: str, tell: Callable[[str], None]) -> Callable[[str], None]:
    return lambda text: tell(f"{path}: {text}")


def _filled(rows: Sequence[Row]) -> Sequence[Row]:
    """What one file alone says of an episode, its group or stratum, goes for its others too."""
    known: dict[int | str, dict[str, Any]] = {}
    for row in rows:
        about = {role: row.values[role] for role in (GROUP, STRATUM) if role in row.values}
        known.setdefault(row.values["episode"], {}).update(about)
    return [Row(row.place, {**known[row.values["episode"]], **row.values}) for row in rows]


def _of_condition(condition: str, path: str, held: Rows, reading: Reading) -> Iterator[Row]:
    """One file's rows in long form."""
    others = {role: name for role, name in reading.names.items() if role not in CONDITIONS}
    others.pop(OUTCOME, None)
    column = _outcome_column(condition, held, reading)
    table = table_of(held.rows, replace(reading, names={**others, condition: column}))
    if spare := [name for name in table.outcomes if name != condition]:
        reading.tell(f"columns left alone: {shown(spare)}")
    about = {GROUP: table.groups, STRATUM: table.answers, REPEAT: table.repeats}
    for index, seed in enumerate(table.seeds):
        own = {name: column[index] for name, column in about.items() if column is not None}
        outcome = table.outcomes[condition][index]
        yield Row(path, {"episode": seed, CONDITION: condition, OUTCOME: outcome, **own})


def _outcome_column(condition: str, held: Rows, reading: Reading) -> str:
    """The column of a file of one condition that holds its outcomes."""
    asked = reading.names.get(condition, reading.metric)
    if held.harness:
        given = [name for role, name in reading.names.items() if role not in CONDITIONS]
        return metric_of(held.rows, asked, given)
    names = dict.fromkeys(name for row in held.rows for name in row.values)
    if CONDITION in names and OUTCOME in names:
        raise OutcomeError(f"it has a column {CONDITION}: allowed as the only file, without --as")
    for name in (asked, reading.names.get(OUTCOME)):
        if name is not None:
            return name
    for name in (OUTCOME, condition):
        if name in names:
            return name
    raise OutcomeError(
        f"its columns are {shown(list(names))}; outcomes of {condition} are due under {OUTCOME} or "
        f"{condition}, or under another column with --metric COLUMN"
    )


def _refuse_other_answer(row: Row, condition: str, answers: dict[str, tuple[str, str]]) -> None:
    """Raise OutcomeError where two logs have one id for documents with different answers."""
    if row.answer is None:
        return
    name = str(row.values["episode"])
    before, answer = answers.setdefault(name, (condition, row.answer))
    if answer != row.answer:
        raise OutcomeError(
            f"{row.place}: the target of episode {clipped(name)} is {clipped(row.answer)}, under "
            f"{before} {clipped(answer)}; allowed: logs of the same documents"
        )


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except OutcomeError as error:
        raise OutcomeError(f"{path}: {error}") from None


def _held(path: str, reading: Reading) -> _Held:
    extra = [name for role, name in reading.names.items() if role not in (*CONDITIONS, OUTCOME)]
    suffix = Path(path).suffix.lower()
    try:
        with Path(path).open("rb") as file:
            if suffix == ".eval" or file.peek(4).startswith(b"PK\3\4"):
                status, rows = zipped_rows(path, _parsed, extra)
                return _of_inspect(status, rows, reading)
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise OutcomeError(f"the file cannot be read ({reason})") from None
    kind = _kind(data, suffix)
    _refuse_larger(data, LARGEST if kind == ".jsonl" else LARGEST_WHOLE, kind)
    if kind == ".json":
        return _json(data, extra, reading)
    if kind == ".jsonl":
        return _jsonl(data, extra)
    return Rows(_csv(data) if kind == ".csv" else _parquet(data))


def _refuse_larger(data: bytes, most: int, kind: str) -> None:
    if len(data) > most:
        raise OutcomeError(f"the file has more than {most} bytes; that many of {kind} are allowed")


def _kind(data: bytes, suffix: str) -> str:
    """The kind of a file, called by the end of its usual name."""
    kinds = (".json", ".jsonl", ".csv", ".parquet")
    found = _NOT_BLANK.search(data, len(_BOM) if data.startswith(_BOM) else 0)
    start = found.start() if found else len(data)
    if data.startswith(b"PAR1", start):
        return ".parquet"
    if data.startswith(b"[", start):
        return ".json"
    if data.startswith(b"{", start):
        return ".jsonl" if _has_json_lines(data, start, suffix) else ".json"
    header = data[start : start + LARGEST_PART].partition(b"\n")[0].split(b",")
    if {name.strip() for name in header} & {name.encode() for name in KEYS}:
        return ".csv"
    if suffix in kinds:
        return suffix
    raise OutcomeError(f"unknown kind of file; allowed: {', '.join((*kinds, '.eval'))}")


def _has_json_lines(data: bytes, start: int, suffix: str) -> bool:
    """Whether the first line is an object by itself, and a row or followed by more."""
    end = data.find(b"\n", start) + 1 or len(data)
    try:
        first = json.loads(data[start:end]) if end - start <= LARGEST_PART else None
    except (ValueError, RecursionError):
        first = None
    if not isinstance(first, dict):
        return suffix == ".jsonl"
    # of a table by column, as pandas writes it, an episode's key is an object
    is_row = is_lm_eval(first) or any(isinstance(first.get(name), str | int) for name in KEYS)
    return suffix == ".jsonl" or is_row or _NOT_BLANK.search(data, end) is not None


def _csv(data: bytes) -> Sequence[Row]:
    lines = csv.reader(io.StringIO(_decoded(data)), strict=True)
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
    return [
        Row(f"line {line}", dict(zip(names, cells, strict=True))) for line, cells in numbered[1:]
    ]


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OutcomeError(f"byte {error.start} is not UTF-8") from None


def _refuse_repeated(names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        raise OutcomeError(f"a column stands twice among {shown(names)}; once is allowed")


def _jsonl(data: bytes, extra: Sequence[str]) -> Rows:
    records = _lines(data)
    first = next(records, None)
    if first is None:
        return Rows(())
    if is_lm_eval(first[1]):
        return Rows(lm_eval_rows(chain([first], records), extra), "lm-evaluation-harness")
    return Rows([_row(place, held) for place, held in chain([first], records)])


def _lines(data: bytes) -> Iterator[tuple[str, Any]]:
    """Each line's place and content, one after the other: a log may be larger than its rows."""
    for number, line in enumerate(io.BytesIO(data.removeprefix(_BOM)), start=1):
        if len(line) > LARGEST_PART:
            raise OutcomeError(
                f"line {number} has more than {LARGEST_PART} bytes; that many are allowed"
            )
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise OutcomeError(f"line {number}: byte {error.start} is not UTF-8") from None
        if text.strip():
            yield f"line {number}", _parsed(text, number)


def _json(data: bytes, extra: Sequence[str], reading: Reading) -> _Held:
    held = _parsed(_decoded(data), 1)
    if isinstance(held, dict) and isinstance(held.get("attempts"), list):
        return attempts_of(held["attempts"])
    if is_evidence(held):
        try:
            return parse_evidence(held)
        except EvidenceError as error:
            raise OutcomeError(f"this evidence is damaged: {error}") from None
    if is_inspect(held):
        rows = inspect_rows(inspect_samples(held), extra)
        return _of_inspect(str(held["status"]), rows, reading)
    if isinstance(held, list):
        numbered = [(f"row {index}", row) for index, row in enumerate(held, start=1)]
        if held and is_lm_eval(held[0]):
            return Rows(lm_eval_rows(numbered, extra), "lm-evaluation-harness")
        return Rows([_row(place, row) for place, row in numbered])
    if isinstance(held, dict) and held and set(held) <= set(CONDITIONS):
        if not any(is_counts(value) for value in held.values()):
            return Rows(_by_condition(held))
        return marginals_of(held)
    if isinstance(held, dict) and any(isinstance(held.get(name), dict) for name in KEYS):
        return Rows(_by_column(held))
    raise OutcomeError(
        "this JSON holds no outcomes; allowed: a list of rows, outcomes by condition and seed, or "
        'counts such as {"normal": [11, 50]}'
    )


def _of_inspect(status: str, rows: Sequence[Row], reading: Reading) -> Rows:
    if status != "success":
        reading.tell(f"the run of inspect_ai did not succeed: its status is {clipped(status)}")
    return Rows(rows, "inspect_ai")


def _by_condition(columns: Mapping[str, Mapping[str, Any]]) -> Sequence[Row]:
    return [
        Row(f"{name} of seed {clipped(seed)}", {"seed": seed, CONDITION: name, OUTCOME: value})
        for name, column in columns.items()
        for seed, value in column.items()
    ]


def _by_column(columns: Mapping[str, Mapping[str, Any]]) -> Sequence[Row]:
    """As pandas writes a table in JSON: by column, and there by the index of the row."""
    if not all(isinstance(column, dict) for column in columns.values()):
        raise OutcomeError("a column is no object as the others are; allowed: all by index")
    rows = dict.fromkeys(index for column in columns.values() for index in column)
    return [
        Row(f"row {clipped(index)}", {name: column.get(index) for name, column in columns.items()})
        for index in rows
    ]


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


def _parquet(data: bytes) -> Sequence[Row]:
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
    return [Row(f"row {index}", row) for index, row in enumerate(held, start=1)]


def _measured(evidence: Evidence) -> Measured:
    faults = [printable(f"{one.title}: {one.detail}") for one in evidence.failed_checks]
    done = {check.id for check in evidence.checks}
    return Measured(
        evidence.gate,
        evidence.k,
        table_of_evidence(evidence),
        (*faults, *contradictions(evidence)),
        tuple(name for name in declared("lpca.validity.checks") if name not in done),
        evidence.hashes.spec,
        bool(evidence.split),
    )


def contradictions(evidence: Evidence) -> Iterator[str]:
    """Outcomes that are not what their own scores say: the right option alone has the highest."""
    for name in evidence.conditions or {}:
        wrong = []
        for episode in evidence.episodes:
            found = episode.outcomes.get(name)
            if found is None or episode.answer is None or not found.scores:
                continue
            best = [i for i, score in enumerate(found.scores) if score >= max(found.scores)]
            if found.likelihood != (best == [episode.answer]):
                wrong.append(episode.seed)
        if wrong:
            yield f"outcomes under {name} are not what their scores say: episodes {shown(wrong)}"


def table_of_evidence(evidence: Evidence) -> OutcomeTable:
    """The outcomes of a run's episodes.

    Raises:
        OutcomeError: as for `table_of`.
    """
    groups = {one.seed: one.shared for one in evidence.episodes}
    rows = []
    for index, episode in enumerate(evidence.episodes, start=1):
        own = {name: found.success(evidence.score) for name, found in episode.outcomes.items()}
        about = {} if episode.shared is None else {GROUP: episode.shared}
        values = {"seed": episode.seed, STRATUM: episode.answers, **about, **own}
        rows.append(Row(f"episode {index}", values))
    table = table_of(rows, Reading(graded=evidence.score == "graded"))
    donors = tuple(one.donor for one in evidence.episodes)
    if table.groups is None:
        return replace(table, donors=donors)
    # older evidence does not keep the group of a donor that is none of its episodes
    donor_groups = (
        one.donor_group or groups.get(one.donor) or f"episode {one.donor}"
        for one in evidence.episodes
    )
    return replace(table, donors=donors, donor_groups=tuple(donor_groups))
