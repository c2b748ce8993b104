"""A run and the process that answers for its exit code.

What a codec does in a process can end it with any status: `os._exit(0)` is enough. So code that is
judged runs in a child, and the process that the user started runs none of it: it keeps what the
child tells over a socket before and after, passes on interrupts, and ends what the child leaves.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from lpca.base import PACKAGE
from lpca.base.errors import ExitCode

SLOW, AGAIN = 60.0, 600.0
"""Seconds after which a call of the user's code is named that has not returned, and named again."""
ENDING = 60.0
"""Seconds that a run may take to end once it has said that it has."""
LEAVING = 2.0
"""Seconds that processes a run has left may take to end by themselves."""
ONCE = 1.0
"""Seconds within which two interrupts are one: a terminal sends it to the supervisor as well."""
TICK = 0.2
_SUBREAPER = 36
_START = (
    "import sys; sys.path.insert(0, {root!r}); from lpca.base import supervise; del sys.path[0]; "
    "supervise.be_child()"
)


def say(text: str) -> None:
    """Show one line of lpca's own on standard error."""
    with contextlib.suppress(OSError, ValueError):
        print(f"lpca: {text}", file=sys.stderr, flush=True)


# The child's side


class Link:
    """What a run's processes tell its supervisor."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.told = told
        """What the supervisor said at the start: `address`, `folder` and what else it wished."""
        self._connection = Client(str(told["address"]))
        self._lock = threading.Lock()
        threading.Thread(target=self._end_with_it, daemon=True, name="lpca-link").start()

    def _end_with_it(self) -> None:
        """It tells nothing more: what is read is that it has ended, be it killed."""
        with contextlib.suppress(EOFError, OSError):
            self._connection.recv_bytes()
        os._exit(ExitCode.INTERRUPTED)

    def say(self, **message: object) -> None:
        """Tell it; what is told cannot be taken back. A supervisor that is gone is told nothing."""
        with self._lock, contextlib.suppress(OSError):
            self._connection.send_bytes(json.dumps(message).encode())


_link: Link | None = None
_taken = True


def take_link() -> Link | None:
    """The link to the supervisor of this process, for its program, which alone speaks for the run.

    None where it has none, and where it was taken before: a run within a run is not the run.
    """
    global _taken
    taken, _taken = _taken, True
    return None if taken else _link


def join(told: Mapping[str, Any] | None) -> None:
    """Belong to a run, as one more of its processes, and end with the one that started this."""
    global _link
    collect_rarely()
    if told is not None and _link is None:
        with contextlib.suppress(OSError):
            _link = Link(told)
    _end_with_parent()


def _end_with_parent() -> None:
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(ONCE)
        os._exit(ExitCode.INTERRUPTED)

    threading.Thread(target=watch, daemon=True, name="lpca-parent").start()


@contextlib.contextmanager
def calling(what: str) -> Iterator[None]:
    """Tell the supervisor that the user's code is at work, in a `what` that may not return."""
    told = _link
    if told is None:
        yield
        return
    told.say(call=what)
    try:
        yield
    finally:
        told.say(call=None)


COLLECTED = 10_000
"""New objects after which Python looks for cycles: at its own 700 that is a fifth of an import."""


def collect_rarely() -> None:
    """Have Python look for cycles less often, in a process that imports much."""
    gc.set_threshold(COLLECTED, *gc.get_threshold()[1:])


def be_child() -> None:
    """Be the program that `supervise` was asked to run: what stands in `sys.argv` behind `-c`."""
    global _link, _taken
    collect_rarely()
    told, program, *arguments = sys.argv[1:]
    _link, _taken = Link(json.loads(told)), False
    _end_with_parent()
    watch_interrupts()
    sys.argv = [program, *arguments]
    if program.startswith("-m"):
        # Python has the current folder first on the path for it, unless it was told not to
        if not sys.flags.safe_path:
            sys.path[0] = os.getcwd()  # noqa: PTH109 - a str, as Python has it
        runpy.run_module(program[2:], run_name="__main__", alter_sys=True)
    else:
        if not sys.flags.safe_path:
            sys.path[0] = str(Path(program).resolve().parent)
        runpy.run_path(program, run_name="__main__")


_interrupted_at: float | None = None


def watch_interrupts() -> Callable[[], None]:
    """Have a Ctrl-C told from a KeyboardInterrupt that the user's code raises.

    Returns:
        What puts things back as they were.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        return lambda: None
    if threading.current_thread() is not threading.main_thread():
        return lambda: None

    def interrupt(number: int, frame: object) -> None:
        global _interrupted_at
        now = time.monotonic()
        if _interrupted_at is not None and now - _interrupted_at < ONCE:
            return
        _interrupted_at = now
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)

    def put_back() -> None:
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, before)

    return put_back


def is_interrupt(error: BaseException) -> bool:
    """Whether somebody interrupts the process; False of what code raises by itself."""
    if not isinstance(error, KeyboardInterrupt):
        return False
    handler = signal.getsignal(signal.SIGINT)
    if getattr(handler, "__module__", "") == __name__:
        return _interrupted_at is not None
    return handler is not signal.SIG_IGN


# The supervisor's side


@dataclass
class Ended:
    """How a run ended.

    Attributes:
        status: its process's exit status; below 0 the number of the signal that ended it.
        said: the first of each message, by name: `asked` what it was to do, before any of the
            user's code ran, `finished` its exit code once all was done.
        late: whether the limit of time passed, and what of the user's code was at work then.
    """

    status: int
    said: Mapping[str, Any]
    late: str | None = None

    def code(self, ended_early: ExitCode = ExitCode.INTERNAL_ERROR) -> ExitCode | int:
        """The exit code as far as the child knows it: never 0 where it did not end by itself.

        Args:
            ended_early: where it said what it was to do and ended before it was done.
        """
        finished = self.said.get("finished")
        if isinstance(finished, int):
            return finished
        if self.late is not None:
            return ExitCode.NOT_MEASURED
        own = (ExitCode.INTERRUPTED, ExitCode.INTERNAL_ERROR, ExitCode.USAGE_ERROR)
        if self.status in own:
            return self.status
        if self.status == -signal.SIGINT:
            return ExitCode.INTERRUPTED
        if self.status < 0:
            try:
                name = signal.Signals(-self.status).name
            except ValueError:
                name = f"signal {-self.status}"
            say(f"the run was ended by {name} before it was done")
        elif self.status and "asked" not in self.said:
            return self.status
        else:
            say(f"the run ended with exit status {self.status} before it was done")
        return ended_early if self.status >= 0 else ExitCode.INTERNAL_ERROR


@dataclass
class _Run:
    """A child at work, and what it has told."""

    limit: float | None
    said: dict[str, Any] = field(default_factory=dict)
    calls: dict[int, tuple[str, float]] = field(default_factory=dict)
    tell_at: dict[int, float] = field(default_factory=dict)
    asked_at: float | None = None
    finished_at: float | None = None
    late: str | None = None

    def hear(self, number: int, message: Mapping[str, Any]) -> None:
        """Keep what one of its processes tells, the first time."""
        now = time.monotonic()
        if "call" in message:
            self.calls.pop(number, None)
            self.tell_at.pop(number, None)
            if message["call"] is not None:
                self.calls[number] = str(message["call"])[:500], now
                self.tell_at[number] = now + SLOW
            return
        for name, what in message.items():
            self.said.setdefault(name, what)
        if "asked" in message and self.asked_at is None:
            self.asked_at = now
        if "finished" in message and self.finished_at is None:
            self.finished_at = now

    def tick(self, end: Callable[[], None]) -> None:
        """Name what does not return, and end what is out of time."""
        now = time.monotonic()
        for number, at in list(self.tell_at.items()):
            if now >= at and (call := self.calls.get(number)):
                self.tell_at[number] = now + AGAIN
                say(f"{call[0]} has not returned for {_minutes(now - call[1])}")
        if self.finished_at is not None:
            if now - self.finished_at > ENDING:
                end()
            return
        since = now if self.asked_at is None else self.asked_at
        if self.limit is not None and self.late is None and now - since > self.limit:
            longest = min(self.calls.values(), key=lambda call: call[1], default=None)
            self.late = f"{longest[0]} had not returned" if longest else ""
            end()


def _minutes(seconds: float) -> str:
    count = round(seconds / 60)
    return "1 minute" if count <= 1 else f"{count} minutes"


def supervise(
    program: str,
    arguments: Sequence[str],
    told: Mapping[str, Any] | None = None,
    limit: float | None = None,
    meanwhile: Callable[[], None] = lambda: None,
    then: Callable[[Ended, Path], int] = lambda ended, folder: ended.code(),
) -> int:
    """Run a Python program in a child, with this process's streams, and wait for its end.

    Args:
        program: `-mMODULE`, or a file.
        arguments: those of the program.
        told: what the child is told beside `address` and `folder`.
        limit: seconds that it may take once it has said what it was asked.
        meanwhile: done while the child starts.
        then: makes the exit code of how it ended and of the run's private folder.

    Returns:
        The exit code.
    """
    from lpca.base.files import scratch_folder  # needs a package; the doctor does without

    with scratch_folder(Path(tempfile.gettempdir()) / "lpca-run", inherited=True) as folder:
        address = str(folder / "s")
        listener = Listener(address, "AF_UNIX", backlog=64)
        try:
            how = {**(told or {}), "address": address, "folder": str(folder)}
            start = _START.format(root=str(PACKAGE.parent))
            # as multiprocessing starts its processes: with the options that Python was given
            flags = vars(subprocess)["_args_from_interpreter_flags"]()
            command = [sys.executable, *flags, "-c", start, json.dumps(how), program, *arguments]
            ended = _watched(command, listener, _Run(limit), meanwhile)
        finally:
            # the run may have removed the folder
            with contextlib.suppress(FileNotFoundError):
                listener.close()
        return int(then(ended, folder))


def _watched(
    command: Sequence[str], listener: Listener, run: _Run, meanwhile: Callable[[], None]
) -> Ended:
    threading.Thread(target=_listen, args=(listener, run), daemon=True).start()
    adopt_orphans()
    others = set(descendants(os.getpid()))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    # a file that the shell has opened for the command is the child's
    child = subprocess.Popen(command, close_fds=False)
    ended_by: list[int] = []

    def pass_on(number: int, frame: object) -> None:
        if number != signal.SIGINT:
            ended_by.append(number)
        with contextlib.suppress(OSError):
            child.send_signal(number)

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # what is ignored (nohup, a shell's background) stays so
    heeded = [number for number in signals if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, pass_on) for number in heeded}
    done = threading.Event()

    def tick() -> None:
        while not done.wait(TICK):
            run.tick(child.kill)

    ticking = threading.Thread(target=tick, daemon=True)
    ticking.start()
    try:
        meanwhile()
        status = child.wait()
    finally:
        done.set()
        ticking.join()
        _end_left(others)
        for number, handler in before.items():
            signal.signal(number, handler)
    _heard(run)
    if ended_by and "finished" not in run.said:
        # as whoever ended this process expects it to end
        signal.signal(ended_by[0], signal.SIG_DFL)
        os.kill(os.getpid(), ended_by[0])
    return Ended(status, run.said, run.late)


def _listen(listener: Listener, run: _Run) -> None:
    """Hear each process of the run; ends with the listener."""
    number = 0
    while True:
        try:
            connection = listener.accept()
        except OSError:
            return
        number += 1
        hearing = threading.Thread(target=_hear, args=(connection, number, run), daemon=True)
        hearing.name = f"lpca-hear-{number}"
        hearing.start()


def _hear(connection: Connection, number: int, run: _Run) -> None:
    while True:
        try:
            message = json.loads(connection.recv_bytes(1 << 24))
        except (EOFError, OSError, ValueError, RecursionError):
            # who tells what is no message is not heard any more
            run.hear(number, {"call": None})
            return
        if isinstance(message, dict):
            run.hear(number, message)


def _heard(run: _Run) -> None:
    """Wait for what was told before the processes ended: it is in the sockets."""
    for thread in threading.enumerate():
        if thread.name.startswith("lpca-hear-"):
            thread.join(1.0)


# What a run leaves


def adopt_orphans() -> None:
    """Have processes whose parent ends become this one's children, where the system can (Linux)."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def descendants(of: int) -> list[int]:
    """The processes under one that have not ended."""
    children: dict[int, list[int]] = {}
    for pid, parent in _processes():
        children.setdefault(parent, []).append(pid)
    found, waiting = [], [of]
    while waiting:
        own = children.get(waiting.pop(), [])
        found += own
        waiting += own
    return found


def _processes() -> Iterator[tuple[int, int]]:
    """Each process with its parent, but for those that ended and were not waited for."""
    if sys.platform != "linux":
        return
    for name in os.listdir("/proc"):  # noqa: PTH208 - called often
        if name.isdecimal():
            with contextlib.suppress(OSError, ValueError, IndexError):
                stat = Path("/proc", name, "stat").read_text(errors="replace")
                state, parent = stat.rpartition(")")[2].split()[:2]
                if state != "Z":
                    yield int(name), int(parent)


def _end_left(others: set[int]) -> None:
    """End the processes that a run has started and left, and say how many."""
    until, ended = time.monotonic() + LEAVING, set[int]()
    while left := set(descendants(os.getpid())) - others:
        if time.monotonic() >= until:
            ended |= left
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            if len(ended) > 100_000:  # they multiply faster than they are ended
                break
        time.sleep(TICK / 4)
        _reap()
    _reap()
    if ended:
        count = len(ended)
        say(f"{count} process{'es' * (count > 1)} that the run had left running: ended")


def _reap() -> None:
    """Wait for children that have ended."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
