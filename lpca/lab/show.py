"""A grid's table as Markdown, as CSV and for a terminal."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any

from lpca.base.numbers import PERCENT, POINTS, amount, counted, level, number
from lpca.lab.signature import signature, why
from lpca.lab.summary import Effect, Rate, Reading
from lpca.lab.table import Entry, Spread, Summary, Table
from lpca.report.markdown import code, plain, table

MISSING = "–"
VERDICTS = ("PASS", "FAIL", "INCONCLUSIVE", "INVALID", "NOT MEASURED")


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
        "episodes (`evaluation: checkpoints`): a gate that passes also passes with its alpha "
        "divided by that number.",
        "",
    ]
    for k in dict.fromkeys(one.k for one in grid.entries):
        lines += _of_one_k(grid, k)
    lines += ["## Every codec", "", *_codecs(grid), ""]
    return "\n".join(lines)


def _standing(grid: Table) -> str:
    if grid.complete:
        return f"All {len(grid.entries)} codecs of the grid are here."
    waiting = sum(one.reading is None for one in grid.entries)
    return f"**{waiting} of {len(grid.entries)} codecs are still to be measured.**"


def _of_one_k(grid: Table, k: int) -> list[str]:
    shared = grid.shared(k)
    own = [one for one in grid.summaries() if one.k == k]
    names = [name for name in _conditions(grid) if name not in shared]
    head = ["row", "gate", *(f"`{name}`" for name in names), "normal − shuffle, points"]
    head += ["NLL null − normal", "NLL shuffle − normal", "cosine", "norm ratio", "bits"]
    head += ["training", "evaluation", "signature"]
    lines = [f"## k = {k}", ""]
    if shared:
        lines += [
            f"The same for every row (no codec has a part in them), with "
            f"{level(grid.about['confidence'])} intervals: "
            + ", ".join(
                f"`{name}` {counted(one.successes, one.n)} {_interval(one)}"
                for name, one in shared.items()
            )
            + ".",
            "",
        ]
    lines += table(head, [_row(one, names) for one in own])
    return [*lines, "", "Numbers are means over training seeds, with the range in brackets.", ""]


def _row(summary: Summary, conditions: list[str]) -> list[str]:
    numbers = summary.numbers
    cells = [plain(summary.row), _counts(summary.verdicts)]
    cells += [_cell(numbers.get(name), 100.0, 1, " %") for name in conditions]
    cells.append(_cell(numbers.get("normal - shuffle"), 100.0, 1, sign="+"))
    cells += [
        _cell(numbers.get(f"nll {n} - normal"), 1.0, 2, sign="+") for n in ("null", "shuffle")
    ]
    cells += [_cell(numbers.get(name), 1.0, 2) for name in ("cosine", "norm ratio")]
    cells.append(_cell(numbers.get("bits"), 1.0, 0))
    cells += [
        _cell(numbers.get(f"{what} seconds"), 1.0, 0, " s") for what in ("training", "evaluation")
    ]
    return [*cells, _counts(summary.signatures)]


def _counts(counts: Mapping[str, int]) -> str:
    ordered = [name for name in VERDICTS if name in counts]
    ordered += sorted(name for name in counts if name not in VERDICTS)
    return ", ".join(f"{counts[name]} {name}" for name in ordered) or MISSING


def _cell(spread: Spread | None, unit: float, digits: int, after: str = "", sign: str = "") -> str:
    if spread is None:
        return MISSING

    def shown(value: float) -> str:
        return f"{value * unit:{sign},.{digits}f}".replace("-", "−")

    mean, low, high = shown(spread.mean), shown(spread.low), shown(spread.high)
    return f"{mean}{after}" if low == high else f"{mean}{after} ({low} … {high})"


def _codecs(grid: Table) -> list[str]:
    names = _conditions(grid)
    head = ["row", "k", "seed", "gate", *(f"`{name}`" for name in names), "signature", "why"]
    return table(head, [_codec(one, names) for one in grid.entries])


def _codec(entry: Entry, conditions: list[str]) -> list[str]:
    place = [plain(entry.row), str(entry.k), str(entry.seed)]
    reading = entry.reading
    if reading is None:
        return [*place, "to be measured", *([MISSING] * len(conditions)), MISSING, MISSING]
    cells = [_rate(reading, name) for name in conditions]
    return [
        *place,
        f"**{reading.verdict}**",
        *cells,
        signature(reading) or MISSING,
        plain(why(reading)),
    ]


def _rate(reading: Reading, condition: str) -> str:
    one = reading.conditions.get(condition)
    if one is None:
        return MISSING
    return f"{amount(one.rate, PERCENT, column=True)} {_interval(one)}"


def _signed(difference: float) -> str:
    return number(difference, POINTS, column=True, signed=True).replace("-", "−")


def _interval(rate: Rate) -> str:
    low, high = (number(end, PERCENT, column=True) for end in (rate.low, rate.high))
    return f"[{low}, {high}]"


def _conditions(grid: Table) -> list[str]:
    readings = [one.reading for one in grid.entries if one.reading]
    return list(dict.fromkeys(name for one in readings for name in one.conditions))


def as_csv(grid: Table) -> str:
    """One line per codec, every number with its interval in columns of its own."""
    rows = [_flat(one) for one in grid.entries]
    columns = dict.fromkeys(name for row in rows for name in row)
    text = StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _flat(entry: Entry) -> dict[str, Any]:
    place = {"row": entry.row, "k": entry.k, "seed": entry.seed}
    reading = entry.reading
    if reading is None:
        return place
    flat: dict[str, Any] = {**place, "verdict": reading.verdict.value}
    flat |= {"signature": signature(reading), "reasons": "; ".join(reading.reasons)}
    flat["criteria_not_passed"] = " ".join(reading.not_passed)
    for name, rate in reading.conditions.items():
        flat |= {f"{name}_successes": rate.successes, f"{name}_n": rate.n}
        flat |= {f"{name}_low": rate.low, f"{name}_high": rate.high}
    for name, effect in reading.effects.items():
        flat |= _with_interval(name.replace(" - ", "_minus_"), effect)
    for name, effect in reading.nll_gaps.items():
        flat |= _with_interval(f"nll_{name.replace(' - ', '_minus_')}", effect)
    flat |= {"cosine": reading.cosine, "norm_ratio": reading.norm_ratio}
    if reading.bits:
        flat |= {"bits": reading.bits.bits, "bits_kind": reading.bits.kind}
    if reading.loss:
        flat |= {"loss_first": reading.loss.first, "loss_last": reading.loss.last}
    if reading.seconds:
        flat |= {"training_seconds": reading.seconds.training, "origin": reading.origin}
        flat["evaluation_seconds"] = reading.seconds.evaluation
    return flat


def _with_interval(name: str, effect: Effect) -> dict[str, float | None]:
    return {name: effect.mean, f"{name}_low": effect.low, f"{name}_high": effect.high}


def text(grid: Table) -> Iterator[str]:
    """A narrow table for a terminal; the files hold the rest."""
    width = max(len("row"), *(len(one.row) for one in grid.entries)) + 2
    head = f"{'normal':>7}{'shuffle':>9}{'difference':>12}  gate; signature"
    yield f"{'row':<{width}}{'k':>3}  {head}"
    for one in grid.summaries():
        normal, shuffle = (_mean(one, name) for name in ("normal", "shuffle"))
        gap = one.numbers.get("normal - shuffle")
        difference = MISSING if gap is None else _signed(gap.mean)
        told = "; ".join(filter(None, [_counts(one.verdicts), _counts(one.signatures)]))
        yield f"{one.row:<{width}}{one.k:>3}  {normal:>7}{shuffle:>9}{difference:>12}  {told}"
    for entry in grid.entries:
        if entry.reading and not entry.reading.readable:
            yield (
                f"{entry.row}, k={entry.k}, seed {entry.seed}: {entry.reading.verdict}: "
                + "; ".join(entry.reading.reasons)
            )
    yield _standing(grid).replace("**", "")


def _mean(summary: Summary, condition: str) -> str:
    found = summary.numbers.get(condition)
    return MISSING if found is None else amount(found.mean, PERCENT, column=True)
