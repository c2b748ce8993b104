"""The codecs that lpca can train, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lpca.codec.base import TrainableCodec
from lpca.codec.choices import STATIC_PREFIX, TOKEN_POOLER
from lpca.codec.cross_attention import CrossAttention
from lpca.codec.memory_tokens import MemoryTokens
from lpca.codec.objectives import OBJECTIVES
from lpca.codec.pooled_mlp import PooledMLP
from lpca.codec.recipe import Recipe
from lpca.codec.static_prefix import StaticPrefix
from lpca.codec.token_pooler import TokenPooler
from lpca.codec.vector_quantised import VectorQuantised
from lpca.receivers.model import Receiver

CODECS: Mapping[str, type[TrainableCodec]] = MappingProxyType(
    {
        TOKEN_POOLER: TokenPooler,
        STATIC_PREFIX: StaticPrefix,
        "pooled_mlp": PooledMLP,
        "cross_attention": CrossAttention,
        "memory_tokens": MemoryTokens,
        "vector_quantised": VectorQuantised,
        "residual_vq": VectorQuantised,
    }
)
"""Each is made from a receiver, k and the settings that `lpca.codec.choices` lists."""

_LOOP = ("lpca.codec.training", "lpca.codec.objectives.batch", "lpca.codec.objectives.answer")


def make_codec(receiver: Receiver, k: int, recipe: Recipe) -> TrainableCodec:
    """Make a recipe's untrained codec; what it draws at random is not seeded here."""
    return CODECS[recipe.architecture](receiver, k, **recipe.settings)


def code_of(recipe: Recipe) -> tuple[str, ...]:
    """Return the modules whose code determines the weights: architecture, objectives, the loop."""
    classes = (one.__module__ for one in CODECS[recipe.architecture].__mro__)
    own = [name for name in classes if name.startswith("lpca.") and name != "lpca.codec.base"]
    losses = [OBJECTIVES[name].__module__ for name in recipe.objectives]
    return tuple(dict.fromkeys([*own, *_LOOP, *losses]))
