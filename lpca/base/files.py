"""Where lpca keeps things, and how it writes them: whole or not at all, and on the disk.

Every operation on a file of lpca's own passes `touching` first: there `tests/faults` kills or fails
each of them once.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import platformdirs

from lpca.base.errors import ExitCode, RunError


class StorageError(RunError):
    """A folder cannot be written or a stored file cannot be read; the message names it."""


class WriteError(StorageError):
    """Something cannot be written: the disk is full, or the permission is not there."""

    exit_code = ExitCode.NOT_MEASURED
    """What was asked for is right, and could not be kept."""


def cache_dir() -> Path:
    """The user's cache folder for lpca; the environment variable LPCA_CACHE overrides it."""
    override = os.environ.get("LPCA_CACHE")
    return Path(override) if override else Path(platformdirs.user_cache_dir("lpca"))


def _unwatched(operation: str, path: Path) -> None:
    pass


watch: Callable[[str, Path], None] = _unwatched
"""What `touching` calls; exchanged where operations are counted, or made to fail."""


def touching(operation: str, path: Path) -> None:
    """Called before each operation on a file.

    Args:
        operation: create, write, sync, rename, remove, mkdir, lock or read.
        path: of the file or folder.
    """
    watch(operation, path)


ALIKE = 0.75
"""How alike two names are for one to be meant by the other."""
PATIENCE = 1.0
"""Seconds after which a process that waits for a lock says so."""
POLL = 0.02
"""Seconds between attempts at a lock that another process holds."""
OLD = 86400.0
"""Seconds after which an unfinished file is nobody's, where the file system knows no locks."""
PART = ".lpca-part"
"""How a file that is being written ends: `.NAME.RANDOM.lpca-part`, held by a lock of its own."""


@contextmanager
def claimed(
    path: Path, patience: float = 0.0, waiting: Callable[[], None] | None = None
) -> Iterator[bool]:
    """Hold an exclusive lock named after `path` across processes, and say whether it is held.

    Where another process holds it for longer than `patience` seconds, `waiting` is called once
    and the lock is waited for; without `waiting` it is not held. The system frees a dead one's.
    """
    lock = path.with_name(path.name + ".lock")
    with storage(lock):
        make_folder(lock.parent)
        touching("lock", lock)
        handle = _open_lock(lock)
    try:
        with storage(lock):
            held = _taken(handle, patience)
        if not held and waiting is not None:
            waiting()
            with storage(lock):
                held = _taken(handle, math.inf)
        yield held
    finally:
        # said, for a process that was forked meanwhile holds it too
        fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> AbstractContextManager[bool]:
    """Hold the lock named after `path`, however long that is waited for; see `claimed`."""
    return claimed(path, PATIENCE, waiting)


@contextmanager
def folder_locked(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder itself, which is made where it is not there: no file is left in it.

    Some file systems know no such lock; it is then as if nobody else held it.
    """
    with storage(folder):
        make_folder(folder)
        touching("lock", folder)
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def _open_lock(lock: Path) -> int:
    """Open a lock's file, made where it is not there; one of another account is only read."""
    while True:
        try:
            return os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        except PermissionError:
            # to lock a file one need not be allowed to write it
            return os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            with suppress(FileExistsError):
                made = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL, 0o666)
                with suppress(OSError):
                    os.fchmod(made, 0o666)  # whatever the umask: who may read it may wait for it
                return made


def _taken(handle: int, patience: float) -> bool:
    """Whether a lock could be taken within so many seconds."""
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(POLL)
        else:
            return True


def make_folder(folder: Path, *, durable: bool = True) -> None:
    """Make a folder with those above it, where they are not there; OSError where it cannot be."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        touching("mkdir", one)
        one.mkdir(exist_ok=True)
        if durable:
            _sync(one.parent)


def write_file(path: Path, write: Callable[[Path], object], *, durable: bool = True) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step.

    Args:
        path: of the file.
        write: fills the file whose path it is given.
        durable: whether it is on the disk afterwards, also where the power fails. What can be
            computed again need not be.

    Raises:
        WriteError: it cannot be written; what was there before is still there.
    """
    with storage(path):
        make_folder(path.parent, durable=durable)
        _clear(path.parent)
        with _part(path) as part:
            touching("write", part)
            write(part)
            part.chmod(0o644)
            if durable:
                _sync(part)
            touching("rename", path)
            part.replace(path)
            if durable:
                _sync(path.parent)


@contextmanager
def _part(path: Path) -> Iterator[Path]:
    """A new file beside `path`, locked as long as somebody is at work on it; gone afterwards."""

    def make() -> tuple[int, str]:
        touching("create", path)
        return tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART)

    handle, part = _held(make)
    try:
        yield part
    finally:
        os.close(handle)
        if part.exists():
            touching("remove", part)
            part.unlink()


@contextmanager
def scratch_folder(path: Path, *, inherited: bool = False) -> Iterator[Path]:
    """A folder beside `path` to work in, gone afterwards; a killed process's is cleared.

    Where it is `inherited`, a child that takes over open files keeps it as long as it lives.
    """

    def make() -> tuple[int, str]:
        touching("mkdir", path)
        name = tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART)
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC), name

    with storage(path):
        make_folder(path.parent)
        _clear(path.parent)
        handle, made = _held(make)
        os.set_inheritable(handle, inherited)
    try:
        yield made
    finally:
        os.close(handle)
        shutil.rmtree(made, ignore_errors=True)


def _held(make: Callable[[], tuple[int, str]]) -> tuple[int, Path]:
    """What `make` makes, open and locked: whoever clears a folder leaves it there."""
    while True:
        handle, name = make()
        with suppress(OSError):  # a file system without locks: its age tells
            fcntl.flock(handle, fcntl.LOCK_EX)
        if (made := Path(name)).exists():
            return handle, made
        os.close(handle)  # taken for a dead one's before it was locked


def clear_unfinished(folders: Iterable[Path]) -> None:
    """Remove what killed processes have left in folders and below, of whom none lives any more.

    Whoever writes a file clears its folder anyway; what is left is where nobody writes again.
    """
    for folder in folders:
        for place, inner, names in os.walk(folder):
            if any(name.endswith(PART) for name in (*inner, *names)):
                with suppress(OSError):
                    _clear(Path(place))


def _clear(folder: Path) -> None:
    """Remove what killed processes have left unfinished in a folder."""
    with os.scandir(folder) as entries:
        names = [one.name for one in entries if one.name.endswith(PART) and one.name[0] == "."]
    for name in names:
        with suppress(OSError):
            _remove_dead(folder / name)


def _remove_dead(part: Path) -> None:
    handle = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        dead = True
    except BlockingIOError:
        dead = False
    except OSError:
        dead = time.time() - part.stat().st_mtime > OLD
    try:
        if dead:
            touching("remove", part)
            shutil.rmtree(part) if part.is_dir() else part.unlink()
    finally:
        os.close(handle)


def _sync(path: Path) -> None:
    """Have a file's content, or the names in a folder, on the disk."""
    touching("sync", path)
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        # some file systems cannot do it with a folder, and do it by themselves
        if error.errno != errno.EINVAL or not path.is_dir():
            raise
    finally:
        os.close(handle)


def rename(path: Path, target: Path) -> None:
    """Let a file stand at `target`, in place of what stands there, also where the power fails."""
    with storage(target):
        touching("rename", target)
        path.replace(target)
        _sync(target.parent)


def remove(path: Path) -> None:
    """Remove a file, where it is there."""
    with storage(path):
        touching("remove", path)
        path.unlink(missing_ok=True)


def try_writing(folder: Path) -> None:
    """Raise WriteError where a folder cannot be written to, or made; nothing is left of the try."""
    with storage(folder):
        while not folder.exists():
            folder = folder.parent
        _clear(folder)
        with _part(folder / "try") as part:
            touching("write", part)
            part.write_bytes(b"\0" * 4096)


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write `content`, whole or not at all; see `write_file`."""
    write_file(path, lambda part: part.write_bytes(content), durable=durable)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all; see `write_file`."""
    write_bytes(path, text.encode())


def write_json(
    path: Path, data: object, indent: int | None = None, *, durable: bool = True
) -> None:
    """Write `data` as JSON, whole or not at all, as `write_file`; NaN is refused (ValueError)."""
    text = json.dumps(data, indent=indent, allow_nan=False)
    write_bytes(path, f"{text}\n".encode(), durable=durable)


def read_bytes(path: Path) -> bytes:
    """What stands in a file; OSError where it cannot be read."""
    touching("read", path)
    return path.read_bytes()


def missing(path: Path) -> str:
    """What is said of a file that is not there, with the name in its folder that is nearest."""
    from difflib import get_close_matches

    try:
        beside = sorted(one.name for one in path.parent.iterdir())
    except (OSError, ValueError):
        beside = []
    close = get_close_matches(path.name[:200], beside, n=1, cutoff=ALIKE)
    return "there is no such file" + (f" (did you mean {close[0]!r}?)" if close else "")


def read_json(path: Path) -> Any:
    """Read JSON; raises StorageError when the file is missing, unreadable or no JSON.

    Numbers that are not finite are refused, for they cannot be written again.
    """
    try:
        text = read_bytes(path).decode()
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except FileNotFoundError as error:
        raise StorageError(f"{path}: {missing(path)}") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise StorageError(f"{path}: cannot be read: it is no text, so no JSON") from error
    except json.JSONDecodeError as error:
        why = f"no JSON ({error.msg}, line {error.lineno})" if text.strip() else "empty"
        raise StorageError(f"{path}: cannot be read: it is {why}") from error
    except ValueError as error:
        raise StorageError(f"{path}: cannot be read: {error}") from error
    except RecursionError:
        raise StorageError(f"{path}: cannot be read: it is nested too deeply") from None


def _finite(written: str) -> float:
    value = float(written)
    if not math.isfinite(value):
        raise ValueError(f"the number {written:.40} is not finite")
    return value


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the system's error of reading something into a StorageError that names it."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error


@contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turn the system's error of writing something into a WriteError that names it."""
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"{path}: cannot be written: {error.strerror or error}; {_remedy(path, error)}"
        ) from error


REMEDIES: Mapping[int | None, str] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space, or "),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "give yourself the permission, or "),
}
"""What helps beside another place, by the system's error; nothing does where there can be none."""


def _remedy(path: Path, error: OSError) -> str:
    in_cache = path.absolute().is_relative_to(cache_dir().absolute())
    elsewhere = "point LPCA_CACHE to another folder" if in_cache else "name another folder"
    return REMEDIES.get(error.errno, "") + elsewhere
