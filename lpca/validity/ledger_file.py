"""The ledger's file: lines that name the lines before them, and a head that names the last ones.

`looks.jsonl` holds one record a line; each names the hashes of the lines that were the last when it
was added, so that ledgers written apart can be merged. `looks.head.json` beside it holds how many
lines there are and the hashes of the last: without it a cut-off end would leave no trace.
Before lines are written the head says what will be there, beside what is: a process that ends
between the two leaves a ledger that is whole, with the new lines or without them.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from lpca.base.files import StorageError, locked, read_bytes, read_json, write_json, write_text
from lpca.base.hashing import hash_data

LINES, HEAD = "looks.jsonl", "looks.head.json"
FILES = (LINES, HEAD)
NEXT = "next"
"""Where the head holds what is being written."""
State = tuple[int, tuple[str, ...]]
"""How many lines there are, and the hashes of those that no later one names."""


class LedgerError(StorageError):
    """A ledger was altered or cannot be read; the message names file and line."""


@dataclass(frozen=True)
class Line:
    """One record: its `kind`, what it holds, and the hashes of the lines it came after."""

    text: str
    kind: str
    data: Mapping[str, Any]
    previous: tuple[str, ...]

    @cached_property
    def hash(self) -> str:
        """By which later lines name it."""
        return hash_data(self.text)


@dataclass
class LedgerFile:
    """The lines of a folder's ledger, oldest first.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as scratch:
        ...     with LedgerFile.opened(Path(scratch)) as ledger:
        ...         first = ledger.add("commit", {"codec": "c", "spec": "s"})
        ...     found = LedgerFile.read(Path(scratch))
        >>> [line.kind for line in found.lines], found.heads == (first.hash,)
        (['commit'], True)
    """

    folder: Path
    lines: list[Line] = field(default_factory=list)
    _standing: State = (0, ())
    _settled: bool = True

    @classmethod
    def read(cls, folder: Path) -> LedgerFile:
        """Read a folder's ledger; LedgerError where a line was altered or taken away."""
        _refuse_older(folder)
        path, head = folder / LINES, folder / HEAD
        if not path.exists() and not head.exists():
            return cls(folder)
        # the head first: lines that are written meanwhile are more than it names, never less
        states = _states(head)
        if not path.exists() and states[0][0]:
            raise LedgerError(f"{path}: it is gone, and its head is there; {_RESTORE}")
        lines = parsed(path, _text(path).splitlines() if path.exists() else [])
        _hold_against(path, states, lines)
        return cls(folder, lines, (len(lines), heads_of(lines)), len(states) == 1)

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator[LedgerFile]:
        """Read it to add lines: nobody else does meanwhile. They are written at the end."""
        with locked(folder / LINES):
            ledger = cls.read(folder)
            yield ledger
            ledger.write_new()

    @property
    def heads(self) -> tuple[str, ...]:
        """The hashes of the lines that no later one names."""
        return heads_of(self.lines)

    def add(self, kind: str, data: Mapping[str, Any]) -> Line:
        """Add a record behind all that are there, and return its line."""
        held = {
            "kind": kind,
            **data,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "previous": list(self.heads),
        }
        text = json.dumps(held, sort_keys=True, allow_nan=False)
        line = _line(text)
        self.lines.append(line)
        return line

    def adopt(self, texts: Iterable[str]) -> None:
        """Add lines written elsewhere behind a copy of this ledger; LedgerError for any other."""
        every = dict.fromkeys([*(line.text for line in self.lines), *texts])
        self.lines = parsed(self.folder / LINES, list(every))

    def write(self) -> None:
        """Write the lines; the head names both what was and what is there until they stand."""
        head, now = self.folder / HEAD, (len(self.lines), self.heads)
        write_json(head, {**_head(self._standing), NEXT: _head(now)})
        write_text(self.folder / LINES, "".join(f"{line.text}\n" for line in self.lines))
        write_json(head, _head(now))
        self._standing, self._settled = now, True

    def write_new(self) -> None:
        """Write the lines where some were added, or where a process ended while it wrote them."""
        if not self._settled or len(self.lines) > self._standing[0]:
            self.write()

    def holds(self, hashes: Iterable[str]) -> bool:
        """Whether there is a line of each hash."""
        return set(hashes) <= {line.hash for line in self.lines}


_RESTORE = "restore it from version control"


def merged(ledgers: Sequence[LedgerFile]) -> list[Line]:
    """Every line of several ledgers once, by when it was written, and after those that it names."""
    every = {line.hash: line for ledger in ledgers for line in ledger.lines}
    waiting = {name: {*line.previous} for name, line in every.items()}
    followers: dict[str, list[str]] = {}
    for name, line in every.items():
        for previous in line.previous:
            followers.setdefault(previous, []).append(name)
    ready = [(str(every[name].data["written"]), name) for name, left in waiting.items() if not left]
    heapq.heapify(ready)
    found: list[Line] = []
    while ready:
        _, name = heapq.heappop(ready)
        found.append(every[name])
        for follower in followers.get(name, ()):
            waiting[follower].discard(name)
            if not waiting[follower]:
                heapq.heappush(ready, (str(every[follower].data["written"]), follower))
    return found


def heads_of(lines: Sequence[Line]) -> tuple[str, ...]:
    """The hashes of the lines that none of the others names, in order."""
    named = {name for line in lines for name in line.previous}
    return tuple(sorted(line.hash for line in lines if line.hash not in named))


def parsed(path: Path, texts: Sequence[str]) -> list[Line]:
    """Read lines, each of which names lines before it; LedgerError for the first that does not."""
    found: list[Line] = []
    known: set[str] = set()
    for number, text in enumerate(texts, start=1):
        try:
            line = _line(text)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise LedgerError(f"{path}:{number}: no line of a ledger: {error}") from error
        if not {*line.previous} <= known or line.hash in known:
            raise LedgerError(f"{path}:{number}: a line before it was altered or taken away")
        found.append(line)
        known.add(line.hash)
    return found


def _line(text: str) -> Line:
    data = json.loads(text)
    kind, previous, written = data.pop("kind"), data.pop("previous"), data["written"]
    if not all(isinstance(one, str) for one in (kind, written, *previous)):
        raise TypeError("kind, written and previous are texts")
    return Line(text, kind, data, tuple(previous))


def _head(state: State) -> dict[str, Any]:
    return {"lines": state[0], "heads": list(state[1])}


def _states(head: Path) -> list[State]:
    """What stood when a head was written, and what was being written then, if anything."""
    if not head.exists():
        raise LedgerError(f"{head}: it is gone, and its ledger is there; {_RESTORE}")
    try:
        data = read_json(head)
    except StorageError as error:
        raise LedgerError(f"{error}; {_RESTORE}") from error
    found = []
    for held in [data, data[NEXT]] if isinstance(data, dict) and NEXT in data else [data]:
        count, heads = (held.get("lines"), held.get("heads")) if isinstance(held, dict) else (0, 0)
        if type(count) is not int or not isinstance(heads, list) or count < 0:
            raise LedgerError(f"{head}: no head of a ledger; {_RESTORE}")
        found.append((count, tuple(heads)))
    return found


def _hold_against(path: Path, states: Sequence[State], lines: Sequence[Line]) -> None:
    for count, heads in states:
        # up to 0.1 a process could end when it had written more lines than the head knew
        enough = len(lines) >= count if count and len(states) == 1 else len(lines) == count
        if enough and heads_of(lines[:count]) == heads:
            return
    raise LedgerError(
        f"{path}: its last lines were altered or taken away: the head names {states[0][0]} lines, "
        f"{len(lines)} are there; {_RESTORE}"
    )


def _refuse_older(folder: Path) -> None:
    """Up to 0.1 a file for each test set, which knew it by its seed and kept no rows."""
    older = sorted(path for path in folder.glob("*.jsonl") if path.name != LINES)
    if older:
        raise LedgerError(
            f"{older[0]}: written by an earlier lpca, which did not keep the rows it looked at; "
            f"move it out of {folder}, and judge on test episodes that it did not see"
        )


def _text(path: Path) -> str:
    try:
        return read_bytes(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerError(f"{path}: cannot be read: {error}") from error
