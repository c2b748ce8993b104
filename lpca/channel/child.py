"""The child's end: two processes, a guard that runs nothing of the user's, and the side itself.

The guard is small, and the parent of all that the side starts, be it a daemon: it ends them with
the side, and the side with the judge. The side gives its rights away before it reads the user's
code, then answers one question after the other. Nothing of the judge's memory is here: both begin
as a program of their own.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpca.base.errors import UserError, located_error, shown_error
from lpca.base.supervise import adopt_orphans, descendants, watch_interrupts
from lpca.channel.confine import confine
from lpca.channel.wire import Wire, WireClosedError

if TYPE_CHECKING:
    from torch import Tensor

Answer = tuple[Mapping[str, Any], Mapping[str, "Tensor"]]
Serve = Callable[[Mapping[str, Any], Mapping[str, "Tensor"]], Answer]
"""Answers a question, and tensors with it."""
WHERE = signal.SIGUSR1
"""Asks a side to say on its standard error where its code is."""
ENDING = 10.0
"""Seconds that the guard tries to end what the side has started."""
_PARENT_ENDED = 1
_LEAVE = os._exit


def main() -> None:
    """Be the guard and, in a process of its own, the side: `sys.argv` has three descriptors."""
    reading, writing, life = map(int, sys.argv[1:4])
    adopt_orphans()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    side = os.fork()  # one thread, and of the user's nothing yet
    if not side:
        os.close(life)
        os.setsid()
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
    for one in (reading, writing):
        os.close(one)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    status = _watch(side, life)
    _end_all(side)
    if os.WIFSIGNALED(status):
        # as the side has ended
        with suppress(OSError, ValueError):
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _watch(side: int, life: int) -> int:
    """Wait until the side has ended, or the judge wants it to; return the side's status."""
    poll = select.poll()
    poll.register(life, select.POLLIN)
    ended = None
    if hasattr(os, "pidfd_open"):
        with suppress(OSError):
            ended = os.pidfd_open(side)
            poll.register(ended, select.POLLIN)
    while True:
        seen = poll.poll(None if ended is not None else 100)
        pid, status = os.waitpid(side, os.WNOHANG)
        if pid:
            return status
        if any(one == life for one, _ in seen):
            return signal.SIGKILL


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
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _be_side(wire: Wire) -> None:
    start, _ = wire.receive(0)
    sys.path[:] = start["path"]
    places = {name: list(map(Path, start[name])) for name in ("hidden", "listed", "shown")}
    how = confine(Path(start["folder"]), **places)
    _say_where_it_ends()
    watch_interrupts()
    wire.send({"pid": os.getpid(), "isolation": how})
    module, _, name = str(start["serve"]).partition(":")
    serve: Serve = getattr(import_module(module), name)(start)
    while True:
        try:
            asked = wire.receive(sys.maxsize)
        except WireClosedError:
            _LEAVE(0)
        try:
            wire.send(*serve(*asked))
        except WireClosedError:
            raise
        except UserError as error:
            wire.send({"error": str(error)})
        except BaseException as error:
            # of what cannot be packed nothing has been sent yet
            wire.send({"error": located_error(error)})


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
