"""Baselines: one trained prefix for all messages, and one pooled vector of each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lpca.codec.architectures import CODECS, StateReader
from lpca.codec.base import TrainableCodec
from lpca.receivers.model import Receiver


@CODECS.register("static_prefix")
class StaticPrefix(TrainableCodec):
    """k free vectors, as in prompt tuning (Lester, Al-Rfou and Constant 2021, arXiv:2104.08691).

    They start as the embeddings of k random tokens. What is learned is counted in units of the
    table's mean norm, so that one learning rate suits receivers of any scale.
    """

    start: Tensor

    def __init__(self, receiver: Receiver, k: int) -> None:
        super().__init__()
        tokens = torch.randint(receiver.embedding.num_embeddings, (k,)).tolist()
        self.register_buffer("start", receiver.embed(tokens).float())
        self.offset = nn.Parameter(torch.zeros(k, receiver.d_model))
        self.unit = receiver.mean_embedding_norm
        self.to(receiver.device)

    def encode(self, messages: Sequence[str]) -> Tensor:
        """Return the same k vectors for every message: [batch, k, d_model] in float32."""
        prefix = self.start + self.unit * self.offset
        return prefix.expand(len(messages), *prefix.shape)

    def decode(self, latents: Tensor) -> Tensor:
        """Return the prefix [batch, k, d_model]: the latents as they are."""
        return latents


WIDTH = 512


@CODECS.register("pooled_mlp")
class PooledMLP(StateReader):
    """The last state and the mean of all, through an MLP to k vectors.

    The decoder is the calibrated identity of an earlier attempt: a LayerNorm, the embedding
    table's mean norm as the target, and a learned scale gate. What the tokens were is pooled away
    before anything is learned.
    """

    def __init__(self, receiver: Receiver, k: int) -> None:
        super().__init__(receiver)
        width = receiver.d_model
        self.k = k
        self.expand = nn.Sequential(
            nn.LayerNorm(2 * width),
            nn.Linear(2 * width, WIDTH),
            nn.GELU(),
            nn.Linear(WIDTH, k * width),
        )
        self.calibrate = nn.LayerNorm(width)
        self.to(receiver.device)

    def encode(self, messages: Sequence[str]) -> Tensor:
        """Return latents [batch, k, d_model] in float32."""
        states, real = self.states(messages)
        lengths = real.sum(1)
        last = states[torch.arange(len(states), device=states.device), lengths - 1]
        mean = (states * real[..., None]).sum(1) / lengths[:, None]
        expanded = self.expand(torch.cat([last, mean], 1))
        return torch.as_tensor(expanded.view(len(messages), self.k, -1))

    def decode(self, latents: Tensor) -> Tensor:
        """Return the prefix [batch, k, d_model]: the latents, normalised and scaled."""
        return self.scaled(self.calibrate(latents))
