"""S3, toy program synthesis: from a function's cases, half of them A's, find an expression."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache

from lpca.tasks import TASKS
from lpca.tasks.family import OPTIONS, Family, Puzzle
from lpca.tasks.sandbox import run_expression

INPUTS = tuple(range(10))
PER_AGENT = 2
LEAST_OPEN = 4
"""How many of the functions that are drawn each agent's cases leave open, at least."""
STARTS = ("x", "x*x", *(f"{name}(x,{c})" for name in ("max", "min") for c in (3, 6)))
FACTORS, SHIFTS, MODULUS = (1, 2, 3, 4), (0, 1, 2, 3, 4), 5

_CASE = re.compile(r"f\((\d+)\)=(\d+)")

Values = tuple[int, ...]


@TASKS.register("s3")
class Programs(Family):
    """Drawn are `(START*FACTOR+SHIFT)%5`; right is every expression that gives all four cases.

    Either agent's two cases leave at least LEAST_OPEN of these functions, all four exactly one.
    """

    name = "s3"
    lead = (
        "f(x) is an expression of x, whole numbers, + - * // %, max, min and abs. Find one that "
        "gives all cases; answer with it alone.\nCases:"
    )
    after = "\nf(x) ="

    def draw(self, rng: random.Random) -> Puzzle:
        """Return a puzzle: cases of a random function, rejected until they fit."""
        functions = _functions()
        every = list(functions)
        while True:
            values = rng.choice(every)
            cases = [f"f({x})={values[x]}" for x in rng.sample(INPUTS, 2 * PER_AGENT)]
            told, own = tuple(cases[:PER_AGENT]), tuple(cases[PER_AGENT:])
            theirs, mine = _giving(told), _giving(own)
            if len(theirs & mine) == 1 and min(len(theirs), len(mine)) >= LEAST_OPEN:
                break
        near = sorted(mine - theirs)
        near = rng.sample(near, min(len(near), OPTIONS - 1))
        far = rng.sample(sorted(set(every) - mine), OPTIONS - 1 - len(near))
        return Puzzle(told, own, functions[values], tuple(functions[v] for v in (*near, *far)))

    def credit(self, told: Sequence[str], own: Sequence[str], said: str) -> float:
        """Return the share of cases that an expression gives when it is run in the sandbox."""
        wanted = [_read(case) for case in (*told, *own)]
        given = run_expression(said, tuple(dict.fromkeys(x for x, _ in wanted)))
        return sum(given.get(x) == y for x, y in wanted) / len(wanted)

    def contradicts(self, told: Sequence[str], own: Sequence[str], answer: str) -> bool:
        """Whether the function of a drawn expression misses one of A's cases."""
        values = _by_text()[answer]
        return any(values[x] != y for x, y in map(_read, told))


def _read(case: str) -> tuple[int, int]:
    match = _CASE.fullmatch(case)
    assert match is not None
    return int(match[1]), int(match[2])


@cache
def _functions() -> Mapping[Values, str]:
    """By its values on INPUTS an expression of every function that is drawn."""
    found: dict[Values, str] = {}
    for start in STARTS:
        for factor in FACTORS:
            for shift in SHIFTS:
                values = tuple((_start(start, x) * factor + shift) % MODULUS for x in INPUTS)
                found.setdefault(values, f"({start}*{factor}+{shift})%{MODULUS}")
    return found


@cache
def _by_text() -> Mapping[str, Values]:
    return {text: values for values, text in _functions().items()}


def _start(start: str, x: int) -> int:
    if not start.endswith(")"):
        return x * x if start == "x*x" else x
    return (max if start.startswith("max") else min)(x, int(start[-2]))


@cache
def _giving(cases: tuple[str, ...]) -> frozenset[Values]:
    """The functions that give all cases."""
    wanted = dict(map(_read, cases))
    return frozenset(v for v in _functions() if all(v[x] == y for x, y in wanted.items()))
