"""Where lpca keeps things, and how it writes them: whole or not at all."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

from lpca.base.errors import RunError


class StorageError(RunError):
    """A folder cannot be written or a stored file cannot be read; the message names it."""


def cache_dir() -> Path:
    """The user's cache folder for lpca; the environment variable LPCA_CACHE overrides it."""
    override = os.environ.get("LPCA_CACHE")
    return Path(override) if override else Path(platformdirs.user_cache_dir("lpca"))


PATIENCE = 1.0
"""Seconds after which a process that waits for a lock says so."""


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
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock)
        try:
            held.acquire(timeout=patience)
        except Timeout:
            if waiting is not None:
                waiting()
                held.acquire()
    try:
        yield held.is_locked
    finally:
        held.release()  # nothing where it is not held


def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> AbstractContextManager[bool]:
    """Hold the lock named after `path`, however long that is waited for; see `claimed`."""
    return claimed(path, PATIENCE, waiting)


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step."""
    with storage(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
        part = Path(name)
        try:
            write(part)
            part.chmod(0o644)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content`, whole or not at all."""
    write_file(path, lambda part: part.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    write_file(path, lambda part: part.write_text(text, encoding="utf-8"))


def write_json(path: Path, data: object, indent: int | None = None) -> None:
    """Write `data` as JSON, whole or not at all; NaN is refused with ValueError."""
    text = json.dumps(data, indent=indent, allow_nan=False)
    write_file(path, lambda part: part.write_text(text + "\n", encoding="utf-8"))


def read_json(path: Path) -> Any:
    """Read JSON; raises StorageError when the file is missing, unreadable or no JSON.

    Numbers that are not finite are refused, for they cannot be written again.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: cannot be read: {error}") from error
    except RecursionError:
        raise StorageError(f"{path}: cannot be read: it is nested too deeply") from None


def _finite(written: str) -> float:
    value = float(written)
    if not math.isfinite(value):
        raise ValueError(f"the number {written:.40} is not finite")
    return value


@contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turn the system's error of writing something into a StorageError that names it."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written: {error.strerror or error}; free the space or the "
            "permission, or point LPCA_CACHE to another folder"
        ) from error
