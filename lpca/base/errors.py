"""Errors that end a measurement with one message and no traceback."""

from __future__ import annotations


class UserError(Exception):
    """What a user has to know, and nothing more: its text is the whole message."""


class RunError(UserError):
    """Something a run needs is missing or unfit; the text says what, and what to do."""

    is_usage_error = False
    """Whether what the user asked for is at fault, rather than what was met on the way."""


class RequestError(RunError):
    """The user asked for something that cannot be had."""

    is_usage_error = True
