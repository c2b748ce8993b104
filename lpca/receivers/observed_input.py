"""Read off, at the model's own door, what B is really given."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from lpca.receivers.model import Receiver

INJECTED = -1
"""Stands for a vector that is no token's embedding."""


@dataclass(frozen=True)
class Given:
    """One prompt as the model received it.

    `ids` are token ids, INJECTED where a vector came in that is no token's embedding. `norms`
    and `sha256` are those of the vectors that came in as embeddings between `start` and `stop`
    (positions in `ids`); a slot of plain tokens has neither.
    """

    ids: tuple[int, ...]
    start: int
    stop: int
    norms: tuple[float, ...] = ()
    sha256: str = ""


@dataclass(frozen=True, eq=False)
class Call:
    """The inputs of one forward pass, as the model saw them."""

    ids: Tensor | None
    embeddings: Tensor | None
    mask: Tensor

    @property
    def columns(self) -> int:
        """Number of positions that came in with this call."""
        given = self.ids if self.embeddings is None else self.embeddings
        assert given is not None
        return int(given.shape[1])

    def seen_from(self, column: int) -> tuple[Tensor, Tensor]:
        """What a position of this call looks at, bool: in what came before it, and in the call."""
        seen = self.mask[:, 0, column] == 0
        return seen[:, : -self.columns], seen[:, -self.columns :]


class Tap:
    """While open, keeps the inputs of every forward pass of a receiver's model."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.calls: list[Call] = []

    def __enter__(self) -> Tap:
        hook = self.receiver.model.register_forward_pre_hook(self._keep, with_kwargs=True)
        self._handle = hook
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._handle.remove()

    def _keep(self, _module: torch.nn.Module, _args: Any, inputs: dict[str, Any]) -> None:
        self.calls.append(
            Call(inputs.get("input_ids"), inputs.get("inputs_embeds"), inputs["attention_mask"])
        )


def given_rows(
    receiver: Receiver, context: Call, prompt: Call, slots: list[int], options: int = 0
) -> list[Given]:
    """Compose what each row was given from the call up to the slot and the one after it.

    `slots` are the numbers of positions each row's slot should take; they directly follow the
    context. The prompt ends before the last `options` positions of its call; what it cannot see
    from there is padding, or no part of it, and left out.
    """
    rows = []
    past, rest = prompt.seen_from(prompt.columns - options - 1)
    for i, length in enumerate(slots):
        before = _ids(receiver, context, i, past[i])
        after = _ids(receiver, prompt, i, rest[i])
        norms, sha = _vectors(prompt, i, rest[i], length)
        start = len(before)
        rows.append(Given((*before, *after), start, start + length, norms, sha))
    return rows


def vectors_hash(vectors: Tensor) -> str:
    """SHA-256 of the bytes of vectors [k, d_model], in their own type."""
    return hashlib.sha256(_bytes(vectors.detach())).hexdigest()


def canonical_ids(receiver: Receiver, ids: Sequence[int]) -> tuple[int, ...]:
    """Return ids as `Given` has them: tokens that share an embedding are one token there."""
    canonical = _canonical(receiver)
    return tuple(canonical.get(token, token) for token in ids)


def _ids(receiver: Receiver, call: Call, row: int, visible: Tensor) -> list[int]:
    if call.embeddings is None:
        assert call.ids is not None
        return list(canonical_ids(receiver, call.ids[row][visible].tolist()))
    table = _table(receiver)
    vectors = call.embeddings[row][visible]
    return [table.get(key, INJECTED) for key in _keys(vectors)]


def _vectors(call: Call, row: int, visible: Tensor, length: int) -> tuple[tuple[float, ...], str]:
    if call.embeddings is None or length == 0:
        return (), ""
    vectors = call.embeddings[row][visible][:length].detach()
    norms = tuple(round(float(x), 6) for x in vectors.float().norm(dim=1))
    return norms, vectors_hash(vectors)


def _bytes(vectors: Tensor) -> bytes:
    raw = vectors.cpu().contiguous().view(-1).view(torch.uint8)
    return raw.numpy().tobytes()


def _keys(vectors: Tensor) -> list[bytes]:
    width = vectors.shape[1] * vectors.element_size()
    raw = _bytes(vectors)
    return [
        hashlib.blake2b(raw[i : i + width], digest_size=16).digest()
        for i in range(0, len(raw), width)
    ]


@lru_cache(maxsize=4)
def _table(receiver: Receiver) -> dict[bytes, int]:
    size = receiver.embedding.num_embeddings
    table: dict[bytes, int] = {}
    for start in range(0, size, 4096):
        ids = range(start, min(start + 4096, size))
        for token, key in zip(ids, _keys(receiver.embed(ids)), strict=True):
            table.setdefault(key, token)
    return table


@lru_cache(maxsize=4)
def _canonical(receiver: Receiver) -> dict[int, int]:
    """Map every token that shares its embedding with an earlier one to the first such token."""
    table = _table(receiver)
    size = receiver.embedding.num_embeddings
    if len(table) == size:
        return {}
    keys = _keys(receiver.embed(range(size)))
    return {token: table[key] for token, key in enumerate(keys) if table[key] != token}
