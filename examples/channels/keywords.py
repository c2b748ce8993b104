"""A channel of text: the message's names as token ids of the receiver.

`pytest gates/ -m gate1 --k 8 --receiver stub --codec examples.channels.keywords:Keywords`
"""

from examples.channels import names
from lpca.channel import Packet, Port


class Keywords:
    """Ids [n]: their bits are those of so many choices among all tokens."""

    trained_on = ()

    def __init__(self, receiver, k):
        self.receiver, self.k = receiver, k
        self.port = Port("ids", k, vocabulary=receiver.embedding.num_embeddings)

    def send(self, views):
        """Return packets, one for each view."""
        return [self._packet(view.message) for view in views]

    def _packet(self, message):
        return Packet(ids=self.receiver.message_ids(" ".join(names(message)))[: self.k])
