"""S1, constraint satisfaction: four variables, eight constraints, four of them A's."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations, product

from lpca.tasks import TASKS
from lpca.tasks.family import OPTIONS, Family, Puzzle

VARIABLES = ("w", "x", "y", "z")
DOMAIN = (0, 1, 2)
PER_AGENT = 4
LEAST_OPEN = OPTIONS
"""How many assignments each agent's half leaves open, at least."""

Assignment = tuple[int, ...]
ASSIGNMENTS: tuple[Assignment, ...] = tuple(product(DOMAIN, repeat=len(VARIABLES)))
_CONSTRAINT = re.compile(r"([w-z])(!=|=|<|>)([w-z0-2])")
_VALUE = re.compile(r"\b([w-z])\s*=\s*(\d+)")


@TASKS.register("s1")
class Constraints(Family):
    """Four variables with three values; constraints are `w!=0`, or `=`, `!=`, `<`, `>` of two.

    Either half leaves at least LEAST_OPEN of the 81 assignments, both together exactly one.
    """

    name = "s1"
    lead = (
        "Each of w, x, y, z is 0, 1 or 2. Find the values that meet all constraints; answer in the "
        "form w=? x=? y=? z=?\nConstraints:"
    )
    after = "\nAnswer:"

    def draw(self, rng: random.Random) -> Puzzle:
        """Return a puzzle: true constraints of a random assignment, rejected until they fit."""
        masks = _masks()
        while True:
            place = rng.randrange(len(ASSIGNMENTS))
            chosen = rng.sample(_true_of(place), 2 * PER_AGENT)
            told, own = chosen[:PER_AGENT], chosen[PER_AGENT:]
            theirs, mine = _all_of(masks, told), _all_of(masks, own)
            if (theirs & mine).bit_count() > 1:
                continue
            if min(theirs.bit_count(), mine.bit_count()) >= LEAST_OPEN:
                break
        wrong = [i for i in range(len(ASSIGNMENTS)) if i != place and mine >> i & 1]
        near = rng.sample(wrong, OPTIONS - 1)
        right, *others = (as_text(ASSIGNMENTS[i]) for i in (place, *near))
        return Puzzle(tuple(told), tuple(own), right, tuple(others))

    def credit(self, told: Sequence[str], own: Sequence[str], said: str) -> float:
        """Return the share of constraints met; one whose variable has no value is not met.

        A line that gives a variable two values, or one outside of the domain, gets 0.
        """
        values: dict[str, int] = {}
        for variable, digits in _VALUE.findall(said):
            value = int(digits)
            if value not in DOMAIN or values.setdefault(variable, value) != value:
                return 0.0
        constraints = (*told, *own)
        return sum(holds(constraint, values) for constraint in constraints) / len(constraints)


def holds(constraint: str, values: Mapping[str, int]) -> bool:
    """Whether a constraint holds of values; False where a variable of it has none."""
    match = _CONSTRAINT.fullmatch(constraint)
    assert match is not None
    left, relation, right = match.groups()
    one = values.get(left)
    other = values.get(right) if right in VARIABLES else int(right)
    if one is None or other is None:
        return False
    return {"=": one == other, "!=": one != other, "<": one < other, ">": one > other}[relation]


def as_text(assignment: Assignment) -> str:
    """An assignment as B should say it."""
    return " ".join(f"{v}={value}" for v, value in zip(VARIABLES, assignment, strict=True))


def all_constraints() -> tuple[str, ...]:
    """Every constraint that a problem may hold: 12 on one variable, 24 on two."""
    single = [f"{v}!={value}" for v in VARIABLES for value in DOMAIN]
    pairs = [f"{a}{op}{b}" for a, b in combinations(VARIABLES, 2) for op in ("=", "!=", "<", ">")]
    return (*single, *pairs)


@cache
def _masks() -> Mapping[str, int]:
    """By constraint the assignments of which it holds, as bits."""
    every = [dict(zip(VARIABLES, assignment, strict=True)) for assignment in ASSIGNMENTS]
    return {
        constraint: sum(1 << i for i, values in enumerate(every) if holds(constraint, values))
        for constraint in all_constraints()
    }


@cache
def _true_of(place: int) -> list[str]:
    return [one for one, mask in _masks().items() if mask >> place & 1]


def _all_of(masks: Mapping[str, int], constraints: Sequence[str]) -> int:
    left = (1 << len(ASSIGNMENTS)) - 1
    for constraint in constraints:
        left &= masks[constraint]
    return left
