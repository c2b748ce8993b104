"""An example to be replaced by your codec: it sends the embeddings of a message's last k tokens."""

import torch


class LastTokens:
    """Needs no training, and can only carry what stands at a message's end."""

    trained_on = ()
    """The messages of its training: none of them may be a test message."""

    def __init__(self, receiver, k):
        self.receiver, self.k = receiver, k

    def encode(self, messages):
        """Return latents [messages, k, d_model]; a message shorter than k has zeros before it."""
        latents = torch.zeros(len(messages), self.k, self.receiver.d_model)
        for latent, message in zip(latents, messages, strict=True):
            ids = self.receiver.message_ids(message)[-self.k :]
            latent[self.k - len(ids) :] = self.receiver.embed(ids)
        return latents

    def decode(self, latents):
        """Return prefix embeddings [messages, k, d_model] for the receiver."""
        return latents


def make(receiver, k):
    """Return a codec of k latents for a receiver: what `--codec my_codec:make` calls."""
    return LastTokens(receiver, k)
