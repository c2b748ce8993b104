"""Interlat-like: A's last hidden states in place of words, untrained.

`pytest gates/ -m gate1 --k 24 --receiver stub --codec examples.channels.hidden_states:States`

The original (Du et al.: "Enabling Agents to Communicate Entirely in Latent Space", 2025, arXiv
2511.09149) sends the last layer's states of the tokens that A generates, through a trained
adapter, into the input of B, which is trained to read them. `Last` is nearer to "Communicating
Activations Between Language Model Agents" (Ramesh, Li, 2025, arXiv 2501.14082), where one
activation of A's last token is put in place of, or added to, B's at a middle layer. Kept here:
states of the message's tokens (`States`) or of its last one (`Last`), at the length that input
embeddings have. Left out: adapter, training, A's own generation, and B's middle layer: no port
leads there, so the state goes where an embedding would stand.
"""

import torch
from torch.nn.functional import normalize

from lpca.channel import Packet, Port


class States:
    """Vectors [n, d_model]: the states of the message's last k tokens."""

    trained_on = ()
    layer = -1

    def __init__(self, receiver, k):
        self.receiver, self.k = receiver, k
        self.port = Port("vectors", k)

    def send(self, views):
        """Return packets, one for each view."""
        with torch.no_grad():
            return [self._packet(view.message) for view in views]

    def _packet(self, message):
        ids = self.receiver.message_ids(message) if message else []
        if not ids:
            return Packet(vectors=torch.zeros(0, self.receiver.d_model))
        rows = torch.tensor([ids], device=self.receiver.device)
        read = self.receiver.model(input_ids=rows, output_hidden_states=True)
        states = read.hidden_states[self.layer][0, -self.k :].float()
        return Packet(vectors=normalize(states, dim=-1) * self.receiver.mean_embedding_norm)


class Last(States):
    """The last token's state two thirds up alone, whatever k is."""

    def __init__(self, receiver, k):
        super().__init__(receiver, 1)
        self.layer = max(1, round(receiver.layers * 2 / 3))
