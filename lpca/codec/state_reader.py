"""What encoders share that read a message's hidden states, and scale what they make of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from lpca.codec.base import TrainableCodec
from lpca.receivers.model import Receiver
from lpca.receivers.states import hidden_states

LAYER_FRACTION = 0.4


class StateReader(TrainableCodec):
    """Reads states 0.4 of the way up; vectors leave with the embedding table's mean norm.

    That norm is multiplied by a learned gate, which starts at 1.
    """

    def __init__(self, receiver: Receiver) -> None:
        super().__init__()
        self.receiver = receiver
        self.layer = max(1, round(LAYER_FRACTION * receiver.layers))
        self.log_gate = nn.Parameter(torch.zeros(()))

    def states(self, messages: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return states [batch, longest, d_model], float32, and which of them are real (bool)."""
        rows = [self.receiver.message_ids(message) for message in messages]
        states = [state.float() for state in hidden_states(self.receiver, rows, self.layer)]
        real = pad_sequence([torch.ones(len(r), dtype=torch.bool) for r in rows], batch_first=True)
        return pad_sequence(states, batch_first=True), real.to(self.receiver.device)

    def scaled(self, vectors: Tensor) -> Tensor:
        """Return vectors of norm about sqrt(d_model) with the table's norm, times the gate."""
        unit = self.receiver.mean_embedding_norm / self.receiver.d_model**0.5
        return torch.as_tensor(vectors * unit * self.log_gate.exp())
