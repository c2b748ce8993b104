"""Content hashes: of JSON-able data, of tensors, and of files."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def hash_data(data: object) -> str:
    """SHA-256 of `data` as canonical JSON (sorted keys, no spaces, NaN refused with ValueError)."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_tensors(named: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 over names, dtypes, shapes and raw bytes of tensors, in order of their names."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(named, key=lambda item: item[0]):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        raw = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
        digest.update(raw.numpy().data)
    return digest.hexdigest()


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
