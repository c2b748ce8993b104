"""Files of each format as rows or JSON, before anything is known of what they mean.

Whatever a file holds, what is read of it at once is bounded, nothing of it is run, and what is
wrong with it is one line.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

from lpca.gatespec.keys import EPISODES
from lpca.judge.outcomes import OutcomeError, clipped, shown
from lpca.judge.rows import KEYS, Row

LARGEST = 2**30
"""Bytes of a file that is read line by line; of a zip only parts are read."""
LARGEST_WHOLE = 2**27
"""Bytes of JSON that is read at once: as objects it may take forty times as much memory."""
LARGEST_PART = 2**25
"""Bytes of one line or of one file in a zip: a long transcript has some millions."""
_BOM = b"\xef\xbb\xbf"
_NOT_BLANK = re.compile(rb"\S")


def refuse_larger(data: bytes, kind: str) -> None:
    """Raise OutcomeError for more bytes than a file of this kind may have."""
    most = LARGEST if kind == ".jsonl" else LARGEST_WHOLE
    if len(data) > most:
        raise OutcomeError(f"the file has more than {most} bytes; that many of {kind} are allowed")


def kind_of(data: bytes, suffix: str) -> str:
    """The kind of a file, called by the end of its usual name.

    It shows in what the file begins with; the name decides only where that may be several things.

    Raises:
        OutcomeError: it is none of them.
    """
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
    is_row = any(isinstance(first.get(name), str | int) for name in (*KEYS, "doc_id"))
    return suffix == ".jsonl" or is_row or _NOT_BLANK.search(data, end) is not None


def csv_rows(data: bytes) -> Sequence[Row]:
    """The rows under the line of column names."""
    lines = csv.reader(io.StringIO(decoded(data)), strict=True)
    try:
        numbered = [(lines.line_num, cells) for cells in lines if cells]
    except csv.Error as error:
        raise OutcomeError(f"line {lines.line_num} is no CSV ({error})") from None
    if not numbered:
        raise OutcomeError("the file is empty; a line of column names is expected")
    names = [name.strip() for name in numbered[0][1]]
    try:
        _refuse_repeated(names)
    except OutcomeError as error:
        raise OutcomeError(f"line {numbered[0][0]}: {error}") from None
    uneven = [f"line {line}" for line, cells in numbered[1:] if len(cells) != len(names)]
    if uneven:
        raise OutcomeError(f"{shown(uneven)}: not {len(names)} values, one per column")
    return [
        Row(f"line {line}", dict(zip(names, cells, strict=True))) for line, cells in numbered[1:]
    ]


def decoded(data: bytes) -> str:
    """UTF-8 as text, without the mark that some programs put before it."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OutcomeError(f"byte {error.start} is not UTF-8") from None


def _refuse_repeated(names: Sequence[str]) -> None:
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        called = [repr(clipped(name)) if name else "without a name" for name in twice]
        raise OutcomeError(f"a column stands twice: {shown(called)}; once is allowed")


def json_lines(data: bytes) -> Iterator[tuple[str, Any]]:
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
            yield f"line {number}", parsed(text, number)


def parsed(text: str, line: int) -> Any:
    """JSON that begins in this line of its file; a key may stand once in an object."""
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        at = f"line {line + error.lineno - 1}, column {error.colno}"
        raise OutcomeError(f"{at} is no JSON ({error.msg})") from None
    except OutcomeError as error:
        # where an object of several lines begins is not known
        where = "" if "\n" in text.strip() else f"line {line}: "
        raise OutcomeError(f"{where}{error}") from None
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


def parquet_rows(data: bytes) -> Sequence[Row]:
    """The rows of a parquet file, which pyarrow reads."""
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
    except (arrow.ArrowException, OSError, ValueError) as error:  # the last: a name is no UTF-8
        reason = " ".join(str(error).split())
        raise OutcomeError(f"this is no parquet file ({clipped(reason)})") from None
    return [Row(f"row {index}", row) for index, row in enumerate(held, start=1)]
