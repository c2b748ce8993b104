"""Soft selections of a message's own tokens: the default codec; and such out of a codebook."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from lpca.base.errors import needed
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


COMMITMENT = 0.25
"""Weight of the commitment loss, with latents in units of the table's root mean square."""
DECAY, DEAD = 0.8, 0.05
"""Of a code's moving mean of uses per step; below `DEAD` a code of the batch takes its place."""


@CODECS.register(
    "residual_vq",
    codebook=(512, 2, 65_536, "number of codes that a latent is chosen from"),
    quantisers=(2, 1, 16, "codebooks applied one after another"),
)
@CODECS.register(
    "vector_quantised", codebook=(512, 2, 65_536, "number of codes that a latent is chosen from")
)
class VectorQuantised(TokenPooler):
    """`TokenPooler` whose latents are replaced by the nearest codes of a codebook.

    van den Oord et al. 2017, arXiv:1711.00937: L2 distance, straight-through gradient, codes that
    follow the mean of what they stand for. With several quantisers each codes what the ones before
    left over (residual VQ: Zeghidour et al. 2021, arXiv:2107.03312, algorithm 1). Codes that are
    not used are put back to latents of the batch. In evaluation nothing moves.

    A message's latents hold k * quantisers * log2(codebook) bits.
    """

    def __init__(self, receiver: Receiver, k: int, codebook: int, quantisers: int = 1) -> None:
        super().__init__(receiver, k)
        vq = needed(
            "vector_quantize_pytorch", "codecs", "architecture vector_quantised or residual_vq"
        )
        self.unit = receiver.mean_embedding_norm / receiver.d_model**0.5
        self.quantiser = vq.ResidualVQ(
            dim=receiver.d_model,
            num_quantizers=quantisers,
            codebook_size=codebook,
            decay=DECAY,
            threshold_ema_dead_code=DEAD,
            commitment_weight=COMMITMENT,
            rotation_trick=False,
            sync_codebook=False,  # where several processes train, each sees every message
        )
        self._bits = k * quantisers * math.log2(codebook)
        self._commitment: Tensor | None = None
        self._start_from_tokens(codebook)
        self.to(receiver.device)

    @torch.no_grad()
    def _start_from_tokens(self, codebook: int) -> None:
        """The first quantiser's codes start as embeddings of random tokens."""
        table = self.receiver.embedding
        tokens = torch.randint(table.num_embeddings, (codebook,)).tolist()
        first = self.quantiser.layers[0]._codebook
        first.embed.copy_(self.receiver.embed(tokens).float() / self.unit)
        first.embed_avg.copy_(first.embed)

    @property
    def bits(self) -> float:
        """As in `TrainableCodec`."""
        return self._bits

    def encode(self, messages: Sequence[str]) -> Tensor:
        """Return latents [batch, k, d_model], each a sum of codes, in float32."""
        pooled = super().encode(messages) / self.unit
        codes, _, losses = self.quantiser(pooled)
        self._commitment = losses.sum()
        return torch.as_tensor(codes * self.unit)

    def auxiliary_loss(self) -> Tensor | None:
        """Return `COMMITMENT` times the mean squared distance of latents from their codes."""
        return self._commitment

    def measures(self) -> dict[str, float]:
        """Return the entropy of the codes' use in bits, at most log2(codebook); mean of several."""
        used = torch.stack([layer._codebook.cluster_size[0] for layer in self.quantiser.layers])
        shares = used / used.sum(1, keepdim=True)
        return {"usage_entropy": float(torch.special.entr(shares).sum(1).mean() / math.log(2))}
