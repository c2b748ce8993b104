"""The codecs that lpca can train, by name; each module here enters its own."""

from __future__ import annotations

from lpca.base.registry import Registry
from lpca.codec.base import TrainableCodec
from lpca.codec.recipe import Recipe
from lpca.receivers.model import Receiver

CODECS: Registry[type[TrainableCodec]] = Registry("architecture", __name__)
"""Each is made from a receiver, k and the settings that `lpca.codec.choices` lists."""


def make_codec(receiver: Receiver, k: int, recipe: Recipe) -> TrainableCodec:
    """Make a recipe's untrained codec; what it draws at random is not seeded here."""
    return CODECS[recipe.architecture](receiver, k, **recipe.settings)
