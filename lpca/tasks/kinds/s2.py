"""S2, arithmetic with missing operands: B has the formula and one of four numbers, A the others."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence

from lpca.tasks import TASKS
from lpca.tasks.family import OPTIONS, Family, Puzzle

OPERANDS = ("a", "b", "c", "d")
VALUES = tuple(range(1, 10))
FORMULAS = (
    *("a+b+c+d", "a+b+c-d", "a+b-c-d", "a-b+c-d"),
    *("a*b+c-d", "a*b-c+d", "a+b*c-d", "a-b+c*d"),
)

_ANSWER = re.compile(r"(-?\d{1,6})(?![\w.])")
_TERM = re.compile(r"([+-]?)([a-d])(?:\*([a-d]))?")


@TASKS.register("s2")
class Arithmetic(Family):
    """A formula of four numbers from 1 to 9; three of them are A's."""

    name = "s2"
    lead = "Work out the formula with the numbers given; answer with the result alone.\nFormula:"
    after = "\nResult:"

    def draw(self, rng: random.Random) -> Puzzle:
        """Return a puzzle whose result is no number that B sees."""
        while True:
            formula = rng.choice(FORMULAS)
            numbers = {operand: rng.choice(VALUES) for operand in OPERANDS}
            mine = rng.choice(OPERANDS)
            right = value_of(formula, numbers)
            near = {value_of(formula, other) for other in _changed(numbers, mine)}
            near -= {right, numbers[mine]}
            if right != numbers[mine] and len(near) >= OPTIONS - 1:
                break
        theirs = [operand for operand in OPERANDS if operand != mine]
        rng.shuffle(theirs)
        return Puzzle(
            told=tuple(f"{operand}={numbers[operand]}" for operand in theirs),
            own=(formula, f"{mine}={numbers[mine]}"),
            right=str(right),
            wrong=tuple(map(str, rng.sample(sorted(near), OPTIONS - 1))),
        )

    def credit(self, told: Sequence[str], own: Sequence[str], said: str) -> float:
        """Return 1 / (1 + error) of the number that the line begins with; 0 without one."""
        answer = _ANSWER.match(said)
        if answer is None:
            return 0.0
        return 1.0 / (1 + abs(int(answer[1]) - value_of(own[0], _numbers(told, own))))

    def contradicts(self, told: Sequence[str], own: Sequence[str], answer: str) -> bool:
        """Whether A's numbers are the ones that B lacks, and give another result."""
        numbers = _numbers(told, own)
        return len(numbers) == len(OPERANDS) and value_of(own[0], numbers) != int(answer)


def value_of(formula: str, numbers: Mapping[str, int]) -> int:
    """The value of a sum of operands and products of two."""
    total = 0
    for sign, one, other in _TERM.findall(formula):
        term = numbers[one] * (numbers[other] if other else 1)
        total += -term if sign == "-" else term
    return total


def _numbers(told: Sequence[str], own: Sequence[str]) -> dict[str, int]:
    return {one[0]: int(one[2:]) for one in (*told, *own[1:])}


def _changed(numbers: Mapping[str, int], mine: str) -> Iterator[dict[str, int]]:
    """The numbers with one of A's another one."""
    for operand in OPERANDS:
        if operand != mine:
            for value in VALUES:
                yield {**numbers, operand: value}
