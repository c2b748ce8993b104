"""The memory of a set of test episodes: which codecs were judged on it, and how often.

One file per test set, one look a line, each line naming the hash of the one before it. Lines are
added, never changed: what was looked at stays looked at.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lpca.base.files import StorageError, locked, write_file
from lpca.base.hashing import hash_data

SAME_CHANNEL = 0.02
"""Relative distance of two fingerprints up to which they are one codec in two precisions."""


class LedgerError(StorageError):
    """A ledger was altered or cannot be read; the message names file and line."""


@dataclass(frozen=True)
class Look:
    """One reading of a gate's outcomes.

    `test_set` names task, settings, seed and stratum; `fingerprint` is what the codec makes of
    probe messages (`lpca.codec.channel`); `episodes` and `criteria` are hashes.
    """

    test_set: str
    receiver: str
    k: int
    fingerprint: tuple[float, ...]
    gate: str
    n: int
    episodes: str
    criteria: str
    verdict: str = ""
    run: str = ""
    written: str = ""

    def same_channel(self, other: Look) -> bool:
        """Whether both read the same codec, at the same k on the same receiver."""
        if not self.same_place(other):
            return False
        gap = math.dist(self.fingerprint, other.fingerprint)
        return gap <= SAME_CHANNEL * max(self._norm, other._norm)

    def rescaled(self, other: Look) -> bool:
        """Whether the other codec's latents are this one's at another scale."""
        if not self.same_place(other) or self.same_channel(other) or not self._norm * other._norm:
            return False
        mine = [value / self._norm for value in self.fingerprint]
        theirs = [value / other._norm for value in other.fingerprint]
        return math.dist(mine, theirs) <= SAME_CHANNEL

    def same_place(self, other: Look) -> bool:
        """Whether both are of one receiver and k, with fingerprints that can be compared."""
        mine, theirs = (self.receiver, self.k), (other.receiver, other.k)
        return mine == theirs and len(self.fingerprint) == len(other.fingerprint)

    def same_reading(self, other: Look) -> bool:
        """Whether both read the same outcomes by the same criteria."""
        mine, theirs = (self.gate, self.episodes), (other.gate, other.episodes)
        return mine == theirs and self.criteria == other.criteria and self.same_channel(other)

    @property
    def _norm(self) -> float:
        return math.hypot(*self.fingerprint)


@dataclass(frozen=True)
class Ledger:
    """A folder of ledgers, by test set."""

    folder: Path

    def looks(self, test_set: str) -> list[Look]:
        """Return what was looked at, oldest first; LedgerError where a line was altered."""
        path = self._path(test_set)
        if not path.exists():
            return []
        found, before = [], ""
        for number, line in enumerate(_lines(path), start=1):
            look, before = _read(path, number, line, before)
            found.append(look)
        return found

    def add(self, look: Look) -> None:
        """Add a look, unless its like is there already."""
        path = self._path(look.test_set)
        with locked(path):
            if any(look.same_reading(one) for one in self.looks(look.test_set)):
                return
            lines = _lines(path) if path.exists() else []
            data = asdict(look) | {"previous": _hash(lines[-1]) if lines else ""}
            text = "\n".join([*lines, json.dumps(data, sort_keys=True, allow_nan=False)]) + "\n"
            write_file(path, lambda part: part.write_text(text, encoding="utf-8"))

    def _path(self, test_set: str) -> Path:
        return self.folder / f"{test_set[:16]}.jsonl"


@dataclass(frozen=True)
class Past:
    """What a ledger knows about the outcomes that are read now.

    `limit` is how many codecs, or readings of one codec, may be paid for, `announced` how many
    codecs were declared together before the first of them was judged. `altered` says where the
    ledger was changed; nothing else is known then.
    """

    now: Look
    earlier: Sequence[Look]
    limit: int
    altered: str = ""
    announced: int = 1

    def channels(self) -> list[Look]:
        """One look for each different codec judged on this test set, that of now first."""
        found = [self.now]
        for look in self.earlier:
            if look.same_place(self.now) and not any(look.same_channel(one) for one in found):
                found.append(look)
        return found

    def readings(self) -> list[Look]:
        """The different readings of this codec by this gate, that of now first."""
        found = [self.now]
        for look in self.earlier:
            own = look.gate == self.now.gate and look.same_channel(self.now)
            if own and not any(look.same_reading(one) for one in found):
                found.append(look)
        return found


def past_of(ledger: Ledger, now: Look, limit: int) -> Past:
    """Return what a ledger knows about a look, its alteration included."""
    try:
        return Past(now, ledger.looks(now.test_set), limit)
    except LedgerError as error:
        return Past(now, [], limit, str(error))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerError(f"{path}: cannot be read: {error}") from error


def _read(path: Path, number: int, line: str, before: str) -> tuple[Look, str]:
    try:
        data = json.loads(line)
        previous = data.pop("previous")
        look = Look(**data)
        look = replace(look, fingerprint=tuple(float(value) for value in look.fingerprint))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LedgerError(f"{path}:{number}: no line of a ledger: {error}") from error
    if previous != before:
        raise LedgerError(f"{path}:{number}: the line before it was altered or taken away")
    return look, _hash(line)


def _hash(line: str) -> str:
    return hash_data(line)
