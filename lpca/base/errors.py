"""How a run ends: errors that are one message and no traceback, and the one list of exit codes."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from enum import IntEnum
from importlib import import_module
from pathlib import Path
from typing import Any

from lpca.base import PACKAGE


class ExitCode(IntEnum):
    """Exit codes; 2 to 5 mean what pytest means by them.

    A failed gate is not a gate that could not be decided: FAIL says the claim is contradicted
    by the data, INCONCLUSIVE that the data do not decide it, INVALID that they must not be
    read, NOT_MEASURED that they are not there, EXPLORED that they were validation episodes,
    which decide nothing.
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
    EXPLORED = 9


class UserError(Exception):
    """What a user has to know, and nothing more: its text is the whole message."""

    exit_code = ExitCode.USAGE_ERROR
    """What a command ends on that ends so."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows of it, in place of the way that it came."""
        return [f"{type(self).__name__}: {self}"]


class RunError(UserError):
    """Something a run needs is missing or unfit; the text says what, and what to do."""

    is_usage_error = False
    """Whether what the user asked for is at fault, rather than what was met on the way."""


class RequestError(RunError):
    """The user asked for something that cannot be had."""

    is_usage_error = True


_WORST_FIRST = (
    ExitCode.INTERRUPTED,
    ExitCode.INTERNAL_ERROR,
    ExitCode.USAGE_ERROR,
    ExitCode.NOT_MEASURED,
    ExitCode.INVALID,
    ExitCode.FAIL,
    ExitCode.INCONCLUSIVE,
    ExitCode.EXPLORED,
    ExitCode.NO_TESTS,
    ExitCode.PASS,
)


def worst(codes: Iterable[int]) -> ExitCode:
    """The code a run with several ends on: 2, 3, 4, then 8, 7, 1, 6, 9, 5, then 0.

    No code at all is NO_TESTS: nothing ran, so nothing passed.

    Raises:
        ValueError: a number is no exit code.
    """
    given = {ExitCode(code) for code in codes}
    return next((code for code in _WORST_FIRST if code in given), ExitCode.NO_TESTS)


LONGEST = 400
"""As many letters of a message of somebody else's are shown."""


def shown_error(error: BaseException, longest: int = LONGEST) -> str:
    """An error of code that is not lpca's, in one line that is not too long.

    Example:
        >>> shown_error(ValueError("no\\n  such   thing"))
        'ValueError: no such thing'
        >>> shown_error(ValueError("x" * 1000), 20)
        'ValueError: xxxxxxxxxxxxxxxxxxxx ... (1000 letters)'
    """
    try:
        text = str(error)
    except BaseException as other:
        return f"{type(error).__name__} (its text cannot be had: {type(other).__name__})"
    # as much of it as could be shown, were it all words
    head = " ".join(text[: 4 * longest].split())
    # a terminal would obey some of the others
    head = "".join(letter if letter.isprintable() else "?" for letter in head)
    if len(text) > 4 * longest or len(head) > longest:
        head = f"{head[:longest]} ... ({len(text)} letters)"
    return f"{type(error).__name__}: {head}".removesuffix(": ")


def is_users_file(name: str) -> bool:
    """Whether a file in a traceback is neither lpca's, nor Python's, nor an installed package's."""
    others = (PACKAGE, Path(traceback.__file__).parent)
    # what a dataclass generates has the name of what a text holds: neither is a file
    return not (
        name.startswith(("<frozen", "<string>"))
        or "site-packages" in name
        or any(other in Path(name).parents for other in others)
    )


def located_error(error: BaseException) -> str:
    """The error in one line, with the last place of the user's own code that it came through."""
    text, frames = shown_error(error), traceback.extract_tb(error.__traceback__)
    places = [frame for frame in frames if is_users_file(frame.filename)]
    return f"{text} ({Path(places[-1].filename).name}:{places[-1].lineno})" if places else text


def needed(module: str, extra: str, what: str) -> Any:
    """Import a module of one of lpca's extras.

    Args:
        module: its dotted name.
        extra: the extra of which its package is a part, as in pyproject.toml.
        what: what needs it, for the message: "architecture residual_vq", "--engine ray".

    Raises:
        RequestError: the package is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        name = module.partition(".")[0].replace("_", "-")
        raise RequestError(
            f"{what}: the package {name} is not installed; pip install 'lpca[{extra}]'"
        ) from error
