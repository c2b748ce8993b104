"""Content hashes of tensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

PIECE = 1024
"""How many 64-bit numbers are summed together in `tensor_sums`."""


def hash_tensors(named: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 over names, dtypes, shapes and raw bytes of tensors, in order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(named, key=lambda item: item[0]):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(_bytes(tensor).cpu().numpy().data)
    return digest.hexdigest()


def tensor_sha256(tensor: Tensor) -> str:
    """SHA-256 over a tensor's dtype, shape and raw bytes."""
    return hash_tensors([("", tensor)])


def tensor_sums(tensor: Tensor) -> str:
    """SHA-256 over a tensor's dtype, shape and the sums of its bytes, piece by piece.

    The sums are of PIECE 64-bit whole numbers each, and made where the tensor lies: about as fast
    as it can be read. What is left over at its end is taken as it is.
    """
    raw = _bytes(tensor)
    whole = len(raw) // (8 * PIECE) * (8 * PIECE)
    if whole == 0 or raw.storage_offset() % 8:
        return tensor_sha256(tensor)
    pieces = raw[:whole].view(torch.int64).view(-1, PIECE).sum(1)
    return hash_tensors([(f"{tensor.dtype} {tuple(tensor.shape)}", pieces), ("rest", raw[whole:])])


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().view(-1).view(torch.uint8)
