"""Frozen language models that play B: loaded, read, written into, left unchanged."""

from __future__ import annotations

from collections.abc import Sequence

from lpca.base.errors import RunError

TokenRows = Sequence[Sequence[int]]
"""Token ids, row by row; rows may differ in length."""


class ReceiverError(RunError):
    """A receiver cannot be found, loaded or used; the message says what to do."""
