"""A text compressor as a channel: yake's best keyword of the message, at most k tokens of it.

`pytest gates/ -m gate1 --receiver stub --codec examples.third_party.keywords:repeated`
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from yake import KeywordExtractor

from lpca.receivers.model import Receiver


class Keyword:
    """The embeddings of a keyword's first k tokens; where it has fewer, the rest is filled.

    With `repeat` by the same tokens from their start, else by zero vectors. Nothing is trained,
    so `trained_on` is empty.
    """

    trained_on: Sequence[str] = ()

    def __init__(self, receiver: Receiver, k: int, repeat: bool) -> None:
        self.receiver, self.k, self.repeat = receiver, k, repeat
        self.extractor = KeywordExtractor(lan="en", n=1, top=1)

    def compress(self, message: str) -> list[int]:
        """Return 1 to k token ids; the message's own first ones where yake finds no keyword."""
        found = self.extractor.extract_keywords(message)
        best = found[0][0] if found else message
        return self.receiver.message_ids(best)[: self.k]

    def encode(self, messages: Sequence[str]) -> Tensor:
        """Return embeddings [batch, k, d_model]."""
        return torch.stack([self._vectors(self.compress(message)) for message in messages])

    def decode(self, latents: Tensor) -> Tensor:
        """Return the latents: they are embeddings already."""
        return latents

    def _vectors(self, ids: list[int]) -> Tensor:
        if self.repeat:
            ids = (ids * self.k)[: self.k]
        vectors = torch.zeros(self.k, self.receiver.d_model)
        vectors[: len(ids)] = self.receiver.embed(ids).float().cpu()
        return vectors


def repeated(receiver: Receiver, k: int) -> Keyword:
    """Fill up with the keyword itself, again and again."""
    return Keyword(receiver, k, repeat=True)


def zero_padded(receiver: Receiver, k: int) -> Keyword:
    """Fill up with zero vectors."""
    return Keyword(receiver, k, repeat=False)
