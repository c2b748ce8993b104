"""Noise that lies where latents lie: noise of no more than their norms is easily told from them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lpca.base.hashing import named_seed
from lpca.codec.channel import Asked, Channel
from lpca.evaluation.conditions import CONDITIONS, Condition, Setting, slots_of
from lpca.receivers.caches import flat, layers_of, rotation_of
from lpca.receivers.forward import Slot


@CONDITIONS.register("shaped", holds="latents", codec="shape")
class Shaped(Condition):
    """Noise with the latents' own mean and covariance: whether looking like a latent helps.

    Of caches, the covariance within each head of each layer, keys and values together.
    """

    def slots(self, setting: Setting) -> list[Slot]:
        """Return slots of noise, each seeded by its episode; ValueError as for `shape_of`."""
        shape, heads = shape_of(setting), heads_of(setting.coded())
        drawn_for = [drawn(shape, episode.seed, heads) for episode in setting.episodes]
        return slots_of(list(map(setting.coded().packet_of, drawn_for)))

    def needs(self, setting: Setting) -> Sequence[Asked]:
        """Return the messages of training."""
        return setting.training_messages

    def encode(self, setting: Setting) -> None:
        """Encode the messages of training."""
        shape_of(setting)


Shape = tuple[Tensor, Tensor]
"""Of training messages' prefixes the mean [k, width], and each one's distance from it."""


def heads_of(channel: Channel) -> Tensor | None:
    """Which layer's head each number of a position belongs to: [width]; None of vectors."""
    if channel.port.kind != "cache":
        return None
    receiver, layers, count, named = channel.receiver, channel.port.layers, 0, {}
    for layer in layers_of(receiver, layers):
        heads, *widths = rotation_of(receiver).shapes[layer]
        own = torch.arange(count, count + heads).float()[:, None, None]
        named[layer] = own.expand(heads, 1, widths[0]), own.expand(heads, 1, widths[1])
        count += heads
    return flat(named)[0].long()


def shape_of(setting: Setting) -> Shape:
    """Return the shape that noise is to have, in float64.

    Raises:
        ValueError: there are no messages of training, or there is no codec.
    """
    if not setting.training_messages:
        raise ValueError("shaped needs messages of training, and none were given")
    prefixes = setting.coded().training_prefixes(setting.training_messages).double().cpu()
    mean = prefixes.mean(0)
    return mean, prefixes - mean


def drawn(shape: Shape, seed: int, heads: Tensor | None = None) -> Tensor:
    """Draw vectors [k, width] from the normal distribution of a shape, each place by itself.

    The sum of all distances from the mean, each times a standard normal number, over the root of
    their count less one, has just their covariance: no matrix [width, width] is needed.

    Args:
        shape: as of `shape_of`.
        seed: the episode's, which names the draw.
        heads: as of `heads_of`; each of them is drawn by itself too.
    """
    mean, apart = shape
    count, k, _ = apart.shape
    generator = torch.Generator().manual_seed(named_seed("shaped", seed, k))
    noise = torch.zeros_like(mean)
    for head in range(1 if heads is None else int(heads.max()) + 1):
        weights = torch.randn(k, count, generator=generator, dtype=torch.float64)
        own = slice(None) if heads is None else heads == head
        noise[:, own] = torch.einsum("kn,nkd->kd", weights, apart[:, :, own])
    return (mean + noise / math.sqrt(max(1, count - 1))).float()
