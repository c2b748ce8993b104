"""Tables of a user's: JSON lines, CSV, Parquet, or a data set of Hugging Face's, row by row.

Each row knows where its columns stand, so that whatever is wrong with it is said at a place. What
is read at once is bounded, and nothing of a file is run.
"""

from __future__ import annotations

import csv
import io
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from lpca.base.errors import RequestError
from lpca.base.files import missing, touching

HUB = "hf:"
"""How the name of a data set begins that Hugging Face's `datasets` reads."""
KINDS = "a JSONL, CSV or Parquet file, or hf:NAME[@REVISION][:[CONFIGURATION/]SPLIT]"
BATCH = 1024
SECONDS = 3.0
"""How long the Hub may take to say whether it has a data set."""
SHOWN, _LONGEST_PATH = 60, 200
_HUB = re.compile(
    r"(?P<name>[\w./~-]+)(?:@(?P<revision>[\w./-]+))?(?::(?:(?P<config>[\w.-]+)/)?(?P<split>[\w.-]+))?"
)
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_BLANK = re.compile(r"[ \t\r\n]*")
Place = tuple[int, int | str]
"""A row's line, or its number where there are no lines, and a column: of characters, or a name."""


class TableError(RequestError):
    """A table cannot be read at all."""


class Fault(Exception):  # noqa: N818 - it is collected, and told with the others
    """What is wrong at one place of a table, and what is allowed there.

    Args:
        text: without the place.
        place: where.
    """

    def __init__(self, text: str, place: Place) -> None:
        super().__init__(text)
        self.place = place

    def __str__(self) -> str:
        return f"{self.place[0]}:{self.place[1]}: {self.args[0]}"


@dataclass(frozen=True)
class Record:
    """One row: its line (from 1 on), what it holds by column, and where a column's value stands."""

    line: int
    held: Mapping[str, Any]
    find: Callable[[str], Place]

    def place(self, column: str = "") -> Place:
        """Where the value of a column stands; the row's begin where that is not known."""
        return self.find(column) if column in self.held else (self.line, 1)


@dataclass(frozen=True)
class Hub:
    """A data set of Hugging Face's: its name or a folder, and which part of it."""

    name: str
    revision: str | None
    config: str | None
    split: str | None

    def __str__(self) -> str:
        version = f"@{self.revision}" if self.revision else ""
        return f"{HUB}{self.name}{version}"


@dataclass(frozen=True)
class Limits:
    """The most bytes of a file, the most bytes of one line of JSON, the most rows."""

    file: int
    line: int
    rows: int


Source = Path | Hub


def source_at(written: str, folder: Path) -> Source:
    """Return the table that a text names.

    Args:
        written: a path from `folder`, or `hf:NAME[@REVISION][:[CONFIGURATION/]SPLIT]`, where NAME
            may be a path that begins with a point.
        folder: of the file that names it.

    Raises:
        TableError: it begins with `hf:` and names no data set.

    Example:
        >>> source_at("hf:org/name@main:validation", Path("own"))
        Hub(name='org/name', revision='main', config=None, split='validation')
        >>> str(source_at("rows.csv", Path("own")))
        'own/rows.csv'
    """
    if not written.startswith(HUB):
        return folder / written
    found = _HUB.fullmatch(written.removeprefix(HUB))
    if found is None:
        raise TableError(f"{clipped(written)} names no data set; allowed: {KINDS}")
    held = found.groupdict()
    if held["name"].startswith((".", "/")):
        held["name"] = str(folder / held["name"])
    return Hub(**held)


def shown_source(source: Source) -> str:
    """A table's name as a message shows it: printable, and its end where it is long."""
    text = str(source) if str(source).isprintable() else ascii(str(source))
    return text if len(text) <= _LONGEST_PATH else "..." + text[-_LONGEST_PATH:]


def clipped(value: Any) -> str:
    """A value as a message repeats it."""
    text = ascii(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def records(source: Source, limits: Limits) -> Iterator[Record | Fault]:
    """Yield a table's rows in their order; what cannot be read as a row is yielded as its fault.

    Raises:
        TableError: the table cannot be read; the text begins with its name.
    """
    if isinstance(source, Hub):
        yield from _of_hub(source)
        return
    data = _bytes_of(source, limits.file)
    suffix = source.suffix.lower()
    if suffix == ".parquet":
        yield from _of_parquet(data, shown_source(source), limits)
    elif suffix in _DELIMITERS:
        yield from _of_csv(data, shown_source(source), _DELIMITERS[suffix])
    else:
        yield from _of_json_lines(data, limits.line)


def table_bytes(rows: Sequence[Mapping[str, Any]], like: Path) -> bytes:
    """Return rows as a file of the same kind as another one, with its columns.

    Args:
        rows: what each holds by column, as `records` has it.
        like: a file that `records` reads.
    """
    suffix = like.suffix.lower()
    if suffix == ".parquet":
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
        stream = io.BytesIO()
        schema = parquet.read_schema(like)
        parquet.write_table(arrow.Table.from_pylist(list(rows), schema=schema), stream)
        return stream.getvalue()
    if suffix in _DELIMITERS:
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=_DELIMITERS[suffix], lineterminator="\n")
        if rows:
            writer.writerows([list(rows[0]), *(list(row.values()) for row in rows)])
        return text.getvalue().encode()
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def value_at(held: Mapping[str, Any], path: str) -> Any:
    """Return what stands under a dotted path, of a list what stands there in each of its entries.

    Raises:
        LookupError: there is nothing.

    Example:
        >>> value_at({"answers": {"text": ["Oslo"]}}, "answers.text")
        ['Oslo']
        >>> value_at({"choices": [{"text": "a"}, {"text": "b"}]}, "choices.text")
        ['a', 'b']
    """
    if path in held:
        return held[path]
    first, _, rest = path.partition(".")
    if not rest:
        raise LookupError(path)
    inner = held[first]
    if isinstance(inner, list) and all(isinstance(one, Mapping) for one in inner):
        return [value_at(one, rest) for one in inner]
    if not isinstance(inner, Mapping):
        raise LookupError(path)
    return value_at(inner, rest)


def _refuse(name: str, text: str) -> NoReturn:
    raise TableError(f"{name}: {text}")


def _bytes_of(path: Path, most: int) -> bytes:
    name = shown_source(path)
    try:
        if path.exists() and not path.is_file():
            _refuse(name, f"this is no file; allowed: {KINDS}")
        touching("read", path)
        with path.open("rb") as stream:
            data = stream.read(most + 1)
    except FileNotFoundError:
        _refuse(name, f"{missing(path)}; allowed: {KINDS}, by its path from the spec")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        _refuse(name, f"the file cannot be read ({reason})")
    if len(data) > most:
        _refuse(name, f"the file is too large; allowed: at most {most} bytes")
    return data.removeprefix(b"\xef\xbb\xbf")


def _of_json_lines(data: bytes, most: int) -> Iterator[Record | Fault]:
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            if len(line) > most:
                raise Fault(f"{len(line)} bytes in one line; allowed: at most {most}", (number, 1))
            held, text = _parsed(line, number)
        except Fault as fault:
            yield fault
            continue

        def find(column: str, text: str = text, number: int = number) -> Place:
            return number, _column_in(text, column)

        yield Record(number, held, find)


def _parsed(line: bytes, number: int) -> tuple[dict[str, Any], str]:
    def fault(text: str, column: int = 1) -> Fault:
        return Fault(text, (number, column))

    try:
        text = line.decode("utf-8")
        held = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_constant)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        before = error.object[: error.start].decode("utf-8", "replace")
        text = f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"
        raise fault(text, len(before) + 1) from None
    except json.JSONDecodeError as error:
        raise fault(f"column {error.colno} is no JSON ({error.msg})", error.colno) from None
    except RecursionError:
        raise fault("this JSON is nested too deeply; allowed: texts, and a list of texts") from None
    except _NoValueError as error:
        raise fault(str(error)) from None
    except ValueError as error:
        raise fault(f"this is no JSON ({' '.join(str(error).split())[:SHOWN]})") from None
    if not isinstance(held, dict):
        raise fault(f"{clipped(held)} is no object; allowed: {{message, context, answer}}")
    return held, text


class _NoValueError(ValueError):
    """What JSON can be written to hold, and no row may."""


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for name, value in pairs:
        if name in held:
            raise _NoValueError(f"the field {clipped(name)} stands twice; allowed: once")
        held[name] = value
    return held


def _constant(written: str) -> NoReturn:
    raise _NoValueError(f"{written} is no value; allowed: texts, and a list of texts")


def _column_in(text: str, name: str) -> int:
    """Where the value of a key of an object begins in its text, from 1 on."""
    decoder, at = json.JSONDecoder(), text.index("{") + 1
    while True:
        key, end = decoder.raw_decode(text, _after_blanks(text, at))
        start = _after_blanks(text, text.index(":", end) + 1)
        if key == name:
            return start + 1
        _, end = decoder.raw_decode(text, start)
        at = text.index(",", end) + 1


def _after_blanks(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _of_csv(data: bytes, name: str, delimiter: str) -> Iterator[Record | Fault]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        _refuse(f"{name}:{line}:{column}", f"byte 0x{data[error.start]:02x} is not UTF-8")
    kept: list[str] = []

    def fed() -> Iterator[str]:
        for line in io.StringIO(text, newline=""):
            kept.append(line)
            yield line

    reader, line, names = csv.reader(fed(), strict=True, delimiter=delimiter), 1, list[str]()
    while True:
        kept.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # where the next row begins is not known
            yield Fault(f"this is no CSV ({error})", (line, 1))
            return
        raw, first, line = "".join(kept), line, reader.line_num + 1
        if not names and cells:
            names = [cell.strip() for cell in cells]
            twice = [clipped(one) for one, count in Counter(names).items() if count > 1]
            if twice:
                _refuse(f"{name}:{first}:1", f"the column {twice[0]} stands twice; allowed: once")
        elif cells and len(cells) != len(names):
            yield Fault(
                f"{len(cells)} cells; allowed: {len(names)}, one for each column", (first, 1)
            )
        elif cells:
            held = dict(zip(names, cells, strict=True))

            def find(
                column: str, raw: str = raw, first: int = first, held: dict[str, str] = held
            ) -> Place:
                return _cell_place(raw, list(held).index(column), first, delimiter)

            yield Record(first, held, find)


def _cell_place(raw: str, wanted: int, line: int, delimiter: str) -> Place:
    """The line and the column, from 1 on, at which a row's cell of this index begins."""
    begin, cell, quoted = 0, 0, False
    for offset, char in enumerate(raw):
        if cell == wanted:
            return line, offset - begin + 1
        if char == '"':
            quoted = not quoted
        elif char == delimiter and not quoted:
            cell += 1
        elif char == "\n":
            line, begin = line + 1, offset + 1
    return line, len(raw) - begin + 1


def _of_parquet(data: bytes, name: str, limits: Limits) -> Iterator[Record]:
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        _refuse(name, "Parquet files need pyarrow: pip install 'lpca[parquet]'")
    try:
        file = parquet.ParquetFile(arrow.BufferReader(data))
        groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
        if sum(group.total_byte_size for group in groups) > limits.file:
            _refuse(name, f"the rows are too large; allowed: at most {limits.file} bytes")
        batches = list(file.iter_batches(batch_size=BATCH))
        held = [row for batch in batches for row in batch.to_pylist()]
    except (arrow.ArrowException, OSError, ValueError) as error:
        _refuse(name, f"this is no Parquet file ({' '.join(str(error).split())[:SHOWN]})")
    yield from _numbered(held)


def _of_hub(source: Hub) -> Iterator[Record]:
    """A data set's rows, by its own library: from the Hub, its cache, or a folder."""
    name = shown_source(source)
    try:
        datasets = import_module("datasets")
    except ImportError:
        _refuse(name, "data sets of Hugging Face need datasets: pip install 'lpca[hf]'")
    if not Path(source.name).is_dir():
        _refuse_unreachable(datasets, source)
    try:
        held = _loaded(datasets, source)
    except Exception as error:
        # no network, no such name, a broken file: the library raises of many kinds
        reason = " ".join(str(error).split())[: 2 * SHOWN]
        _refuse(name, f"the data set cannot be read ({type(error).__name__}: {reason})")
    if isinstance(held, Mapping):
        splits = ", ".join(sorted(map(str, held)))
        _refuse(name, f"which split is not said; allowed: {name}:SPLIT with one of {splits}")
    yield from _numbered(held)


def _refuse_unreachable(datasets: Any, source: Hub) -> None:
    """Ask the Hub once: its libraries try again and again where there is no network."""
    hub = import_module("huggingface_hub")
    kept = Path(datasets.config.HF_DATASETS_CACHE) / source.name.replace("/", "___")
    if kept.is_dir():
        return
    said: list[object] = []

    def ask() -> None:
        with suppress(Exception):
            api = hub.HfApi()
            said.append(api.dataset_info(source.name, revision=source.revision, timeout=SECONDS))

    # looking an address up has no time limit of its own
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(SECONDS)
    if not said:
        _refuse(
            shown_source(source),
            "no such folder is there, nor such a data set in the cache, and Hugging Face has none, "
            "shows it only to others, or cannot be reached",
        )


def _loaded(datasets: Any, source: Hub) -> Any:
    folder = Path(source.name)
    if (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():
        # as a program kept it, rather than as the Hub has it
        held = datasets.load_from_disk(str(folder))
        return held[source.split] if source.split and isinstance(held, Mapping) else held
    return datasets.load_dataset(
        source.name, source.config, split=source.split, revision=source.revision
    )


def _numbered(rows: Any) -> Iterator[Record]:
    for number, held in enumerate(rows, start=1):

        def find(column: str, number: int = number) -> Place:
            return number, column

        yield Record(number, held, find)
