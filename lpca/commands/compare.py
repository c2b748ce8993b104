"""`lpca compare`: two attempts, paired on the episodes they share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap

from lpca.base.errors import ExitCode, RequestError, UserError
from lpca.base.numbers import PERCENT, POINTS, amount, level, number
from lpca.commands.cli import tell
from lpca.evidence.runs import run_named
from lpca.report.attempts.compare import CONFIDENCE, Compared, Comparison, compare
from lpca.report.attempts.kept import Attempt, RecordError, read

EXPLORATORY = (
    "Exploratory: no margin was declared for a difference between two attempts, every condition "
    "is tested by itself, and a pair chosen after a look at its outcomes overstates what it "
    "shows. Choose between codecs on validation episodes; let a gate decide on fresh ones."
)
WIDTH = 80


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    for name in ("a", "b"):
        parser.add_argument(
            name,
            metavar=name.upper(),
            help="evidence, a run's name (lpca runs), or an attempt's page or .json",
        )
    parser.add_argument(
        "--condition",
        action="append",
        default=[],
        metavar="NAME",
        help="only this one; may be given again",
    )


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print the paired differences: PASS when compared, INVALID where one may not be read."""
    try:
        first, second = _attempt(arguments.a), _attempt(arguments.b)
        invalid = {"A": first.evidence, "B": second.evidence}
        invalid = {label: held for label, held in invalid.items() if held.is_invalid}
        for label, held in invalid.items():
            print(f"{label} is INVALID, its outcomes are not read: {'; '.join(held.reasons)}")
        if invalid:
            return ExitCode.INVALID
        found = compare(first.evidence, second.evidence, arguments.condition)
        heads = (_head("A", arguments.a, first), _head("B", arguments.b, second))
    except UserError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        what = f"{arguments.a}, {arguments.b}"
        raise RequestError(f"{what}: not as lpca writes it ({error!r:.80})") from error
    print("\n".join([*heads, *_lines(found)]))
    return ExitCode.PASS


def _attempt(path: str) -> Attempt:
    held = read(run_named(path), tell)
    if not isinstance(held, Attempt):
        raise RecordError(
            f"{path}: published without outcomes by episode, so nothing can be paired"
        )
    return held


def _head(label: str, path: str, attempt: Attempt) -> str:
    evidence, made = attempt.evidence, ""
    name = Path(path).name if attempt.record is None else attempt.record.id
    gate = f"{evidence.label} {evidence.verdict}"
    if (codec := evidence.codec) is not None:
        seed = "" if codec.seed is None else f" seed {codec.seed}"
        made = f", codec {codec.architecture}{seed}"
    text = f"{name}: {gate}, receiver {evidence.receiver.name}{made}, {evidence.written[:10]}"
    return "\n".join(wrap(text, WIDTH, initial_indent=f"{label}  ", subsequent_indent="   "))


def _lines(found: Comparison) -> Iterator[str]:
    yield (
        f"{found.shared} episodes shared, {found.only_first} only in A, {found.only_second} only "
        f"in B; scored by {found.score}"
    )
    yield "A - B and its interval are in points."
    yield from (line for text in _basis(found) for line in wrap(text, WIDTH))
    yield ""
    width = max(len("condition"), *(len(condition.condition) for condition in found.conditions))
    yield (
        f"{'condition':<{width}}{'A':>8}{'B':>8}{'a b c d':>16}{'A - B':>8}"
        f"{f'{level(CONFIDENCE)} interval':>18}{'p':>11}"
    )
    yield from (_row(condition, width) for condition in found.conditions)
    yield ""
    for text in (*(f"Warning: {warning}." for warning in found.warnings), EXPLORATORY):
        yield from wrap(text, WIDTH)


def _basis(found: Comparison) -> Iterator[str]:
    """What the intervals rest on, where that is not each episode of a number fixed beforehand."""
    if found.groups is None:
        yield "Neither keeps groups: each episode counts as one piece of evidence."
    elif found.groups < found.shared:
        yield f"{found.shared} episodes are in {found.groups} groups, which the intervals are over."
    if found.stop.look is None:
        yield "A run could end at any time: intervals and p hold at every time."
    elif found.stop.looks != 1:
        yield (
            f"The shared episodes end at look {found.stop.look} of {found.stop.looks}: intervals "
            "and p are those of all looks together."
        )


def _row(one: Compared, width: int) -> str:
    pairs = one.table
    counts = "" if pairs is None else f"{pairs.a} {pairs.b} {pairs.c} {pairs.d}"
    rates = (amount(rate, PERCENT, column=True) for rate in (one.first, one.second))
    values = (one.difference, one.interval.low, one.interval.high)
    difference, low, high = (number(value, POINTS, column=True, signed=True) for value in values)
    return (
        f"{one.condition:<{width}}{''.join(f'{rate:>8}' for rate in rates)}{counts:>16}"
        f"{difference:>8}{f'{low} to {high}':>18}{one.p:>11.2g}"
    )
