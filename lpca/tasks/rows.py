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
from lpca.base.lookalikes import folded
from lpca.base.registry import suggestion
from lpca.tasks import MAX_OPTIONS, MAX_SENDERS, MIN_OPTIONS, TaskError, joined, message_key

MARK = "{message}"
_NUMBERED = re.compile(r"\{message:([0-9]{1,3})\}")
"""The mark of one sender's slot, where there are several."""
MAX_BYTES, MAX_LINE, MAX_ROWS = 64 * 2**20, 256 * 2**10, 100_000
MAX_ANSWER = 1000
"""Characters of an answer, an option or the name of a group."""
FIELDS = ("message", "context", "answer")
RECEIVED_FIELDS = ("sender_message", "receiver_context", "receiver_output")
OPTIONAL = ("options", "group", "public")
_SHOWN, _LONGEST_PATH = 60, 200
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Row:
    """One episode as its author wrote it.

    B sees `before`, the slot, then `after`; where there are several slots, texts `between` them.
    `options` is empty where the row names none. Rows of one `group` stand in one split. `public`,
    `senders`, `order` and `between` are as of `Episode`.
    """

    line: int
    message: str
    before: str
    after: str
    answer: str
    options: tuple[str, ...]
    group: str
    public: str = ""
    senders: tuple[str, ...] = ()
    order: tuple[int, ...] = ()
    between: tuple[str, ...] = ()

    @property
    def context(self) -> tuple[str, ...]:
        """B's own texts, in their order."""
        return (self.before, *self.between, self.after)

    @property
    def content(self) -> tuple[object, ...]:
        """All of it but the line it stands on; what only some rows have where it is there."""
        told = (self.message, self.before, self.after, self.answer, self.options, self.group)
        more = (self.public, self.senders, self.order, self.between)
        return told + more if any(more) else told

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
    rows, seen = list[Row](), dict[tuple[str, ...], int]()
    groups: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(_read(path).split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = _row(number, line)
            _refuse_repeats(row, seen, groups)
            _refuse_other_senders(row, rows[0] if rows else row)
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
    senders = _senders(held, names[0])
    context, answer = _text(held, names[1]), _text(held, names[2]).strip()
    for name, text in (*((names[0], text) for text in senders), (names[2], answer)):
        if MARK in text or (len(senders) > 1 and _NUMBERED.search(text)):
            raise _Fault(f"{name} holds {MARK}; allowed: once, in {names[1]}")
    if len(answer) > MAX_ANSWER:
        raise _Fault(f"{names[2]} has {len(answer)} characters; allowed: at most {MAX_ANSWER}")
    texts, order = _around(context, names, len(senders))
    public = _public(held, texts, names[1]) if "public" in held else ""
    options = _options(held["options"], answer) if "options" in held else ()
    message = joined(senders)
    group = _text(held, "group") if "group" in held else message_key(message)
    if "group" in held and len(group) > MAX_ANSWER:
        raise _Fault(f"group has {len(group)} characters; allowed: at most {MAX_ANSWER}")
    return Row(
        line=number,
        message=message,
        before=texts[0] or "\n",
        after=texts[-1] or "\n",
        answer=answer,
        options=options,
        group=group,
        public=public,
        senders=senders if len(senders) > 1 else (),
        order=order,
        between=texts[1:-1],
    )


def _senders(held: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The message, or what each of several senders tells."""
    if not isinstance(held.get(name), list):
        return (_text(held, name).strip(),)
    texts = held[name]
    if not 2 <= len(texts) <= MAX_SENDERS:
        raise _Fault(
            f"{name} is {_shown(texts)}; allowed: a text that is not empty, or a list of 2 to "
            f"{MAX_SENDERS} such"
        )
    return tuple(_as_text(text, f"{name} {place}").strip() for place, text in enumerate(texts, 1))


def _public(held: Mapping[str, Any], texts: Sequence[str], context: str) -> str:
    """What both sides see: as B reads it, case and look-alike letters aside."""
    public = _text(held, "public").strip()
    if not any(_as_read(public) in _as_read(text) for text in texts):
        raise _Fault(
            f"public {_shown(public)} does not stand in {context}; allowed: a part of what B "
            "reads, on one side of the message"
        )
    return public


def _as_read(text: str) -> str:
    return message_key(folded(text))


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


def _around(
    context: str, names: Sequence[str], senders: int
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The texts around the slots, and by slot the number of its sender, from 0 on.

    There are numbers only where each of several senders has a slot. The message and the answer
    follow what is before them after a space of their own.
    """
    numbered = list(map(int, _NUMBERED.findall(context))) if senders > 1 else []
    count = context.count(MARK)
    if count == 0 and not numbered and names == RECEIVED_FIELDS:
        context, count = context + MARK, 1
    own = f", or {{message:1}} to {{message:{senders}}}, each once" if senders > 1 else ""
    if numbered and (count or sorted(numbered) != list(range(1, senders + 1))):
        marks = [f"{{message:{number}}}" for number in numbered] + [MARK] * count
        raise _Fault(f"{names[1]} has {', '.join(marks)}; allowed: {MARK}, once{own}")
    if count != 1 and not numbered:
        found = "no place" if count == 0 else f"{count} places"
        raise _Fault(f"{names[1]} has {found} for the message; allowed: {MARK}, once{own}")
    # a pattern with a group gives what it found between the texts
    texts = _NUMBERED.split(context)[::2] if numbered else context.split(MARK)
    return tuple(part.rstrip(" \t") for part in texts), tuple(one - 1 for one in numbered)


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
    seen: dict[tuple[str, ...], int],
    groups: dict[str, tuple[str, int]],
) -> None:
    key = message_key(row.message)
    before = seen.setdefault((key, *row.context), row.line)
    if before != row.line:
        raise _Fault(f"message and context are those of line {before}; allowed: each pair once")
    group, line = groups.setdefault(key, (row.group, row.line))
    if group != row.group:
        raise _Fault(
            f"group is {_shown(row.group)}, on line {line} the same message has "
            f"{_shown(group)}; allowed: one group for one message"
        )


def _refuse_other_senders(row: Row, first: Row) -> None:
    """A channel of several senders has as many in every row, each with a slot or all with one."""
    forms = [(max(1, len(one.senders)), len(one.between) + 1) for one in (row, first)]
    if forms[0] != forms[1]:
        own, other = (f"{texts} sender(s) and {slots} slot(s)" for texts, slots in forms)
        raise _Fault(f"{own}, on line {first.line} {other}; allowed: as many in every row")


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
