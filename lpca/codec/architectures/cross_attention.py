"""k learned queries that attend over every hidden state of the message."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lpca.codec.architectures import CODECS, StateReader
from lpca.receivers.model import Receiver

WIDTH, HEADS = 512, 8


@CODECS.register("cross_attention")
class CrossAttention(StateReader):
    """One cross-attention, as in the Perceiver (Jaegle et al. 2021, arXiv:2103.03206).

    What it makes of the states is its own affair: unlike `TokenPooler`, it does not start inside
    the receiver's input space.
    """

    def __init__(self, receiver: Receiver, k: int) -> None:
        super().__init__(receiver)
        width = receiver.d_model
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.randn(k, WIDTH))
        self.key = nn.Linear(width, WIDTH, bias=False)
        self.value = nn.Linear(width, WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, width)
        self.to(receiver.device)

    def encode(self, messages: Sequence[str]) -> Tensor:
        """Return latents [batch, k, d_model] in float32."""
        states, real = self.states(messages)
        normed = self.norm(states)
        queries = self.queries.expand(len(messages), *self.queries.shape)
        attended = nn.functional.scaled_dot_product_attention(
            _heads(queries),
            _heads(self.key(normed)),
            _heads(self.value(normed)),
            attn_mask=real[:, None, None],
        )
        return torch.as_tensor(self.out(attended.transpose(1, 2).flatten(2)))


def _heads(vectors: Tensor) -> Tensor:
    """[batch, length, WIDTH] to [batch, heads, length, WIDTH / heads]."""
    batch, length, width = vectors.shape
    return vectors.view(batch, length, HEADS, width // HEADS).transpose(1, 2)
