"""Rows of a user's episodes: a JSONL file, read line by line or refused at a line."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lpca.base.files import touching
from lpca.base.registry import suggestion
from lpca.tasks import MAX_OPTIONS, MIN_OPTIONS, TaskError, message_key

MARK = "{message}"
MAX_BYTES, MAX_LINE, MAX_ROWS = 64 * 2**20, 256 * 2**10, 100_000
MAX_ANSWER = 1000
"""Characters of an answer, an option or the name of a group."""
FIELDS = ("message", "context", "answer")
RECEIVED_FIELDS = ("sender_message", "receiver_context", "receiver_output")
OPTIONAL = ("options", "group")
_SHOWN, _LONGEST_PATH = 60, 200
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Row:
    """One episode as its author wrote it.

    B sees `before`, the slot, then `after`. `options` is empty where the row names none. Rows of
    one `group` stand in one split.
    """

    line: int
    message: str
    before: str
    after: str
    answer: str
    options: tuple[str, ...]
    group: str

    @property
    def content(self) -> tuple[object, ...]:
        """All of it but the line it stands on."""
        return (self.message, self.before, self.after, self.answer, self.options, self.group)

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(json.dumps(self.content).encode()).hexdigest()


def read_rows(path: Path) -> list[Row]:
    """Read a file of episodes, one JSON object a line.

    Raises:
        TaskError: the file cannot be read, or a line is not as it must be; the text begins with
            `FILE:LINE` where a line is at fault.
    """
    name = shown_path(path)
    rows, seen = list[Row](), dict[tuple[str, str, str], int]()
    groups: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(_read(path).split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = _row(number, line)
            _refuse_repeats(row, seen, groups)
        except _Fault as fault:
            raise TaskError(f"{name}:{number}: {fault}", "file") from None
        rows.append(row)
        if len(rows) > MAX_ROWS:
            _refuse(f"{name}:{number}: too many rows; allowed: at most {MAX_ROWS}")
    if not rows:
        _refuse(f"{name}: the file holds no episode; allowed: one JSON object a line")
    return rows


def shown_path(path: Path) -> str:
    """A path as a message shows it: printable, and its end where it is long."""
    text = str(path) if str(path).isprintable() else ascii(str(path))
    return text if len(text) <= _LONGEST_PATH else "..." + text[-_LONGEST_PATH:]


class _Fault(Exception):  # noqa: N818 - becomes a TaskError as soon as the line is known
    """What is wrong with a line, and what is allowed."""


def _refuse(text: str) -> NoReturn:
    raise TaskError(text, "file")


def _read(path: Path) -> bytes:
    name = shown_path(path)
    try:
        if path.exists() and not path.is_file():
            _refuse(f"{name}: this is no file; allowed: a JSONL file of episodes")
        touching("read", path)
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        _refuse(f"{name}: there is no such file; allowed: a JSONL file, by its path from the spec")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        _refuse(f"{name}: the file cannot be read ({reason})")
    if len(data) > MAX_BYTES:
        _refuse(f"{name}: the file is too large; allowed: at most {MAX_BYTES} bytes")
    return data.removeprefix(b"\xef\xbb\xbf")


def _row(number: int, line: bytes) -> Row:
    if len(line) > MAX_LINE:
        raise _Fault(f"{len(line)} bytes in one line; allowed: at most {MAX_LINE}")
    held = _parsed(line)
    names = RECEIVED_FIELDS if set(held) & set(RECEIVED_FIELDS) else FIELDS
    for name in held:
        if name not in (*names, *OPTIONAL):
            allowed = suggestion(name, (*names, *OPTIONAL))
            raise _Fault(f"unknown field {_shown(name)}; {allowed}")
    message, context, answer = (_text(held, name) for name in names)
    message, answer = message.strip(), answer.strip()
    for name, text in ((names[0], message), (names[2], answer)):
        if MARK in text:
            raise _Fault(f"{name} holds {MARK}; allowed: once, in {names[1]}")
    if len(answer) > MAX_ANSWER:
        raise _Fault(f"{names[2]} has {len(answer)} characters; allowed: at most {MAX_ANSWER}")
    before, after = _around(context, names)
    options = _options(held["options"], answer) if "options" in held else ()
    group = _text(held, "group") if "group" in held else message_key(message)
    if "group" in held and len(group) > MAX_ANSWER:
        raise _Fault(f"group has {len(group)} characters; allowed: at most {MAX_ANSWER}")
    return Row(number, message, before, after, answer, options, group)


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        held = json.loads(
            line.decode("utf-8"), object_pairs_hook=_without_repeats, parse_constant=_constant
        )
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise _Fault(f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        raise _Fault(f"column {error.colno} is no JSON ({error.msg})") from None
    except RecursionError:
        raise _Fault(
            "this JSON is nested too deeply; allowed: texts, and a list of texts"
        ) from None
    except ValueError as error:
        raise _Fault(f"this is no JSON ({' '.join(str(error).split())[:_SHOWN]})") from None
    if not isinstance(held, dict):
        raise _Fault(f"{_shown(held)} is no object; allowed: {{{', '.join(FIELDS)}}}")
    return held


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for name, value in pairs:
        if name in held:
            raise _Fault(f"the field {_shown(name)} stands twice; allowed: once")
        held[name] = value
    return held


def _constant(written: str) -> NoReturn:
    raise _Fault(f"{written} is no value; allowed: texts, and a list of texts")


def _text(held: Mapping[str, Any], name: str) -> str:
    if name not in held:
        raise _Fault(f"the field {name} is missing; allowed: a text that is not empty")
    return _as_text(held[name], name)


def _as_text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Fault(f"{name} is {_shown(value)}; allowed: a text that is not empty")
    if found := _FORBIDDEN.search(value):
        raise _Fault(
            f"{name} holds the character {found.group()!a}; allowed: printable ones, tabs "
            "and line breaks"
        )
    return value


def _around(context: str, names: Sequence[str]) -> tuple[str, str]:
    """The text before and after the slot, each at least a line break.

    The message and the answer follow what is before them after a space of their own.
    """
    count = context.count(MARK)
    if count == 0 and names == RECEIVED_FIELDS:
        context, count = context + MARK, 1
    if count != 1:
        found = "no place" if count == 0 else f"{count} places"
        raise _Fault(f"{names[1]} has {found} for the message; allowed: {MARK}, once")
    before, after = (part.rstrip(" \t") for part in context.split(MARK))
    return before or "\n", after or "\n"


def _options(value: Any, answer: str) -> tuple[str, ...]:
    allowed = f"a list of {MIN_OPTIONS} to {MAX_OPTIONS} texts, the answer among them"
    if not isinstance(value, list) or not MIN_OPTIONS <= len(value) <= MAX_OPTIONS:
        raise _Fault(f"options is {_shown(value)}; allowed: {allowed}")
    options = tuple(_as_text(one, "an option").strip() for one in value)
    for place, option in enumerate(options):
        if MARK in option or len(option) > MAX_ANSWER:
            raise _Fault(
                f"option {_shown(option)}; allowed: at most {MAX_ANSWER} characters, no {MARK}"
            )
        for other in options[:place]:
            if clash(option, other):
                raise _Fault(
                    f"option {_shown(option)} beside {_shown(other)}; allowed: options of which "
                    "none is another one or begins it, whatever the case"
                )
    if answer not in options:
        raise _Fault(
            f"answer {_shown(answer)} is none of {_shown(list(options))}; allowed: {allowed}"
        )
    return options


def clash(one: str, other: str) -> bool:
    """Whether two answers cannot stand beside each other: one is the other, or begins it.

    The longer of two such can never score higher, for all that it has to say besides.
    """
    one, other = one.casefold(), other.casefold()
    return one.startswith(other) or other.startswith(one)


def _refuse_repeats(
    row: Row,
    seen: dict[tuple[str, str, str], int],
    groups: dict[str, tuple[str, int]],
) -> None:
    key = message_key(row.message)
    before = seen.setdefault((key, row.before, row.after), row.line)
    if before != row.line:
        raise _Fault(f"message and context are those of line {before}; allowed: each pair once")
    group, line = groups.setdefault(key, (row.group, row.line))
    if group != row.group:
        raise _Fault(
            f"group is {_shown(row.group)}, on line {line} the same message has "
            f"{_shown(group)}; allowed: one group for one message"
        )


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


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
    """Return what is left around every list of all options in a text; None without one.

    A list is the shortest stretch that holds every option, however it is written.
    """
    places = places_of(options, text)
    stretch = _shortest(places, len(options))
    if stretch is None:
        return None
    start, stop = stretch
    found: list[str] = []
    for part in (text[:start], text[stop:]):
        found += without_lists(options, part) or (part,)
    return tuple(found)


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
