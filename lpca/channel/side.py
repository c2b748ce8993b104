"""The judge's end of a side: a process that is asked, within a time, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import struct
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpca.base import PACKAGE
from lpca.base.arguments import CODEC_MEMORY, CODEC_SECONDS, GIB
from lpca.base.errors import RunError, is_users_file
from lpca.base.supervise import calling
from lpca.channel.child import ENDING, LIMIT, TOO_MUCH, WHERE_IS_IT
from lpca.channel.fork_server import IMPORTS, ForkServer, begin
from lpca.channel.wire import Wire, WireClosedError, WireError, WireLateError

if TYPE_CHECKING:
    from torch import Tensor

STILL_THERE, HELD = "still there", "held more than"
KEPT_LINES = 20
"""Of what a side prints so many lines are kept from its start and from its end."""
LONGEST_PRINTED = 400
_TOLD = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')
ENVIRONMENT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "LD_LIBRARY_PATH",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "HF_HOME",
    "HF_HUB_CACHE",
)
"""What a side is told of the judge's environment."""


class SideError(RunError):
    """A side ended, did not answer in time, or said what is no answer; the text is one line."""


class SideMemoryError(SideError):
    """A side was ended for the memory that it held: what the user's code asks for is at fault."""

    is_usage_error = True


@dataclass(frozen=True, eq=False)
class Wall:
    """How sides are kept apart from the judge, and from each other.

    Attributes:
        hidden: files and folders that the run reads or writes, and a side must not read.
        seconds: how long a side may take to be made, and for each answer.
        shown: what stays readable in a hidden folder.
        memory: bytes that a side, with all that it starts, may hold in memory (on Linux).
        option: how the options begin that change seconds and memory; empty where none do.
    """

    hidden: tuple[Path, ...] = ()
    seconds: float = CODEC_SECONDS
    shown: tuple[Path, ...] = ()
    memory: int = field(default_factory=lambda: int(CODEC_MEMORY * _all_memory()))
    option: str = "--codec"

    def hint(self, what: str) -> str:
        """What to say of the option that changes a limit: " (--codec-seconds)", or nothing."""
        return f" ({self.option}-{what})" if self.option else ""


class Printed:
    """What a process prints: its first and last lines, and how many there were."""

    def __init__(self) -> None:
        self.lines = 0
        self._first: list[str] = []
        self._last: deque[str] = deque(maxlen=KEPT_LINES)

    def read(self, descriptor: int) -> None:
        """Read to the end."""
        rest = b""
        with suppress(OSError):
            while piece := os.read(descriptor, 1 << 16):
                *lines, rest = (rest + piece).split(b"\n")
                # a line without end is not kept beyond what is shown of it
                rest = rest[: 4 * LONGEST_PRINTED]
                for line in lines:
                    self._add(line)
        if rest:
            self._add(rest)
        with suppress(OSError):
            os.close(descriptor)

    def _add(self, line: bytes) -> None:
        self.lines += 1
        text = line[: 4 * LONGEST_PRINTED].decode(errors="replace")[:LONGEST_PRINTED]
        shown = "".join(letter if letter.isprintable() else " " for letter in text).rstrip()
        if len(self._first) < KEPT_LINES:
            self._first.append(shown)
        else:
            self._last.append(shown)

    @property
    def kept(self) -> list[str]:
        """The lines that are kept, and between them how many are not."""
        left_out = self.lines - len(self._first) - len(self._last)
        between = [f"... {left_out:,} lines more ..."] if left_out > 0 else []
        return [*self._first, *between, *self._last]

    @property
    def place(self) -> str:
        """The last place of the user's code that a crash told of: `my_codec.py:12`, or nothing."""
        told = [match for line in self._last or self._first if (match := _TOLD.search(line))]
        told = told or [match for line in self._first if (match := _TOLD.search(line))]
        own = [one for one in told if is_users_file(one["file"])]
        return f"{Path(own[0]['file']).name}:{own[0]['line']}" if own else ""


class Side:
    """A process that answers questions with somebody else's code.

    Args:
        what: what it is called in messages: "codec my_codec:Cut, side A".
        serve: "module:function" that makes of the start what answers; it runs in the child.
        start: what the function is given, as JSON has it.
        folder: an empty folder that is its own.
        wall: how it is kept apart.
        listed: folders it imports from.
    """

    def __init__(
        self,
        what: str,
        serve: str,
        start: Mapping[str, Any],
        folder: Path,
        wall: Wall,
        listed: Sequence[Path] = (),
    ) -> None:
        self.what, self.wall, self.printed = what, wall, Printed()
        self.isolation = ""
        path = [str(Path(one).absolute()) for one in sys.path]
        told = {
            **start,
            "serve": serve,
            "path": path,
            "folder": str(folder),
            "hidden": [str(one) for one in wall.hidden],
            "shown": [str(one) for one in wall.shown],
            "listed": sorted({*path, *map(str, listed)}),
            "environment": _environment(folder),
        }
        reading, their_writing = os.pipe()
        their_reading, writing = os.pipe()
        printing, their_printing = os.pipe()
        life, their_life = socket.socketpair()
        theirs = (their_reading, their_writing, their_printing, their_life.detach())
        try:
            life.send(struct.pack(LIMIT, wall.memory))
            guard = begin_server(serve).fork(theirs)
        except OSError as error:
            for one in (reading, writing, printing):
                os.close(one)
            life.close()
            raise SideError(f"{what}: no process starts: {error}") from error
        finally:
            for one in theirs:
                os.close(one)
        self._wire, self._life = Wire(reading, writing), life
        self._reader = threading.Thread(
            target=self.printed.read, args=(printing,), daemon=True, name="lpca-printed"
        )
        self._reader.start()
        self._close = weakref.finalize(self, _end, guard, life, (reading, writing))
        self._until = time.monotonic() + wall.seconds
        with self._telling("starting"):
            self._wire.send(self._numbered(told), until=self._until)
            hello, _ = self._reply(0)
            self.isolation = str(hello.get("isolation"))[:40]

    def ask(
        self,
        header: Mapping[str, Any],
        tensors: Mapping[str, Tensor] | None = None,
        largest: int = 0,
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Ask, and wait for the answer.

        Args:
            header: the question; its `ask` is what messages call it.
            tensors: what belongs to it.
            largest: bytes of tensors that the answer may have.

        Returns:
            The answer's header and tensors; an `error` in the header is the caller's to raise.

        Raises:
            SideError: there is no answer.
        """
        self.send(header, tensors)
        return self.answer(str(header["ask"]), largest)

    def send(self, header: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None) -> None:
        """Ask without waiting; the time of the answer runs. Raises SideError."""
        self._until = time.monotonic() + self.wall.seconds
        with self._telling(str(header["ask"])):
            self._wire.refuse_unasked()
            self._wire.send(self._numbered(header), tensors, self._until)

    def answer(self, what: str, largest: int = 0) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Wait for the answer to what was sent; arguments and errors as for `ask`."""
        with calling(f"{self.what}: {what}"), self._telling(what):
            return self._reply(largest)

    def _numbered(self, header: Mapping[str, Any]) -> dict[str, Any]:
        """A question with a number that nobody knows before it is asked."""
        self._number = secrets.randbits(53)
        return {**header, "number": self._number}

    def _reply(self, largest: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
        header, tensors = self._wire.receive(largest, self._until)
        if header.pop("number", None) != self._number:
            raise WireError("it answers another question than was asked: the number is wrong")
        return header, tensors

    def close(self) -> None:
        """End it, and all that it has started."""
        self._close()
        self._reader.join(1.0)

    def _telling(self, what: str) -> _Telling:
        return _Telling(self, what)

    def end(self, what: str, error: WireError) -> SideError:
        """End it, and return the error that says why."""
        kind = SideError
        if isinstance(error, WireLateError):
            self._ask_where()
            told = f"had not answered after {self.wall.seconds:g} s{self.wall.hint('seconds')}"
        elif isinstance(error, WireClosedError):
            told = self._how_it_ended()
            kind = SideMemoryError if told.startswith(HELD) else SideError
        else:
            told = f"broke the wire: {error}"
        self.close()
        place = self.printed.place
        return kind(f"{self.what}: {what}: its process {told}{f' ({place})' if place else ''}")

    @property
    def ended(self) -> bool:
        """Whether nothing of it is left."""
        return not self._close.alive

    def _ask_where(self) -> None:
        with suppress(OSError):
            self._life.send(WHERE_IS_IT)
            time.sleep(0.3)

    def _how_it_ended(self) -> str:
        # the guard ends what is left first
        said = _last_words(self._life)
        if said == TOO_MUCH:
            return f"{HELD} {self.wall.memory / GIB:.3g} GiB of memory{self.wall.hint('memory')}"
        if not said.isdecimal():
            return "closed its end of the wire"
        status = os.waitstatus_to_exitcode(int(said))
        if status >= 0:
            return f"ended with exit status {status}"
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-status).name}"
        return f"was ended by signal {-status}"


@dataclass(frozen=True)
class _Telling:
    """Turns what goes wrong on the wire into the side's end, and one line."""

    side: Side
    what: str

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, WireError):
            raise self.side.end(self.what, error) from None
        if error is not None:
            # a Ctrl-C: an answer to come would be taken for that to the next question
            self.side.close()


def begin_server(serve: str) -> ForkServer:
    """Have the process begin that sides are forked from, while there is something else to do.

    Args:
        serve: as for `Side`; where it is lpca's own the process imports it for all of them.

    Raises:
        OSError: no process starts.
    """
    module = serve.partition(":")[0]
    return begin(_environment(), module if module.partition(".")[0] == PACKAGE.name else IMPORTS)


def _environment(folder: Path | None = None) -> dict[str, str]:
    """What Python and torch need, and no more; with the folder that is a side's own."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    threads = os.environ.get("OMP_NUM_THREADS") or _threads()
    return {
        "LANG": "C.UTF-8",
        "HF_HOME": str(home),
        **({"OMP_NUM_THREADS": threads} if threads else {}),
        **{name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        **({"HOME": str(folder), "TMPDIR": str(folder)} if folder else {}),
        "PYTHONDONTWRITEBYTECODE": "1",
        # both sides go through a set of texts in one order
        "PYTHONHASHSEED": "0",
    }


def _all_memory() -> int:
    """Bytes that the machine has, or that its container may have."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with suppress(OSError, ValueError):
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(found)


def _threads() -> str:
    torch = sys.modules.get("torch")
    return str(torch.get_num_threads()) if torch is not None else ""


def _end(guard: int, life: socket.socket, descriptors: Sequence[int]) -> None:
    """Close the wire: the guard then ends the side, itself, and all that the side has started."""
    for one in descriptors:
        with suppress(OSError):
            os.close(one)
    with suppress(OSError):
        life.shutdown(socket.SHUT_WR)
    if _last_words(life) == STILL_THERE:
        with suppress(OSError):
            os.kill(guard, signal.SIGKILL)
    life.close()


def _last_words(life: socket.socket) -> str:
    """What a guard says as it ends; STILL_THERE where it does not end in time."""
    said, until = b"", time.monotonic() + ENDING + 5
    with suppress(OSError):
        while (left := until - time.monotonic()) > 0:
            life.settimeout(left)
            piece = life.recv(64)
            if not piece:
                return said.decode()
            said += piece
        return STILL_THERE
    return STILL_THERE if time.monotonic() >= until else said.decode()
