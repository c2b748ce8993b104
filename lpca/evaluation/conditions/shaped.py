"""Noise that lies where latents lie: noise of no more than their norms is easily told from them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lpca.base.hashing import named_seed
from lpca.codec.channel import Asked
from lpca.evaluation.conditions import CONDITIONS, Condition, Setting
from lpca.receivers.forward import Slot


@CONDITIONS.register("shaped", holds="latents", codec="shape")
class Shaped(Condition):
    """Noise with the latents' own mean and covariance: whether looking like a latent helps."""

    def slots(self, setting: Setting) -> list[Slot]:
        """Return slots of noise, each seeded by its episode; ValueError as for `shape_of`."""
        shape = shape_of(setting)
        return [Slot(vectors=drawn(shape, episode.seed)) for episode in setting.episodes]

    def needs(self, setting: Setting) -> Sequence[Asked]:
        """Return the messages of training."""
        return setting.training_messages

    def encode(self, setting: Setting) -> None:
        """Encode the messages of training."""
        shape_of(setting)


Shape = tuple[Tensor, Tensor]
"""Of training messages' prefixes the mean [k, d_model], and each one's distance from it."""


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


def drawn(shape: Shape, seed: int) -> Tensor:
    """Draw vectors [k, d_model] from the normal distribution of a shape, each place by itself.

    The sum of all distances from the mean, each times a standard normal number, over the root of
    their count less one, has just their covariance: no matrix [d_model, d_model] is needed.

    Args:
        shape: as of `shape_of`.
        seed: the episode's, which names the draw.
    """
    mean, apart = shape
    count, k, _ = apart.shape
    generator = torch.Generator().manual_seed(named_seed("shaped", seed, k))
    weights = torch.randn(k, count, generator=generator, dtype=torch.float64)
    noise = torch.einsum("kn,nkd->kd", weights, apart) / math.sqrt(max(1, count - 1))
    return (mean + noise).float()
