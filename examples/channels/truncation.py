"""Text cut off: the message's first k tokens, the family that costs nothing to build.

`pytest gates/ -m gate1 --k 8 --receiver stub --codec examples.channels.truncation:Truncation`

It is what any compressor must beat at its own number of bits. A gate's conditions `first_k` and
`p2_N` measure the same from the other side, as text at as many positions, and in as many bytes.
"""

from lpca.channel import Packet, Port


class Truncation:
    """Ids [n] of the receiver; a message that is shorter crosses whole."""

    trained_on = ()

    def __init__(self, receiver, k):
        self.receiver, self.k = receiver, k
        self.port = Port("ids", k, vocabulary=receiver.embedding.num_embeddings)

    def send(self, views):
        """Return packets, one for each view."""
        return [Packet(ids=self.receiver.message_ids(view.message)[: self.k]) for view in views]
