"""The memory of a set of test episodes: which codecs were judged on it, and how often.

One file per test set, one reading of a gate's outcomes a line, each line naming the hash of the one
before it. Lines are added, never changed: what was looked at stays looked at.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from lpca.base.files import StorageError, locked, write_file
from lpca.base.hashing import hash_data

SAME_CODEC = 0.02
"""Relative distance of two fingerprints up to which they are one codec in two precisions."""


class LedgerError(StorageError):
    """A ledger was altered or cannot be read; the message names file and line."""


@dataclass(frozen=True)
class LedgerEntry:
    """One reading of a gate's outcomes.

    Args:
        test_set: hash of task, settings, seed and stratum.
        receiver: hash of its weights.
        k: the number of latents.
        fingerprint: what the codec makes of probe messages (`lpca.codec.channel`).
        gate: its name.
        n: how many episodes were read.
        episodes: their hash.
        criteria: hash of the claims, their levels and the score.
        verdict: what came of it.
        run: which run read them.
        written: when, as ISO 8601.
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

    def same_codec(self, other: LedgerEntry) -> bool:
        """Whether both read the same codec, at the same k on the same receiver."""
        if not self.comparable(other):
            return False
        gap = math.dist(self.fingerprint, other.fingerprint)
        return gap <= SAME_CODEC * max(self._norm, other._norm)

    def rescaled(self, other: LedgerEntry) -> bool:
        """Whether the other codec's latents are this one's at another scale."""
        # latents of zero are no scale of anything
        if not self.comparable(other) or self.same_codec(other) or not self._norm * other._norm:
            return False
        mine = [value / self._norm for value in self.fingerprint]
        theirs = [value / other._norm for value in other.fingerprint]
        return math.dist(mine, theirs) <= SAME_CODEC

    def comparable(self, other: LedgerEntry) -> bool:
        """Whether both are of one receiver and k, with fingerprints that can be compared."""
        mine, theirs = (self.receiver, self.k), (other.receiver, other.k)
        return mine == theirs and len(self.fingerprint) == len(other.fingerprint)

    def same_reading(self, other: LedgerEntry) -> bool:
        """Whether both read the same outcomes by the same criteria."""
        mine, theirs = (self.gate, self.episodes), (other.gate, other.episodes)
        return mine == theirs and self.criteria == other.criteria and self.same_codec(other)

    @property
    def _norm(self) -> float:
        return math.hypot(*self.fingerprint)


@dataclass(frozen=True)
class GateLedger:
    """What a ledger knows about the outcomes that are read now.

    Args:
        folder: where the ledgers stand, one file per test set.
        now: the reading that is to be judged.
        earlier: what was read on this test set before, oldest first.
        limit: how many codecs, or readings of one codec, may be paid for.
        announced: how many codecs were declared together before the first of them was judged.
        altered: where the ledger was changed; nothing else is known then.
    """

    folder: Path
    now: LedgerEntry
    earlier: Sequence[LedgerEntry]
    limit: int
    announced: int = 1
    altered: str = ""

    @classmethod
    def read(cls, folder: Path, now: LedgerEntry, limit: int, announced: int = 1) -> GateLedger:
        """Read what is known; that a ledger was altered is part of it."""
        try:
            return cls(folder, now, read_entries(folder, now.test_set), limit, announced)
        except LedgerError as error:
            return cls(folder, now, [], limit, announced, str(error))

    def codecs(self) -> list[LedgerEntry]:
        """One entry for each different codec judged on this test set, that of now first."""
        return _distinct(
            self.now, filter(self.now.comparable, self.earlier), LedgerEntry.same_codec
        )

    def readings(self) -> list[LedgerEntry]:
        """The different readings of this codec by this gate, that of now first."""
        own = [
            one for one in self.earlier if one.gate == self.now.gate and one.same_codec(self.now)
        ]
        return _distinct(self.now, own, LedgerEntry.same_reading)

    def keep(self, verdict: str, run: str) -> None:
        """Add the reading of now; an altered ledger is left as it is."""
        if not self.altered:
            written = datetime.now(UTC).isoformat(timespec="seconds")
            add_entry(self.folder, replace(self.now, verdict=verdict, run=run, written=written))


def read_entries(folder: Path, test_set: str) -> list[LedgerEntry]:
    """Return what was read on a test set, oldest first; LedgerError where a line was altered."""
    path = _path(folder, test_set)
    if not path.exists():
        return []
    found, before = [], ""
    for number, line in enumerate(_lines(path), start=1):
        try:
            data = json.loads(line)
            previous = data.pop("previous")
            entry = LedgerEntry(**data)
            entry = replace(entry, fingerprint=tuple(float(value) for value in entry.fingerprint))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise LedgerError(f"{path}:{number}: no line of a ledger: {error}") from error
        if previous != before:
            raise LedgerError(f"{path}:{number}: the line before it was altered or taken away")
        found.append(entry)
        before = hash_data(line)
    return found


def add_entry(folder: Path, entry: LedgerEntry) -> None:
    """Add a reading, unless its like is there already; LedgerError where a line was altered."""
    path = _path(folder, entry.test_set)
    with locked(path):
        if any(
            entry.same_reading(read_entry) for read_entry in read_entries(folder, entry.test_set)
        ):
            return
        lines = _lines(path) if path.exists() else []
        data = asdict(entry) | {"previous": hash_data(lines[-1]) if lines else ""}
        text = "\n".join([*lines, json.dumps(data, sort_keys=True, allow_nan=False)]) + "\n"
        write_file(path, lambda part: part.write_text(text, encoding="utf-8"))


def _path(folder: Path, test_set: str) -> Path:
    return folder / f"{test_set[:16]}.jsonl"


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerError(f"{path}: cannot be read: {error}") from error


def _distinct(
    now: LedgerEntry,
    earlier: Iterable[LedgerEntry],
    same: Callable[[LedgerEntry, LedgerEntry], bool],
) -> list[LedgerEntry]:
    """The entry of now, and of the earlier ones each that is unlike all before it."""
    found = [now]
    for entry in earlier:
        if not any(same(entry, one) for one in found):
            found.append(entry)
    return found
