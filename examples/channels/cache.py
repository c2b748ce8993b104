"""A cache: what a copy of the receiver keeps of the message is put into B's context, untrained.

`pytest gates/ -m gate1_open --k 24 --receiver stub --codec examples.channels.cache:Cache`
"""

import torch
from transformers import DynamicCache

from lpca.channel import Packet, Port


class Cache:
    """The keys and values of all layers [heads, n, head_dim], of the message read by itself.

    A reads it from position 0 on, so its keys are stored as they have to be: relative to the slot.
    `layers` leaves some out: B's tokens see nothing of the message in these.
    """

    trained_on = ()
    layers: tuple[int, ...] = ()

    def __init__(self, receiver, k):
        self.receiver, self.k = receiver, k
        self.port = Port("cache", k, layers=self.layers)

    def send(self, views):
        """Return packets, one for each view."""
        with torch.no_grad():
            return [self._packet(view.message) for view in views]

    def _packet(self, message):
        ids = self.receiver.message_ids(message)[: self.k] if message else []
        kept = DynamicCache()
        # of an empty message nothing crosses: its columns are cut off again
        rows = torch.tensor([ids or [0]], device=self.receiver.device)
        self.receiver.model(input_ids=rows, past_key_values=kept, use_cache=True)
        return Packet(
            cache={
                number: (layer.keys[0, :, : len(ids)], layer.values[0, :, : len(ids)])
                for number, layer in enumerate(kept.layers)
                if not self.layers or number in self.layers
            }
        )


class Half(Cache):
    """The same of two of the stub's three layers."""

    layers = (1, 2)
