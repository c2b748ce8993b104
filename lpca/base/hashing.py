"""Content hashes of JSON-able data and of files, and what is drawn from names."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

CONTENT = "content_sha256"
"""The key under which a stored file has the hash of all else in it."""


def hash_data(data: object) -> str:
    """SHA-256 of `data` as canonical JSON (sorted keys, no spaces, NaN refused with ValueError)."""
    return hashlib.sha256(canonical(data).encode()).hexdigest()


def canonical(data: object) -> str:
    """`data` as the one JSON text that its hash is of."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def with_hash(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same data with the hash of all of it, by which `is_altered` knows what was changed."""
    held = {name: value for name, value in data.items() if name != CONTENT}
    return {**held, CONTENT: hash_data(held)}


def is_altered(data: Mapping[str, Any]) -> bool:
    """Whether data is not what its hash says, or has none.

    Example:
        >>> kept = with_hash({"verdict": "FAIL"})
        >>> is_altered(kept), is_altered({**kept, "verdict": "PASS"})
        (False, True)
    """
    try:
        return bool(data.get(CONTENT) != with_hash(data)[CONTENT])
    except (ValueError, RecursionError):
        # what cannot be hashed was not written here
        return True


def hash_bytes(content: bytes) -> str:
    """SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    from lpca.base.files import touching  # needs a package; the doctor does without

    touching("read", path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def named_rng(*names: object) -> random.Random:
    """A generator seeded by its names, the same on every platform and in every process."""
    return random.Random(_named(names))


def named_seed(*names: object) -> int:
    """A 63-bit seed for torch or numpy, from names."""
    return _named(names) >> 1


def _named(names: Iterable[object]) -> int:
    return int.from_bytes(hashlib.sha256("/".join(map(str, names)).encode()).digest()[:8], "big")
