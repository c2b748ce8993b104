"""A packet as long as its message needs: the embeddings of its names, and nothing behind them.

`pytest gates/ -m gate1 --k 8 --receiver stub --codec examples.channels.content_words:ContentWords`
"""

from examples.channels import names
from lpca.channel import Packet, Port


class ContentWords:
    """Vectors [n, d_model]; n differs from message to message, and no zeros fill it up."""

    trained_on = ()

    def __init__(self, receiver, k):
        self.receiver, self.k = receiver, k
        self.port = Port("vectors", k)

    def send(self, views):
        """Return packets, one for each view."""
        return [self._packet(view.message) for view in views]

    def _packet(self, message):
        ids = self.receiver.message_ids(" ".join(names(message)))
        return Packet(vectors=self.receiver.embed(ids[: self.k]))
