"""Codecs whose packets are keys and values of the receiver's layers, trained like the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lpca.channel.packets import Packet, Port, View
from lpca.codec.architectures import CODECS
from lpca.codec.architectures.learned_queries import adapted
from lpca.codec.base import TrainableCodec
from lpca.receivers.caches import Cache, flat, layers_of, unflat
from lpca.receivers.forward import last_columns, left_padded, own_caches
from lpca.receivers.model import Receiver
from lpca.tasks import joined

STRIDE = 8.0
"""A token acts by way of the whole frozen model: it has further to go than a prefix at B's."""


class CacheCodec(TrainableCodec):
    """A channel of caches: k positions of these layers of the receiver, all of them by default."""

    receives = False
    """B gets what crossed: there is nothing to be done at its side."""

    def __init__(self, receiver: Receiver, k: int, layers: Sequence[int] = ()) -> None:
        super().__init__()
        self.receiver, self.k = receiver, k
        layers_of(receiver, layers)
        self.port: Port = Port("cache", k, layers=tuple(layers))

    @property
    def name(self) -> str:
        """As messages have it."""
        return type(self).__name__

    def decode(self, latents: Tensor) -> Tensor:
        """Return the prefix [batch, k, numbers]: the latents as they are."""
        return latents

    def send(self, views: Sequence[View]) -> list[Packet]:
        """Return a packet of keys and values for each view."""
        self.eval()
        rows = self.encode([joined(view.messages) for view in views])
        return [Packet(cache=unflat(self.receiver, row, self.port.layers)) for row in rows]

    def receive(self, packets: Sequence[Packet]) -> list[Packet]:
        """Return the packets."""
        return list(packets)


@CODECS.register(
    "cache_tokens",
    layers=((), 0, 1023, "layers whose keys and values cross; none named: all"),
    lora=(0, 0, 256, "rank of the encoder's adapters; 0: none"),
)
class CacheTokens(CacheCodec):
    """The frozen receiver reads the message and k learned tokens, whose keys and values cross.

    As gist tokens (Mu, Li and Goodman 2023, arXiv:2304.08467), but with a frozen model; with `lora`
    above 0 the encoder has adapters of that rank and B none, as in 500xCompressor (Li, Su and
    Collier 2024, arXiv:2408.03094). The tokens start as random ones of the vocabulary; what is
    learned is counted in units of `STRIDE` times the table's mean norm.
    """

    start: Tensor

    def __init__(
        self, receiver: Receiver, k: int, layers: Sequence[int] = (), lora: int = 0
    ) -> None:
        super().__init__(receiver, k, layers)
        tokens = torch.randint(receiver.embedding.num_embeddings, (k,)).tolist()
        self.register_buffer("start", receiver.embed(tokens).float())
        self.offset = nn.Parameter(torch.zeros(k, receiver.d_model))
        self.unit = STRIDE * receiver.mean_embedding_norm
        model = receiver.model.base_model
        self.adapter = nn.ParameterDict()
        if lora:
            model, self.adapter = adapted(model, lora, "cache_tokens")
        # in a list, so that the receiver's weights are none of the codec's
        self._reader = [model]
        self.to(receiver.device)
        if lora:
            self.adapter = self._read_of(self.adapter)

    def _read_of(self, adapter: nn.ParameterDict) -> nn.ParameterDict:
        """Those adapters by which what crosses is computed: none stands behind the last of it."""
        with torch.enable_grad():
            every = list(adapter.values())
            found = torch.autograd.grad(self.encode(["."]).sum(), every, allow_unused=True)
        pairs = zip(adapter.items(), found, strict=True)
        return nn.ParameterDict({name: one for (name, one), own in pairs if own is not None})

    def encode(self, messages: Sequence[str]) -> Tensor:
        """Return the learned tokens' keys and values [batch, k, numbers] in float32."""
        receiver, k = self.receiver, self.k
        rows = [receiver.message_ids(message) + [receiver.pad_id] * k for message in messages]
        ids, real = left_padded(rows, receiver.pad_id, receiver.device)
        learned = (self.start + self.unit * self.offset).to(receiver.dtype)
        memory = learned.expand(len(rows), k, -1)
        inputs = torch.cat([receiver.embedding(ids[:, :-k]), memory], 1)
        return last_columns(receiver, self._reader[0], inputs, real, k, self.port.layers)


@CODECS.register(
    "static_cache", layers=((), 0, 1023, "layers that have keys and values; none named: all")
)
class StaticCache(CacheCodec):
    """One trained cache for all messages: prefix tuning (Li and Liang 2021, arXiv:2101.00190).

    It starts as the receiver's own of k random tokens. What is learned is counted in units of the
    mean norm of each layer's keys and values, as `StaticPrefix` does in those of embeddings.
    """

    start: Tensor
    units: Tensor

    def __init__(self, receiver: Receiver, k: int, layers: Sequence[int] = ()) -> None:
        super().__init__(receiver, k, layers)
        tokens = torch.randint(receiver.embedding.num_embeddings, (k,)).tolist()
        [whole] = own_caches(receiver, [[]], [tokens])
        cache = {layer: whole[layer] for layer in layers_of(receiver, layers)}
        self.register_buffer("start", flat(cache))
        self.register_buffer("units", flat(_mean_norms(cache)))
        self.offset = nn.Parameter(torch.zeros_like(self.start))
        self.to(receiver.device)

    def encode(self, messages: Sequence[str]) -> Tensor:
        """Return the same cache for every message: [batch, k, numbers] in float32."""
        prefix = self.start + self.units * self.offset
        return prefix.expand(len(messages), *prefix.shape)


def _mean_norms(cache: Cache) -> Cache:
    """In the place of each number the mean norm of its layer's keys, or values, by head."""
    return {
        layer: (_mean_norm(keys), _mean_norm(values)) for layer, (keys, values) in cache.items()
    }


def _mean_norm(vectors: Tensor) -> Tensor:
    mean = vectors.norm(dim=-1, keepdim=True).mean(1, keepdim=True)
    return torch.as_tensor(mean.expand_as(vectors))
