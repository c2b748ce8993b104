"""The codecs that lpca can train, by name; each module here enters its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from lpca.base.registry import Registry
from lpca.codec.base import CodecError, TrainableCodec
from lpca.codec.recipe import Recipe
from lpca.receivers import TokenRows
from lpca.receivers.model import Receiver, hidden_states

LAYER_FRACTION = 0.4
"""How far up in the receiver messages are read."""
CODECS: Registry[type[TrainableCodec]] = Registry("architecture", __name__)
"""Each is made from a receiver, k and its settings: whole numbers, each registered with the class
as `name=(default, lowest, highest, what it is)`, which `lpca.codec.recipe` reads without torch.
"""


def make_codec(receiver: Receiver, k: int, recipe: Recipe) -> TrainableCodec:
    """Make a recipe's untrained codec; what it draws at random is not seeded here."""
    return CODECS[recipe.architecture](receiver, k, **recipe.settings)


def reading_layer(receiver: Receiver) -> int:
    """Return the layer whose states encoders read, counted from 1."""
    return max(1, round(LAYER_FRACTION * receiver.layers))


def padded_states(receiver: Receiver, rows: TokenRows, layer: int) -> tuple[Tensor, Tensor]:
    """Return states [batch, longest, d_model], float32, and which of them are real (bool)."""
    states = [state.float() for state in hidden_states(receiver, rows, layer)]
    real = pad_sequence([torch.ones(len(r), dtype=torch.bool) for r in rows], batch_first=True)
    return pad_sequence(states, batch_first=True), real.to(receiver.device)


class StateReader(TrainableCodec):
    """Reads states 0.4 of the way up; vectors leave with the embedding table's mean norm.

    That norm is multiplied by a learned gate, which starts at 1. One that reads other files than
    the receiver's has a buffer `known`, a hash of them: its checkpoint belongs to these files.
    """

    known: Tensor

    def __init__(self, receiver: Receiver) -> None:
        super().__init__()
        self.receiver = receiver
        self.layer = reading_layer(receiver)
        self.log_gate = nn.Parameter(torch.zeros(()))

    def states(self, messages: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return states [batch, longest, d_model], float32, and which of them are real (bool)."""
        rows = [self.receiver.message_ids(message) for message in messages]
        return padded_states(self.receiver, rows, self.layer)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As of any module; CodecError where it was trained with other files."""
        known = state_dict.get("known")
        if known is not None and not torch.equal(known.cpu(), self.known.cpu()):
            raise CodecError("the weights that it reads are not those that it was trained with")
        return super().load_state_dict(state_dict, strict, assign)

    def scaled(self, vectors: Tensor) -> Tensor:
        """Return vectors of norm about sqrt(d_model) with the table's norm, times the gate."""
        unit = self.receiver.mean_embedding_norm / self.receiver.d_model**0.5
        return torch.as_tensor(vectors * unit * self.log_gate.exp())

    def decode(self, latents: Tensor) -> Tensor:
        """Return the prefix [batch, k, d_model]: the latents' directions, scaled."""
        width = latents.shape[-1]
        return self.scaled(nn.functional.normalize(latents, dim=-1) * width**0.5)
