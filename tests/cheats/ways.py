"""Ways of telling another process something that is no packet: code of a user's own.

Each tells and hears one bit; it runs in a side, and to show that it works where nothing keeps
processes apart in two plain processes. `HERE` is a folder that both know.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import resource
import socket
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).parent
TOKEN = hashlib.sha1(str(HERE).encode()).hexdigest()[:8]
KEY = int(TOKEN[:7], 16)
PORT = 20_000 + KEY % 9_000
LIBC = ctypes.CDLL(None, use_errno=True)
MARKED = [HERE / f"marked{number}" for number in range(5)]
"""Files that are there before anybody tells anything."""
MACHINE = os.uname().machine


def called(x86: int, arm: int, *arguments: object) -> int:
    return int(LIBC.syscall(x86 if MACHINE == "x86_64" else arm, *arguments))


def others():
    """The numbers of processes that may have been started when this one was."""
    own = os.getpid()
    return [one for one in range(max(2, own - 500), own + 500) if one not in (own, os.getppid())]


def taken(*of, address):
    """Whether somebody else has an address."""
    with socket.socket(*of) as tried:
        try:
            tried.bind(address)
        except PermissionError:
            return False
        except OSError:
            return True
        return False


class File:
    def tell(self):
        (HERE / "told").write_text("x")

    def heard(self):
        return (HERE / "told").exists()


class Link:
    def tell(self):
        (HERE / "link").symlink_to("x")

    def heard(self):
        return (HERE / "link").is_symlink()


class Mode:
    def tell(self):
        MARKED[0].chmod(0o604)

    def heard(self):
        return MARKED[0].stat().st_mode & 0o777 == 0o604


class Time:
    def tell(self):
        os.utime(MARKED[1], (77, 77))

    def heard(self):
        return MARKED[1].stat().st_mtime == 77


class Attribute:
    def tell(self):
        os.setxattr(MARKED[2], "user.told", b"x")

    def heard(self):
        return "user.told" in os.listxattr(MARKED[2])


class Length:
    def tell(self):
        os.truncate(MARKED[3], 7)

    def heard(self):
        return MARKED[3].stat().st_size == 7


class ReadTime:
    def tell(self):
        MARKED[4].read_text()

    def heard(self):
        return MARKED[4].stat().st_atime > 3000


class NameInTheFolder:
    def tell(self):
        Path("told").write_text("x")

    def heard(self):
        return Path("../A/told").exists()


class SizeOfTheFolder:
    def tell(self):
        Path("inner").mkdir()

    def heard(self):
        return Path("../A").stat().st_nlink > 2


class MemoryAsAFile:
    place = Path("/dev/shm", f"lpca-{TOKEN}")

    def tell(self):
        self.place.write_text("x")

    def heard(self):
        return self.place.exists()

    def forget(self):
        self.place.unlink()


class MemoryByNumber:
    def tell(self):
        self.kept = LIBC.shmget(KEY, 64, 0o1600)

    def heard(self):
        return LIBC.shmget(KEY, 64, 0) >= 0

    def forget(self):
        LIBC.shmctl(self.kept, 0, None)


class Semaphores:
    def tell(self):
        self.kept = LIBC.semget(KEY, 1, 0o1600)

    def heard(self):
        return LIBC.semget(KEY, 1, 0) >= 0

    def forget(self):
        LIBC.semctl(self.kept, 0, 0)


class Queue:
    def tell(self):
        self.kept = LIBC.msgget(KEY, 0o1600)

    def heard(self):
        return LIBC.msgget(KEY, 0) >= 0

    def forget(self):
        LIBC.msgctl(self.kept, 0, None)


class QueueByName:
    def tell(self):
        called(240, 180, f"lpca-{TOKEN}".encode(), 0o102, 0o600, None)

    def heard(self):
        return called(240, 180, f"lpca-{TOKEN}".encode(), 0, 0, None) >= 0

    def forget(self):
        called(241, 181, f"lpca-{TOKEN}".encode())


class Listening:
    """A stream's socket that is found by connecting."""

    def tell(self):
        self.kept = socket.socket(*self.of)
        self.kept.bind(self.address)
        self.kept.listen()

    def heard(self):
        with socket.socket(*self.of) as tried:
            return tried.connect_ex(self.found) == 0


class SocketWithoutAFile(Listening):
    of, address = (socket.AF_UNIX, socket.SOCK_STREAM), f"\0lpca-{TOKEN}"
    found = address


class SocketOfPackets(Listening):
    of, address = (socket.AF_UNIX, socket.SOCK_SEQPACKET), f"\0lpca-{TOKEN}-packets"
    found = address


class SocketInTheFolder(Listening):
    of, address, found = (socket.AF_UNIX, socket.SOCK_STREAM), "socket", "../A/socket"


class Tcp(Listening):
    of, address = (socket.AF_INET, socket.SOCK_STREAM), ("127.0.0.1", PORT)
    found = address


class Taken:
    """An address that nobody else can have."""

    def tell(self):
        self.kept = socket.socket(*self.of)
        self.kept.bind(self.address)

    def heard(self):
        return taken(*self.of, address=self.address)


class Udp(Taken):
    of, address = (socket.AF_INET, socket.SOCK_DGRAM), ("127.0.0.1", PORT)


class LettersWithoutAFile(Taken):
    of, address = (socket.AF_UNIX, socket.SOCK_DGRAM), f"\0lpca-{TOKEN}-letters"


class Netlink(Taken):
    of, address = (16, socket.SOCK_RAW, 2), (KEY, 0)


class Key:
    def tell(self):
        name = f"lpca-{TOKEN}".encode()
        self.kept = called(248, 217, b"user", name, b"x", ctypes.c_size_t(1), -4)

    def heard(self):
        return called(250, 219, 10, -4, b"user", f"lpca-{TOKEN}".encode(), 0) > 0

    def forget(self):
        called(250, 219, 21, self.kept)


class Niceness:
    def tell(self):
        os.nice(7)

    def heard(self):
        for one in others():
            with suppress(ProcessLookupError):
                if os.getpriority(os.PRIO_PROCESS, one) == 7:
                    return True
        return False


class Policy:
    def tell(self):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

    def heard(self):
        for one in others():
            with suppress(ProcessLookupError):
                if os.sched_getscheduler(one) == os.SCHED_BATCH:
                    return True
        return False


class Limit:
    def tell(self):
        resource.setrlimit(resource.RLIMIT_NOFILE, (777, 777))

    def heard(self):
        for one in others():
            with suppress(ProcessLookupError):
                if resource.prlimit(one, resource.RLIMIT_NOFILE)[0] == 777:
                    return True
        return False


class ProcessName:
    def tell(self):
        LIBC.prctl(15, b"lpca-told", 0, 0, 0)

    def heard(self):
        for one in others():
            with suppress(FileNotFoundError):
                if Path(f"/proc/{one}/comm").read_text() == "lpca-told\n":
                    return True
        return False


class Descriptor:
    """What it holds open, by way of /proc."""

    def tell(self):
        self.kept = os.open(f"lpca-{TOKEN}", os.O_CREAT | os.O_WRONLY)

    def heard(self):
        for one in others():
            with suppress(FileNotFoundError):
                for link in Path(f"/proc/{one}/fd").iterdir():
                    if f"lpca-{TOKEN}" in str(link.readlink()):
                        return True
        return False


class Memory:
    """A word in its memory, which another process reads where it stands."""

    def tell(self):
        self.kept = mmap.mmap(-1, 4096)
        self.kept.write(f"lpca-told-{TOKEN}".encode())

    def heard(self):
        for one in others():
            with suppress(FileNotFoundError, ProcessLookupError):
                for line in Path(f"/proc/{one}/maps").read_text().splitlines():
                    if line.endswith("/dev/zero (deleted)"):
                        with Path(f"/proc/{one}/mem").open("rb") as memory:
                            memory.seek(int(line.partition("-")[0], 16))
                            if f"lpca-told-{TOKEN}".encode() in memory.read(4096):
                                return True
        return False


class Environment:
    """What a process has in its environment when it starts another, which stays."""

    def tell(self):
        os.environ["LPCA_TOLD"] = TOKEN
        if not os.fork():
            os.execv("/bin/sh", ["sh", "-c", "sleep 30"])

    def heard(self):
        for one in others():
            with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                if f"LPCA_TOLD={TOKEN}" in Path(f"/proc/{one}/environ").read_text():
                    return True
        return False


WAYS = {
    name: made()
    for name, made in list(globals().items())
    if isinstance(made, type) and hasattr(made, "heard") and name not in ("Listening", "Taken")
}
NOT_EVERYWHERE = {"Attribute", "ReadTime", "SizeOfTheFolder", "Netlink", "Key", "QueueByName"}
NOT_EVERYWHERE |= {"Policy", "MemoryByNumber", "Semaphores", "Queue", "MemoryAsAFile"}
"""Ways that need some kind of file system or kernel."""
