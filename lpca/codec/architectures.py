"""The codecs that lpca can train, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from lpca.codec.base import TrainableCodec
from lpca.codec.static_prefix import StaticPrefix
from lpca.codec.token_pooler import TokenPooler
from lpca.receivers.model import Receiver

TOKEN_POOLER, STATIC_PREFIX = "token_pooler", "static_prefix"
ARCHITECTURES: Mapping[str, Callable[[Receiver, int], TrainableCodec]] = MappingProxyType(
    {TOKEN_POOLER: TokenPooler, STATIC_PREFIX: StaticPrefix}
)
"""By name what makes an untrained codec from a receiver and k."""


def code_of(architecture: str) -> tuple[str, ...]:
    """The modules whose code determines the weights: the architecture, the objective, the loop."""
    return (ARCHITECTURES[architecture].__module__, "lpca.codec.training")
