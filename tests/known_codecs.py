"""Codecs of which it is known what a diagnosis must say."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lpca.base.hashing import named_seed
from lpca.codec.channel import Channel

K, N, SEED = 4, 40, 5


class Noise:
    """Latents that differ from message to message, and hold nothing of it."""

    def __init__(self, width: int) -> None:
        self.width = width

    def encode(self, messages: Sequence[str]) -> Tensor:
        def one(message: str) -> Tensor:
            generator = torch.Generator().manual_seed(named_seed("noise codec", message))
            return torch.randn(K, self.width, generator=generator)

        return torch.stack([one(message) for message in messages])

    def decode(self, latents: Tensor) -> Tensor:
        return latents


class Times:
    """Another codec's prefix, times a factor."""

    def __init__(self, channel: Channel, factor: float) -> None:
        self.channel, self.factor = channel, factor

    def encode(self, messages: Sequence[str]) -> Tensor:
        return torch.stack(self.channel.prefixes(messages))

    def decode(self, latents: Tensor) -> Tensor:
        return self.factor * latents
