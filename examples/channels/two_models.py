"""Two models: A reads bytes with one of its own, B's connector reads A's states back into text.

`pytest gates/ -m gate1 --k 12 --receiver stub --codec examples.channels.two_models:TwoModels`
"""

import torch
from transformers import GPT2Config, GPT2Model

from examples.channels import names
from lpca.channel import Packet, Port

LETTERS = torch.tensor(list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))


class TwoModels:
    """A's tokens are bytes, and its model has random weights: the same on each side.

    What crosses are its last states [n, 32] of the first name. The connector finds the letters that
    give these states, one after the other, and embeds the name as the receiver's tokens.
    """

    trained_on = ()

    def __init__(self, receiver, k):
        self.receiver, self.k = receiver, k
        self.port = Port("vectors", k)
        sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": k, "vocab_size": 256}
        self.model = GPT2Model(GPT2Config(**sizes)).eval()

    def states(self, ids):
        """Return the model's last states [batch, n, 32] of bytes [batch, n]."""
        with torch.no_grad():
            return self.model(input_ids=ids).last_hidden_state

    def send(self, views):
        """Return packets, one for each view."""
        return [self._packet(names(view.message)) for view in views]

    def _packet(self, found):
        text = found[0].encode()[: self.k] if found else b""
        if not text:
            return Packet(vectors=torch.zeros(0, 32))
        return Packet(vectors=self.states(torch.tensor([list(text)]))[0])

    def receive(self, packet):
        """Return the embeddings of the letters whose states are nearest to those that came."""
        found = LETTERS[:0]
        for wanted in torch.as_tensor(packet.vectors):
            tried = torch.cat([found.expand(len(LETTERS), -1), LETTERS[:, None]], 1)
            apart = (self.states(tried)[:, -1] - wanted).norm(dim=1)
            found = tried[apart.argmin()]
        ids = self.receiver.message_ids(bytes(found.tolist()).decode())
        return Packet(vectors=self.receiver.embed(ids[: self.k]))
