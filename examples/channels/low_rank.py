"""Numpy alone: names as embeddings of a quarter of the width, which B's side widens again.

`pytest gates/ -m gate1 --k 8 --receiver stub --codec examples.channels.low_rank:LowRank`
"""

import numpy as np

from examples.channels import names
from lpca.channel import Packet, Port


class LowRank:
    """The receiver's embeddings in the directions in which they differ most."""

    trained_on = ()

    def __init__(self, receiver, k):
        self.receiver, self.k = receiver, k
        self.port = Port("vectors", k)
        table = np.asarray(receiver.embed(range(receiver.embedding.num_embeddings)))
        # rows are the directions, the strongest first
        self.directions = np.linalg.svd(table, full_matrices=False)[2][: receiver.d_model // 4]

    def send(self, views):
        """Return packets [n, d_model / 4], one for each view."""
        return [self._packet(view.message) for view in views]

    def _packet(self, message):
        ids = self.receiver.message_ids(" ".join(names(message)))[: self.k]
        return Packet(vectors=np.asarray(self.receiver.embed(ids)) @ self.directions.T)

    def receive(self, packet):
        """Return vectors [n, d_model]."""
        return Packet(vectors=np.asarray(packet.vectors) @ self.directions)
