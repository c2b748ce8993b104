"""How a run ends: the one list of exit codes, shared by pytest runs and `lpca`'s commands."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes; 2 to 5 mean what pytest means by them.

    A failed gate is not a gate that could not be decided: FAIL says the claim is contradicted
    by the data, INCONCLUSIVE that the data do not decide it, INVALID that they must not be
    read, NOT_MEASURED that they are not there.
    """

    PASS = 0
    FAIL = 1
    INTERRUPTED = 2
    INTERNAL_ERROR = 3
    USAGE_ERROR = 4
    NO_TESTS = 5
    INCONCLUSIVE = 6
    INVALID = 7
    NOT_MEASURED = 8


_WORST_FIRST = (
    ExitCode.INTERRUPTED,
    ExitCode.INTERNAL_ERROR,
    ExitCode.USAGE_ERROR,
    ExitCode.NOT_MEASURED,
    ExitCode.INVALID,
    ExitCode.FAIL,
    ExitCode.INCONCLUSIVE,
    ExitCode.NO_TESTS,
    ExitCode.PASS,
)


def worst(codes: Iterable[int]) -> ExitCode:
    """The code a run with several ends on: 2, 3, 4, then 8, 7, 1, 6, 5, then 0.

    No code at all is NO_TESTS: nothing ran, so nothing passed.

    Raises:
        ValueError: a number is no exit code.
    """
    given = {ExitCode(code) for code in codes}
    return next((code for code in _WORST_FIRST if code in given), ExitCode.NO_TESTS)
