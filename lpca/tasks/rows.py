"""Rows of a user's episodes: a table, read row by row or refused at a line and column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from lpca.base.registry import suggestion
from lpca.base.tables import (
    KINDS,
    Fault,
    Limits,
    Record,
    Source,
    TableError,
    clipped,
    records,
    shown_source,
)
from lpca.tasks import TaskError, message_key
from lpca.tasks.fields import PLAIN, Columns, Row, WrongFieldError, row_of

MAX_BYTES, MAX_LINE, MAX_ROWS = 64 * 2**20, 256 * 2**10, 100_000
FIRST = 5
"""How many faulty rows are told with their places."""


@dataclass(frozen=True)
class Read:
    """A table as it was read: the rows, what is wrong with the others, and how many all are."""

    source: Source
    rows: tuple[Row, ...]
    faults: tuple[Fault, ...]
    count: int
    records: tuple[Record, ...]
    """By row what it was read from."""

    @property
    def complaint(self) -> str:
        """What is wrong, a line each for the first few; empty where nothing is."""
        name = shown_source(self.source)
        told = [f"{name}:{fault}" for fault in self.faults[:FIRST]]
        if len(self.faults) < 2:
            return "".join(told)
        lead = f"{name}: {len(self.faults)} of {self.count} rows cannot be read"
        more = f"; the first {FIRST}" if len(self.faults) > FIRST else ""
        return "\n".join([f"{lead}{more}:", *told])


def read_rows(source: Source, columns: Columns = PLAIN) -> list[Row]:
    """Read a table of episodes: every row of it, or none.

    Args:
        source: a JSONL, CSV or Parquet file by its path, or a data set as `source_at` names it.
        columns: which of its columns are the fields.

    Raises:
        TaskError: it cannot be read, or rows are not as they must be; the text says how many, and
            of the first five `FILE:LINE:COLUMN`, what is wrong and what is allowed.

    Example:
        >>> rows = read_rows(Path("trips.csv"), Columns({"message": "text", "answer": "city",
        ...     "question": "asked"}))  # doctest: +SKIP
    """
    read = look_at_rows(source, columns)
    if read.faults:
        _refuse(read.complaint)
    if not read.rows:
        _refuse(f"{shown_source(source)}: the file holds no episode; allowed: {KINDS}")
    return list(read.rows)


def look_at_rows(source: Source, columns: Columns = PLAIN) -> Read:
    """Read a table of episodes, the faulty rows beside the others.

    Args:
        source: as for `read_rows`.
        columns: as for `read_rows`.

    Raises:
        TaskError: the table itself cannot be read, has too many rows, or lacks a column that is
            mapped.
    """
    rows, kept, faults, count = list[Row](), list[Record](), list[Fault](), 0
    seen: dict[tuple[str, ...], int] = {}
    groups: dict[str, tuple[str, int]] = {}
    lacked, columns_there = set(columns.named()), dict[str, None]()
    try:
        for record in records(source, Limits(MAX_BYTES, MAX_LINE, MAX_ROWS)):
            count += 1
            if count > MAX_ROWS:
                at = record.place[0] if isinstance(record, Fault) else record.line
                _refuse(f"{shown_source(source)}:{at}: too many rows; allowed: at most {MAX_ROWS}")
            if isinstance(record, Fault):
                faults.append(record)
                continue
            columns_there.update(dict.fromkeys(map(str, record.held)))
            lacked &= columns.lacked_by(record.held) if lacked else lacked
            try:
                row = row_of(record, columns)
                _refuse_repeats(row, seen, groups)
                _refuse_other_senders(row, rows[0] if rows else row)
            except WrongFieldError as wrong:
                faults.append(Fault(str(wrong), record.place(columns.column(wrong.name))))
            else:
                rows.append(row)
                kept.append(record)
    except TableError as error:
        _refuse(str(error))
    if lacked and columns_there:
        name, path = next(one for one in columns.named() if one in lacked)
        raise TaskError(
            f"map reads {name} from {clipped(path)}, which no row of {shown_source(source)} has; "
            f"{suggestion(path, columns_there)}",
            "map",
        )
    return Read(source, tuple(rows), tuple(faults), count, tuple(kept))


def _refuse(text: str) -> NoReturn:
    raise TaskError(text, "file")


def _refuse_repeats(
    row: Row,
    seen: dict[tuple[str, ...], int],
    groups: dict[str, tuple[str, int]],
) -> None:
    key = message_key(row.message)
    before = seen.setdefault((key, *row.context), row.line)
    if before != row.line:
        raise WrongFieldError(
            f"message and context are those of line {before}; allowed: each pair once"
        )
    group, line = groups.setdefault(key, (row.group, row.line))
    if group != row.group:
        raise WrongFieldError(
            f"group is {clipped(row.group)}, on line {line} the same message has "
            f"{clipped(group)}; allowed: one group for one message"
        )


def _refuse_other_senders(row: Row, first: Row) -> None:
    """A channel of several senders has as many in every row, each with a slot or all with one."""
    forms = [(max(1, len(one.senders)), len(one.between) + 1) for one in (row, first)]
    if forms[0] != forms[1]:
        own, other = (f"{texts} sender(s) and {slots} slot(s)" for texts, slots in forms)
        raise WrongFieldError(f"{own}, on line {first.line} {other}; allowed: as many in every row")


def stands_in(answer: str, text: str) -> bool:
    """Whether an answer stands in a text as whole words."""
    if answer.casefold() not in text.casefold():
        return False
    return _pattern([answer]).search(text) is not None


def places_of(options: Sequence[str], text: str) -> list[tuple[int, int, int]]:
    """Where options stand in a text: start, end and which; within a longer one none counts."""
    names = {option.casefold(): index for index, option in enumerate(options)}
    return [
        (*found.span(), names[found.group().casefold()])
        for found in _pattern(options).finditer(text)
        if found.group().casefold() in names
    ]


def without_lists(options: Sequence[str], text: str) -> tuple[str, ...] | None:
    """Return what is left around every list of all options in a text; None without one."""
    found = lists_in(options, text)
    ends = [0, *(end for stretch in found for end in stretch), len(text)]
    return tuple(text[a:b] for a, b in zip(ends[::2], ends[1::2], strict=True)) if found else None


def lists_in(options: Sequence[str], text: str, begin: int = 0) -> list[tuple[int, int]]:
    """Return where every list of all options stands in a text, in order: its start and its end.

    A list is the shortest stretch that holds every option, however it is written.
    """
    stretch = _shortest(places_of(options, text), len(options))
    if stretch is None:
        return []
    start, stop = stretch
    rest = lists_in(options, text[stop:], begin + stop)
    return [*lists_in(options, text[:start], begin), (begin + start, begin + stop), *rest]


def with_lists_rotated(options: Sequence[str], text: str, by: int) -> str:
    """Return a text in whose lists of all options each stands so many places further on.

    Only the options change places: what numbers them stays where it is.

    Example:
        >>> with_lists_rotated(["Oslo", "Rome", "Bern"], "Rome: a) Oslo, b) Rome or c) Bern?", 1)
        'Rome: a) Bern, b) Oslo or c) Rome?'
    """
    pieces, last = list[str](), 0
    for start, stop in lists_in(options, text):
        places = [(start + a, start + b, one) for a, b, one in places_of(options, text[start:stop])]
        order = list(dict.fromkeys(one for _, _, one in places))
        for a, b, one in places:
            pieces += [text[last:a], options[order[(order.index(one) - by) % len(order)]]]
            last = b
    return "".join([*pieces, text[last:]])


def _shortest(places: Sequence[tuple[int, int, int]], count: int) -> tuple[int, int] | None:
    best: tuple[int, int] | None = None
    last: dict[int, int] = {}
    for start, stop, which in places:
        last[which] = start
        if len(last) == count:
            first = min(last.values())
            if best is None or stop - first < best[1] - best[0]:
                best = (first, stop)
    return best


def _pattern(options: Sequence[str]) -> re.Pattern[str]:
    """Of options none begins another, so that the leftmost one is the longest."""
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, options))})(?!\w)", re.IGNORECASE)
