"""A codec of one's own, as small as one can be: the message's first k token embeddings.

`pytest gates/ -m gate1 --k 16 --receiver stub --codec examples.own_codec:Cut`
"""

import torch


class Cut:
    """What is left of k in a short message are zero vectors."""

    def __init__(self, receiver, k):
        self.receiver, self.k = receiver, k

    def encode(self, messages):
        """Return latents [batch, k, d]."""
        latents = torch.zeros(len(messages), self.k, self.receiver.d_model)
        for row, message in zip(latents, messages, strict=True):
            vectors = self.receiver.embed(self.receiver.message_ids(message)[: self.k])
            row[: len(vectors)] = vectors
        return latents

    def decode(self, latents):
        """Return prefix embeddings [batch, k, d_model]."""
        return latents
