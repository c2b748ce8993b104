"""Frozen language models that play B: loaded, read, written into, left unchanged."""

from __future__ import annotations

from lpca.base.errors import RunError


class ReceiverError(RunError):
    """A receiver cannot be found, loaded or used; the message says what to do."""
