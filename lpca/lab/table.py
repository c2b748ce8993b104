"""The table of a grid: every codec's reading, and each row's over its training seeds.

Training seeds share their test episodes, so that seeds times episodes are not independent: over
seeds a row has the mean and the range, never an interval. Intervals stand at each codec.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lpca.gatespec.model import CODEC_LATENTS
from lpca.lab.signature import signature, why
from lpca.lab.summary import Rate, Reading
from lpca.stats import Verdict

FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """One codec of the grid; without a `reading` it is still to be measured."""

    row: str
    k: int
    seed: int
    evidence: str
    reading: Reading | None


@dataclass(frozen=True)
class Spread:
    """Mean and range of a number over training seeds."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Summary:
    """One row of the grid at one k, over those of its `seeds` training seeds that can be read."""

    row: str
    k: int
    seeds: int
    verdicts: Mapping[str, int]
    signatures: Mapping[str, int]
    numbers: Mapping[str, Spread]


@dataclass(frozen=True)
class Table:
    """A grid as far as it is measured."""

    about: Mapping[str, Any]
    entries: Sequence[Entry]

    @property
    def complete(self) -> bool:
        """Whether no codec is still to be measured."""
        return all(one.reading is not None for one in self.entries)

    def summaries(self) -> list[Summary]:
        """Each row at each k, in the grid's order."""
        groups: dict[tuple[str, int], list[Entry]] = {}
        for one in self.entries:
            groups.setdefault((one.row, one.k), []).append(one)
        return [_summary(row, k, own) for (row, k), own in groups.items()]

    def shared(self, k: int) -> dict[str, Rate]:
        """The conditions that are the same for every codec at a k: no codec has a part in them."""
        readable = [r for one in self.entries if one.k == k and (r := _readable(one))]
        if not readable:
            return {}
        first = readable[0].conditions
        return {
            name: rate
            for name, rate in first.items()
            if name not in CODEC_LATENTS and all(one.conditions[name] == rate for one in readable)
        }

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {
            "format": FORMAT,
            **self.about,
            "complete": self.complete,
            "codecs": [_entry(one) for one in self.entries],
            "rows": [asdict(one) for one in self.summaries()],
        }


def _entry(entry: Entry) -> dict[str, Any]:
    place = {"row": entry.row, "k": entry.k, "seed": entry.seed}
    if entry.reading is None:
        return {**place, "verdict": None}
    reading = asdict(entry.reading)
    return {
        **place,
        "evidence": entry.evidence if entry.reading.verdict != Verdict.NOT_MEASURED else None,
        **reading,
        "signature": signature(entry.reading),
        "why": why(entry.reading),
    }


def _readable(entry: Entry) -> Reading | None:
    return entry.reading if entry.reading and entry.reading.readable else None


def _summary(row: str, k: int, entries: Sequence[Entry]) -> Summary:
    measured = [one.reading for one in entries if one.reading]
    readable = [one for one in measured if one.readable]
    return Summary(
        row,
        k,
        len(entries),
        dict(Counter(one.verdict.value for one in measured)),
        dict(Counter(signature(one) for one in readable)),
        {name: _spread(values) for name, values in _numbers(readable)},
    )


def _numbers(readings: Sequence[Reading]) -> Iterator[tuple[str, list[float]]]:
    """Every number that all readings have, by name."""
    for name, of in _columns(readings).items():
        values = [of(one) for one in readings]
        known = [value for value in values if value is not None]
        if known and len(known) == len(values):
            yield name, known


def _columns(readings: Sequence[Reading]) -> dict[str, Callable[[Reading], float | None]]:
    if not readings:
        return {}
    first = readings[0]
    return {
        **{name: _rate_of(name) for name in first.conditions},
        **{name: _effect_of(name) for name in first.effects},
        **{f"nll {name}": _gap_of(name) for name in first.nll_gaps},
        "cosine": lambda one: one.cosine,
        "norm ratio": lambda one: one.norm_ratio,
        "bits": lambda one: one.bits.bits if one.bits else None,
        "training seconds": lambda one: one.seconds.training if one.seconds else None,
        "evaluation seconds": lambda one: one.seconds.evaluation if one.seconds else None,
    }


def _rate_of(name: str) -> Callable[[Reading], float | None]:
    return lambda one: one.conditions[name].rate if name in one.conditions else None


def _effect_of(name: str) -> Callable[[Reading], float | None]:
    return lambda one: one.effects[name].mean if name in one.effects else None


def _gap_of(name: str) -> Callable[[Reading], float | None]:
    return lambda one: one.nll_gaps[name].mean if name in one.nll_gaps else None


def _spread(values: Sequence[float]) -> Spread:
    return Spread(sum(values) / len(values), min(values), max(values))
