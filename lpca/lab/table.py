"""The table of a grid: every codec, and each row over its training seeds; and its files.

Training seeds share their test episodes, so that seeds times episodes are not independent: over
seeds a row has the mean and the range, never an interval. Intervals stand at each codec.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from lpca.base.files import write_bytes, write_json, write_text
from lpca.base.hashing import with_hash
from lpca.base.numbers import PERCENT, POINTS, amount, counted, level, number
from lpca.gatespec.model import CODEC_LATENTS
from lpca.lab.results import Results
from lpca.lab.summary import CodecSummary, Rate
from lpca.report.markdown import code, plain, table
from lpca.stats.verdicts import Verdict

FORMAT = 1
FILES = ("table.md", "table.csv", "forest.svg", "table.json")
"""What is written; the last one when the others are there."""
BITS = "bits.svg"
"""Written too where the gate has text cut short, which success against bits is held against."""
MISSING = "–"


@dataclass(frozen=True)
class CodecEntry:
    """One codec of the grid; without a `summary` it is still to be measured."""

    row: str
    k: int
    seed: int
    evidence: str
    summary: CodecSummary | None


@dataclass(frozen=True)
class Spread:
    """Mean and range of a number over training seeds."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class RowSummary:
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
    entries: Sequence[CodecEntry]

    @property
    def complete(self) -> bool:
        """Whether no codec is still to be measured."""
        return all(entry.summary is not None for entry in self.entries)

    def rows(self) -> list[RowSummary]:
        """Each row at each k, in the grid's order."""
        groups: dict[tuple[str, int], list[CodecEntry]] = {}
        for entry in self.entries:
            groups.setdefault((entry.row, entry.k), []).append(entry)
        return [_row_summary(row, k, own) for (row, k), own in groups.items()]

    def shared(self, k: int) -> dict[str, Rate]:
        """The conditions that are the same for every codec at a k: no codec has a part in them."""
        at_k = [entry.summary for entry in self.entries if entry.k == k and entry.summary]
        held = [summary.conditions for summary in at_k if summary.readable]
        return {
            name: rate
            for name, rate in (held[0] if held else {}).items()
            if name not in CODEC_LATENTS and all(one[name] == rate for one in held)
        }

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values, with the hash of all of them."""
        data = {
            "format": FORMAT,
            **self.about,
            "complete": self.complete,
            "codecs": [_as_json(entry) for entry in self.entries],
            "rows": [asdict(row) for row in self.rows()],
        }
        return with_hash(data)


def table_of(results: Results) -> Table:
    """A grid's table as far as it is measured."""
    grid, spec = results.grid, results.spec
    gate = spec.gates[grid.gate]
    about: dict[str, Any] = {
        "name": grid.name,
        "gate": gate.name,
        "spec": Path(spec.file).name,
        "n": spec.episodes(gate),
        "answers": gate.answers,
        "score": spec.evaluation.score,
        "confidence": spec.evaluation.confidence,
        "announced": spec.evaluation.checkpoints,
        "receiver": dict(results.keys.receiver),
        "recipes": {row.name: row.content() for row in grid.rows},
    }
    entries = []
    for cell in grid.in_order():
        place = (cell.row.name, cell.k, cell.seed)
        evidence = str(results.evidence(cell).relative_to(results.folder))
        entries.append(CodecEntry(*place, evidence, results.summary(cell)))
    return Table(about, entries)


def write_table(grid: Table, out: Path) -> None:
    """Write the table in every form; StorageError when it cannot be."""
    from lpca.report.figures.bits import bits_figure, has_bits
    from lpca.report.figures.lab import lab_figure
    from lpca.report.figures.style import svg

    data = grid.to_dict()
    words, lines, forest, whole = (out / name for name in FILES)
    write_text(words, markdown(grid))
    write_text(lines, as_csv(grid))
    write_bytes(forest, svg(lab_figure(data)))
    if has_bits(data):
        write_bytes(out / BITS, svg(bits_figure([data])))
    write_json(whole, data, indent=1)


def _as_json(entry: CodecEntry) -> dict[str, Any]:
    place, summary = {"row": entry.row, "k": entry.k, "seed": entry.seed}, entry.summary
    if summary is None:
        return {**place, "verdict": None}
    return {
        **place,
        "evidence": None if summary.verdict is Verdict.NOT_MEASURED else entry.evidence,
        **asdict(summary),
        "signature": summary.signature,
        "why": summary.why,
    }


def _row_summary(row: str, k: int, entries: Sequence[CodecEntry]) -> RowSummary:
    measured = [entry.summary for entry in entries if entry.summary]
    readable = [summary for summary in measured if summary.readable]
    return RowSummary(
        row,
        k,
        len(entries),
        dict(Counter(summary.verdict.value for summary in measured)),
        dict(Counter(summary.signature for summary in readable)),
        dict(_spreads([summary.numbers for summary in readable])),
    )


def _spreads(numbers: Sequence[Mapping[str, float | None]]) -> Iterator[tuple[str, Spread]]:
    """Of every number that all seeds have."""
    for name in numbers[0] if numbers else ():
        values = [value for own in numbers if (value := own.get(name)) is not None]
        if len(values) == len(numbers):
            yield name, Spread(sum(values) / len(values), min(values), max(values))


def markdown(grid: Table) -> str:
    """The whole table: what no codec has a part in, each row over its seeds, each codec."""
    about = grid.about
    lines = [
        f"# {plain(about['name'])}",
        "",
        f"Gate {code(about['gate'])} of {code(about['spec'])}, receiver "
        f"{code(about['receiver']['name'])} ({about['receiver']['dtype']}), "
        f"n = {about['n']} episodes (answers {about['answers']}, scored by {about['score']}). "
        f"{_standing(grid)} Every codec is judged as one of {about['announced']} on the same test "
        "episodes (`evaluation: checkpoints`): claims about it are read at alpha divided by that "
        "number.",
        "",
    ]
    for k in dict.fromkeys(entry.k for entry in grid.entries):
        lines += _of_one_k(grid, k)
    lines += ["## Every codec", "", *_every_codec(grid), ""]
    return "\n".join(lines)


def _standing(grid: Table) -> str:
    if grid.complete:
        return f"All {len(grid.entries)} codecs of the grid are here."
    waiting = sum(entry.summary is None for entry in grid.entries)
    return f"**{waiting} of {len(grid.entries)} codecs are still to be measured.**"


def _of_one_k(grid: Table, k: int) -> Iterator[str]:
    shared = grid.shared(k)
    names = [name for name in _conditions(grid) if name not in shared]
    yield from (f"## k = {k}", "")
    if shared:
        intervals = f"{level(grid.about['confidence'])} intervals"
        told = ", ".join(
            f"`{name}` {counted(rate.successes, rate.n)} {_interval(rate)}"
            for name, rate in shared.items()
        )
        lead = "The same for every row (no codec has a part in them), with"
        yield from (f"{lead} {intervals}: {told}.", "")
    head = ["row", "gate", *(f"`{name}`" for name in names), "normal − shuffle, points"]
    head += ["NLL null − normal", "NLL shuffle − normal", "cosine", "norm ratio", "bits"]
    head += ["training", "evaluation", "signature"]
    yield from table(head, [_row(row, names) for row in grid.rows() if row.k == k])
    yield from ("", "Numbers are means over training seeds, with the range in brackets.", "")


def _row(row: RowSummary, conditions: list[str]) -> list[str]:
    def cell(name: str, digits: int, unit: float = 1.0, after: str = "", sign: str = "") -> str:
        if (found := row.numbers.get(name)) is None:
            return MISSING
        mean, low, high = (
            f"{value * unit:{sign},.{digits}f}".replace("-", "−")
            for value in (found.mean, found.low, found.high)
        )
        return f"{mean}{after}" if low == high else f"{mean}{after} ({low} … {high})"

    return [
        plain(row.row),
        _counts(row.verdicts),
        *(cell(name, 1, 100.0, " %") for name in conditions),
        cell("normal - shuffle", 1, 100.0, sign="+"),
        *(cell(f"nll {name} - normal", 2, sign="+") for name in ("null", "shuffle")),
        *(cell(name, 2) for name in ("cosine", "norm ratio")),
        cell("bits", 0),
        *(cell(f"{what} seconds", 0, after=" s") for what in ("training", "evaluation")),
        _counts(row.signatures),
    ]


def _counts(counts: Mapping[str, int]) -> str:
    """Verdicts in their own order, then signatures in the alphabet's."""
    ordered = [name for name in Verdict if name in counts]
    names = [*ordered, *sorted(counts.keys() - set(ordered))]
    return ", ".join(f"{counts[name]} {name}" for name in names) or MISSING


def _every_codec(grid: Table) -> list[str]:
    names = _conditions(grid)
    head = ["row", "k", "seed", "gate", *(f"`{name}`" for name in names), "signature", "why"]
    return table(head, [_codec(entry, names) for entry in grid.entries])


def _codec(entry: CodecEntry, conditions: list[str]) -> list[str]:
    place, summary = [plain(entry.row), str(entry.k), str(entry.seed)], entry.summary
    if summary is None:
        return [*place, "to be measured", *([MISSING] * (len(conditions) + 2))]
    rates = [summary.conditions.get(name) for name in conditions]
    return [
        *place,
        f"**{summary.verdict}**",
        *(f"{_rate(rate.rate)} {_interval(rate)}" if rate else MISSING for rate in rates),
        summary.signature or MISSING,
        plain(summary.why),
    ]


def _rate(rate: float | None) -> str:
    return MISSING if rate is None else amount(rate, PERCENT, column=True)


def _interval(rate: Rate) -> str:
    low, high = (number(end, PERCENT, column=True) for end in (rate.low, rate.high))
    return f"[{low}, {high}]"


def _conditions(grid: Table) -> list[str]:
    held = [entry.summary.conditions for entry in grid.entries if entry.summary]
    return list(dict.fromkeys(name for conditions in held for name in conditions))


def as_csv(grid: Table) -> str:
    """One line per codec, every number with its interval in columns of its own."""
    rows = [_flat(entry) for entry in grid.entries]
    columns = dict.fromkeys(name for row in rows for name in row)
    text = StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _flat(entry: CodecEntry) -> dict[str, Any]:
    flat: dict[str, Any] = {"row": entry.row, "k": entry.k, "seed": entry.seed}
    summary = entry.summary
    if summary is None:
        return flat
    flat |= {"verdict": summary.verdict.value, "signature": summary.signature}
    flat["reasons"] = "; ".join(summary.reasons)
    flat["criteria_not_passed"] = " ".join(summary.not_passed)
    for name, rate in summary.conditions.items():
        flat |= {f"{name}_{what}": value for what, value in asdict(rate).items()}
    effects = {**summary.effects, **{f"nll_{n}": gap for n, gap in summary.nll_gaps.items()}}
    for name, effect in effects.items():
        column = name.replace(" - ", "_minus_")
        flat |= {column: effect.mean, f"{column}_low": effect.low, f"{column}_high": effect.high}
    flat |= {"cosine": summary.cosine, "norm_ratio": summary.norm_ratio}
    if summary.bits:
        flat |= {"bits": summary.bits.bits, "bits_kind": summary.bits.kind}
    if summary.loss:
        flat |= {"loss_first": summary.loss.first, "loss_last": summary.loss.last}
    if summary.seconds:
        flat |= {"training_seconds": summary.seconds.training, "origin": summary.origin}
        flat["evaluation_seconds"] = summary.seconds.evaluation
    return flat


def text(grid: Table) -> Iterator[str]:
    """A narrow table for a terminal; the files hold the rest."""
    width = max(len("row"), *(len(entry.row) for entry in grid.entries)) + 2
    head = f"{'normal':>7}{'shuffle':>9}{'difference':>12}  gate; signature"
    yield f"{'row':<{width}}{'k':>3}  {head}"
    for row in grid.rows():
        means = {name: found.mean for name, found in row.numbers.items()}
        normal, shuffle = _rate(means.get("normal")), _rate(means.get("shuffle"))
        points = MISSING
        if (gap := means.get("normal - shuffle")) is not None:
            points = number(gap, POINTS, column=True, signed=True).replace("-", "−")
        told = "; ".join(filter(None, [_counts(row.verdicts), _counts(row.signatures)]))
        yield f"{row.row:<{width}}{row.k:>3}  {normal:>7}{shuffle:>9}{points:>12}  {told}"
    for entry in grid.entries:
        if (summary := entry.summary) and not summary.readable:
            told = f"{summary.verdict}: {'; '.join(summary.reasons)}"
            yield f"{entry.row}, k={entry.k}, seed {entry.seed}: {told}"
    yield _standing(grid).replace("**", "")
