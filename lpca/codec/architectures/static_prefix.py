"""The control that never sees a message: one trained prefix for all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lpca.codec.architectures import CODECS
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
