"""The child's end: a server, and for each side a guard that runs nothing of the user's, and itself.

The server has imported torch and nothing of the user's when it forks a guard. The guard is the
parent of all that the side starts, be it a daemon: it ends them with the side, and the side with
the judge. The side gives its rights away before it reads the user's code, then answers one question
after the other. Nothing of the judge's memory is here: the server begins as a program of its own.
"""

from __future__ import annotations

import ctypes
import errno
import faulthandler
import gc
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpca.base.errors import UserError, located_error, shown_error
from lpca.base.supervise import adopt_orphans, collect_rarely, descendants, watch_interrupts
from lpca.channel.confine import confine
from lpca.channel.wire import Wire, WireClosedError

if TYPE_CHECKING:
    from torch import Tensor

Answer = tuple[Mapping[str, Any], Mapping[str, "Tensor"]]
Serve = Callable[[Mapping[str, Any], Mapping[str, "Tensor"]], Answer]
"""Answers a question, and tensors with it."""
WHERE = signal.SIGUSR1
"""Asks a side to say on its standard error where its code is."""
WHERE_IS_IT = b"?"
"""Asks the guard to send WHERE."""
LIMIT = "=Q"
"""How the judge tells the guard, first of all, the bytes of memory that a side may hold."""
TOO_MUCH = "memory"
"""What the guard says of a side that held more."""
LOOKING = 100
"""Milliseconds after which the guard looks at a side's memory again."""
ENDING = 10.0
"""Seconds that the guard tries to end what the side has started."""
_PARENT_ENDED = 1
_LEAVE = os._exit


def main() -> None:
    """Be the server: for each side that the judge asks for, fork a guard with its descriptors.

    `sys.argv` has the descriptor of the judge's socket, what to import beforehand, and from where.
    """
    server = socket.socket(fileno=int(sys.argv[1]))
    sys.path += sys.argv[3:]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    gc.disable()
    if sys.platform == "linux":  # macOS's own libraries do not survive a fork
        with suppress(Exception):
            import_module(sys.argv[2])
    collect_rarely()
    gc.freeze()  # else each side's first collection would copy every page
    gc.enable()
    signal.signal(signal.SIGCHLD, lambda number, frame: _reap())
    server.sendall(b"0 ")
    while True:
        asked, theirs, _, _ = socket.recv_fds(server, 1, 4)
        if not asked:
            # guards end with the judge, and what they have spent is then told of this process
            with suppress(ChildProcessError):
                while True:
                    os.wait()
            _LEAVE(0)
        try:
            guard = os.fork()
        except OSError as error:
            guard = -(error.errno or errno.EAGAIN)
        if not guard:
            try:
                server.close()
                _be_guard(*theirs)
            finally:
                _LEAVE(1)
        for one in theirs:
            os.close(one)
        server.sendall(b"%d " % guard)


def _be_guard(reading: int, writing: int, printing: int, life: int) -> None:
    """Fork the side, of whose code nothing is read yet, and wait for its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    adopt_orphans()
    (memory,) = struct.unpack(LIMIT, os.read(life, struct.calcsize(LIMIT)))
    side = os.fork()
    if not side:
        os.close(life)
        os.setsid()
        # opened anew: what the server has open is one file to all sides, whose flags both may set
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        for stream in (1, 2):
            os.dup2(printing, stream)
        for one in (nothing, printing):
            os.close(one)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PARENT_ENDED, signal.SIGKILL, 0, 0, 0)
            # where memory runs out it is the side that is ended, and not the judge
            with suppress(OSError):
                Path("/proc/self/oom_score_adj").write_text("1000")
        try:
            _be_side(Wire(reading, writing))
        except BaseException as error:
            print(shown_error(error), file=sys.stderr, flush=True)
        finally:
            _LEAVE(1)
    for one in (reading, writing, printing):
        os.close(one)
    said = _watch(side, life, memory)
    _end_all(side)
    with suppress(OSError):
        os.write(life, said.encode())
    _LEAVE(0)


def _watch(side: int, life: int, memory: int) -> str:
    """Wait until the side has ended, the judge wants it to, or it holds more than it may.

    Returns:
        The side's status, or TOO_MUCH.
    """
    poll = select.poll()
    poll.register(life, select.POLLIN)
    ended = None
    if hasattr(os, "pidfd_open"):
        with suppress(OSError):
            ended = os.pidfd_open(side)
            poll.register(ended, select.POLLIN)
    while True:
        seen = poll.poll(LOOKING)
        pid, status = os.waitpid(side, os.WNOHANG)
        if pid:
            return str(status)
        if any(one == life for one, _ in seen):
            if os.read(life, 1) != WHERE_IS_IT:
                return str(int(signal.SIGKILL))
            os.kill(side, WHERE)
        if _held() > memory:
            # its crash handler says which line it is at
            os.kill(side, WHERE)
            time.sleep(0.2)
            return TOO_MUCH


def _held() -> int:
    """Bytes that are in memory of all under this process; what several share counts for each."""
    pages, own = 0, str(os.getpid())
    waiting = [own]
    while waiting:
        pid = waiting.pop()
        place = Path("/proc", pid)
        # it may end meanwhile
        with suppress(OSError, ValueError, IndexError):
            for thread in (place / "task").iterdir():
                waiting += (thread / "children").read_text().split()
            pages += int((place / "statm").read_text().split()[1]) if pid != own else 0
    return pages * resource.getpagesize()


def _end_all(side: int) -> None:
    """End the side and all that it has started: stopped first, so that none starts another."""
    with suppress(OSError):
        os.killpg(side, signal.SIGKILL)
    until = time.monotonic() + ENDING
    while (left := descendants(os.getpid())) and time.monotonic() < until:
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in left:
                with suppress(OSError):
                    os.kill(pid, number)
            left += [pid for pid in descendants(os.getpid()) if pid not in left]
        _reap()


def _reap() -> None:
    """Wait for children that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _be_side(wire: Wire) -> None:
    start, _ = wire.receive(0)
    os.environ.clear()
    os.environ.update(start["environment"])
    os.chdir(start["folder"])
    sys.path[:] = start["path"]
    _draw_afresh()
    places = {name: list(map(Path, start[name])) for name in ("hidden", "listed", "shown")}
    how = confine(Path(start["folder"]), **places)
    _say_where_it_ends()
    watch_interrupts()
    wire.send({"isolation": how, "number": start["number"]})
    module, _, name = str(start["serve"]).partition(":")
    serve: Serve = getattr(import_module(module), name)(start)
    while True:
        try:
            asked, given = wire.receive(sys.maxsize)
        except WireClosedError:
            _LEAVE(0)
        number = {"number": asked.pop("number")}
        try:
            said, found = serve(asked, given)
            wire.send({**said, **number}, found)
        except WireClosedError:
            raise
        except UserError as error:
            wire.send({"error": str(error), **number})
        except BaseException as error:
            # of what cannot be packed nothing has been sent yet
            wire.send({"error": located_error(error), **number})


def _draw_afresh() -> None:
    """Draw other random numbers than the other side; Python's own generator does by itself."""
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()


def _say_where_it_ends() -> None:
    """Have a crash, a call of `os._exit` and the signal WHERE leave the lines they came from."""
    faulthandler.enable(all_threads=False)
    faulthandler.register(WHERE, all_threads=True)
    own = os.getpid()

    def leave_and_tell(status: int) -> None:
        if os.getpid() == own:
            with suppress(OSError, ValueError):
                faulthandler.dump_traceback(all_threads=False)
        _LEAVE(status)

    os._exit = leave_and_tell  # type: ignore[assignment]
