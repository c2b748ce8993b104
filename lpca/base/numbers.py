"""Numbers for people: rates in per cent, differences in points, by one rule everywhere.

A rate or a difference of rates is rounded to a tenth of a per cent or point, a ratio to three
digits. Running text leaves out a last zero; a column keeps it, so that numbers stand below one
another. Numbers for machines (JSON, JUnit) are proportions and are not rounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Unit:
    """What a proportion is multiplied by to be shown, and what stands behind it."""

    factor: float
    name: str

    def behind(self, text: str) -> str:
        """The text with the unit's name behind it, if it has one."""
        return f"{text} {self.name}" if self.name else text


PERCENT, POINTS, RATIO = Unit(100.0, "%"), Unit(100.0, "points"), Unit(1.0, "")
UNITS = {unit.name: unit for unit in (PERCENT, POINTS, RATIO)}


def number(value: float, unit: Unit, *, column: bool = False, signed: bool = False) -> str:
    """A number as people read it, without its unit's name.

    Args:
        value: a proportion, a difference of proportions, or a ratio of two.
        unit: what it is shown in.
        column: whether it stands among others in a column, and keeps a last zero.
        signed: whether a plus is shown; zero has no sign.

    Returns:
        The rounded number; `unbounded` for an infinite one, `undefined` for none.

    Example:
        >>> number(0.0125, POINTS, signed=True), number(0.26, PERCENT, column=True)
        ('+1.2', '26.0')
    """
    if not math.isfinite(value):
        return "unbounded" if math.isinf(value) else "undefined"
    # 0.0 is added for a zero that would have a minus
    rounded = round(unit.factor * value, 1) + 0.0
    sign = "+" if signed and rounded else ""
    if unit is RATIO:
        return f"{value:{sign}.3g}"
    return f"{rounded:{sign}.1f}" if column else f"{rounded:{sign}g}"


def amount(value: float, unit: Unit, *, column: bool = False, signed: bool = False) -> str:
    """A number with its unit: `93.5 %`, `+16 points`."""
    return unit.behind(number(value, unit, column=column, signed=signed))


def span(low: float, high: float, unit: Unit, *, column: bool = False, signed: bool = False) -> str:
    """Two ends with their unit: `90.6 to 95.5 %`."""
    ends = (number(end, unit, column=column, signed=signed) for end in (low, high))
    return unit.behind(" to ".join(ends))


def percent(rate: float) -> str:
    """A rate in running text: `26 %`."""
    return amount(rate, PERCENT)


def points(difference: float) -> str:
    """A difference of rates in running text: `10 points`."""
    return amount(difference, POINTS)


def tally(successes: float, n: int) -> str:
    """Successes of n: `374/400`; of marks their sum: `287.25/400`."""
    count = f"{successes:.2f}" if isinstance(successes, float) else str(successes)
    return f"{count}/{n}"


def counted(successes: float, n: int) -> str:
    """Successes with their rate: `374/400 = 93.5 %`."""
    return f"{tally(successes, n)} = {amount(successes / n, PERCENT, column=True)}"


def plural(count: int, thing: str) -> str:
    """Such as `1 gate`, `2 gates`."""
    return f"{count} {thing}{'s' * (count != 1)}"


def level(confidence: float) -> str:
    """A confidence: `95 %`, `97.5 %`."""
    return f"{round(100 * confidence, 2):g} %"
