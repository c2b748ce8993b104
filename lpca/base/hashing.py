"""Content hashes of JSON-able data and of files, and what is drawn from names."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable
from pathlib import Path


def hash_data(data: object) -> str:
    """SHA-256 of `data` as canonical JSON (sorted keys, no spaces, NaN refused with ValueError)."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
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
