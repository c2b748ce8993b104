"""What crosses between two processes: a line of JSON, and tensors as safetensors. Never a pickle.

Every message is one line, an object whose `bytes` says how many bytes of safetensors follow it. A
reader says beforehand how many it takes: more are not read.
"""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

LONGEST_LINE = 1 << 26
"""Bytes of JSON in one message: of those that a codec says it was trained on."""
HEADER = 1 << 16
"""Bytes by which safetensors may be more than their numbers."""
_PIECE = 1 << 20


class WireError(Exception):
    """The other end said what is no message, or more than is taken; the text says which."""


class WireClosedError(WireError):
    """The other end is gone."""


class WireLateError(WireError):
    """The other end did not answer, or did not listen, within its time."""


@dataclass
class Wire:
    """One end of a pair of pipes.

    Attributes:
        reading: descriptor of the pipe that is read from.
        writing: descriptor of the pipe that is written to.
    """

    reading: int
    writing: int
    _rest: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        # what is not read must not keep the writer beyond its time
        os.set_blocking(self.writing, False)

    def send(
        self,
        header: Mapping[str, Any],
        tensors: Mapping[str, Tensor] | None = None,
        until: float | None = None,
    ) -> None:
        """Write a message.

        Args:
            header: what JSON can hold.
            tensors: by name; only their numbers cross, shape and type with them.
            until: the moment (`time.monotonic()`) at which it must be written; None for none.

        Raises:
            WireClosedError: nobody reads it.
            WireLateError: it was not read in time.
        """
        packed = _packed(tensors) if tensors else b""
        line = json.dumps({**header, "bytes": len(packed)}).encode() + b"\n"
        for part in (memoryview(line), memoryview(packed)):
            while part:
                self._wait(self.writing, select.POLLOUT, until)
                try:
                    part = part[os.write(self.writing, part[:_PIECE]) :]
                except BlockingIOError:
                    continue
                except OSError as error:
                    raise WireClosedError("it does not listen") from error

    def refuse_unasked(self) -> None:
        """Raise WireError where the other end has said something that nobody asked for."""
        poll = select.poll()
        poll.register(self.reading, select.POLLIN)
        if self._rest or any(event & select.POLLIN for _, event in poll.poll(0)):
            raise WireError("it spoke unasked")

    def receive(
        self, largest: int, until: float | None = None
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Read a message.

        Args:
            largest: how many bytes of tensors are taken.
            until: the moment at which it must be there; None for none.

        Raises:
            WireClosedError: the other end is gone.
            WireLateError: it is not there in time.
            WireError: what came is no message, or larger.
        """
        header = self._header(until)
        size = header.pop("bytes", None)
        if type(size) is not int or size < 0:
            raise WireError("what it answers is no message")
        if size > largest:
            raise WireError(f"what it answers has {size:,} bytes; allowed: {largest:,}")
        while len(self._rest) < size:
            self._read(until)
        packed = bytes(self._rest[:size])
        del self._rest[:size]
        return header, _unpacked(packed) if packed else {}

    def _header(self, until: float | None) -> dict[str, Any]:
        searched = 0
        while (end := self._rest.find(b"\n", searched)) < 0:
            searched = len(self._rest)
            if searched > LONGEST_LINE:
                raise WireError(f"what it answers has no line of {LONGEST_LINE:,} bytes")
            self._read(until)
        line = bytes(self._rest[:end])
        del self._rest[: end + 1]
        try:
            header = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise WireError("what it answers is no message") from error
        if not isinstance(header, dict):
            raise WireError("what it answers is no message")
        return header

    def _read(self, until: float | None) -> None:
        self._wait(self.reading, select.POLLIN, until)
        try:
            piece = os.read(self.reading, _PIECE)
        except OSError as error:
            raise WireClosedError("it is gone") from error
        if not piece:
            raise WireClosedError("it is gone")
        self._rest += piece

    def _wait(self, descriptor: int, event: int, until: float | None) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        left = None if until is None else max(0.0, until - time.monotonic()) * 1000
        if not poll.poll(left):
            raise WireLateError("it does not answer")


def _packed(tensors: Mapping[str, Tensor]) -> bytes:
    from safetensors.torch import save

    return save({name: one.detach().cpu().contiguous() for name, one in tensors.items()})


def _unpacked(packed: bytes) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(packed)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise WireError("what it answers holds no tensors") from error
