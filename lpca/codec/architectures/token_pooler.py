"""The default codec: each latent is a soft selection of the message's own tokens."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from lpca.codec.architectures import CODECS, padded_states, reading_layer
from lpca.codec.base import TrainableCodec
from lpca.receivers.model import Receiver

ATTENTION_WIDTH = 256


@CODECS.register("token_pooler")
class TokenPooler(TrainableCodec):
    """k learned queries pool the message's token embeddings.

    The attention weights come from the receiver's own hidden states of the message, 0.4 of the
    way up. A linear residual on the pooled states and a scale are learned; both start neutral, so
    a latent begins as a mixture of the message's embeddings, inside the receiver's input space.
    Powerful where k covers the content words; it compresses no further than that.
    """

    def __init__(self, receiver: Receiver, k: int) -> None:
        super().__init__()
        width = receiver.d_model
        self.receiver = receiver
        self.layer = reading_layer(receiver)
        self.norm = nn.LayerNorm(width)
        self.key = nn.Linear(width, ATTENTION_WIDTH, bias=False)
        self.queries = nn.Parameter(torch.randn(k, ATTENTION_WIDTH))
        self.residual = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.residual.weight)
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.to(receiver.device)

    def encode(self, messages: Sequence[str]) -> Tensor:
        """Return latents [batch, k, d_model] in float32."""
        rows = [self.receiver.message_ids(message) for message in messages]
        states, real = padded_states(self.receiver, rows, self.layer)
        tokens = [self.receiver.embed(row).float() for row in rows]
        normed = self.norm(states)
        scores = self.queries @ self.key(normed).transpose(1, 2) / ATTENTION_WIDTH**0.5
        scores = scores.masked_fill(~real[:, None], -torch.inf)
        weights = scores.softmax(-1)
        pooled = weights @ pad_sequence(tokens, batch_first=True)
        return torch.as_tensor(pooled + self.residual(weights @ normed))

    def decode(self, latents: Tensor) -> Tensor:
        """Return the prefix [batch, k, d_model]: the latents, scaled."""
        return latents * self.log_scale.exp()
