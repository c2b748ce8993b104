"""The judge's end of the process that sides are forked from: a program of its own, of lpca alone.

Every side needs torch, and importing it costs more than all that most codecs do. So one process
imports it once, in a cleared environment and before any of the user's code is read, and each side
begins as a copy of it. It is spawned: nothing of the judge's memory is in it, nor in what it forks.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lpca.base import PACKAGE

_START = "import sys; sys.path.insert(0, {root!r}); from lpca.channel.child import main; main()"
IMPORTS = "safetensors.torch"
"""What it imports where a side is served by code that is not lpca's."""
_NEEDED = ("torch", "numpy", "safetensors")
PATIENCE = 300.0
"""Seconds that it may take to start, and to fork."""
_ENDING = 5.0
_running: dict[tuple[Any, ...], ForkServer] = {}


class ForkServer:
    """A process that forks guards of sides; it ends with this one.

    Args:
        environment: all that it, and what it forks, is told of the judge's.
        imports: the module of lpca's that it imports beforehand.
    """

    def __init__(self, environment: Mapping[str, str], imports: str) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(PATIENCE)
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    *vars(subprocess)["_args_from_interpreter_flags"](),
                    "-c",
                    _START.format(root=str(PACKAGE.parent)),
                    str(theirs.fileno()),
                    imports,
                    *_installed(),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                cwd="/",
                env=environment,
            )
        self._is_ready = False
        self._close = weakref.finalize(self, _end, self._process, self._socket)

    def fork(self, descriptors: Sequence[int]) -> int:
        """Fork a side's guard, which has these descriptors; return its number.

        Raises OSError where there is none.
        """
        if not self._is_ready:
            # what it imports is no part of anybody's time
            self._answer()
            self._is_ready = True
        socket.send_fds(self._socket, [b"."], descriptors)
        return self._answer()

    def _answer(self) -> int:
        said = self._socket.recv(64).split()
        if not said:
            raise OSError("the process that forks them has ended")
        if int(said[0]) < 0:
            number = -int(said[0])
            raise OSError(number, os.strerror(number))
        return int(said[0])

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None


def begin(environment: Mapping[str, str], imports: str = IMPORTS) -> ForkServer:
    """Return the server of this process with that environment; begun, not waited for.

    Raises OSError where no process starts.
    """
    key = (os.getpid(), imports, sys.executable, *sorted(environment.items()))
    found = _running.get(key)
    if found is None or not found.lives:
        found = _running[key] = ForkServer(environment, imports)
    return found


def _installed() -> list[str]:
    """The folders from which this process has what the server imports: of nobody's own code."""
    files = [getattr(sys.modules.get(name), "__file__", None) for name in _NEEDED]
    return list(dict.fromkeys(str(Path(file).absolute().parents[1]) for file in files if file))


def _end(process: subprocess.Popen[bytes], connection: socket.socket) -> None:
    connection.close()
    try:
        process.wait(_ENDING)
    except subprocess.TimeoutExpired:
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_ENDING)
