"""LatentMAS-like: two agents in sequence think in vectors, and hand on all that they hold.

`pytest gates/ -m gate1_open --k 64 --receiver stub --codec examples.channels.latent_mas:Hop`
`lpca exam --spec texts.yaml --gate told --out exam`, then
`python -m examples.channels.latent_mas stub < exam/prompts.jsonl > answers.jsonl`

The original (Zou et al.: "Latent Collaboration in Multi-Agent Systems", 2025, arXiv 2511.20639):
each agent of one model feeds its last state back as the next input, through a linear map solved by
ridge regression from output to input embeddings, for some tens of steps, and passes the keys and
values of all layers on; only the last agent writes text. Nothing is trained. Kept here: that map,
the steps, the working memory, two agents (`Hop`: what the first hands on; `Chain`: what the second
hands on, who has that, a request of its own, and thoughts of its own). Left out: roles, more than
two agents, and that every agent sees the question: A sees the message alone, or there would be
nothing to be judged. As an exam the chain ends in an answer, and only the answer is judged.
"""

import json
import sys
from copy import deepcopy

import torch
from torch.nn.functional import normalize
from transformers import DynamicCache

from lpca import load_receiver
from lpca.channel import Packet, Port

THOUGHTS, RIDGE = 8, 1e-3
REQUEST = "In short: the trip goes to"


class Hop:
    """The first agent's memory: the message, and its thoughts about it."""

    trained_on = ()
    requests = ()

    def __init__(self, receiver, k):
        self.receiver, self.k = receiver, k
        self.port = Port("cache", k)
        self._back = None

    def send(self, views):
        """Return packets, one for each view."""
        return [self._packet(view.message) for view in views]

    def _packet(self, message):
        # of an empty message nothing crosses, in the form of a cache
        memory = self.memory(message or " ")
        n = min(memory.get_seq_length(), self.k) if message else 0
        return Packet(
            cache={
                number: (layer.keys[0, :, :n], layer.values[0, :, :n])
                for number, layer in enumerate(memory.layers)
            }
        )

    @torch.no_grad()
    def memory(self, message):
        """Return the cache of agents that read a message, one after the other; empty of none."""
        cache = DynamicCache()
        for text in (message, *self.requests) if message else ():
            self._think(cache, self.receiver.embed(self.receiver.message_ids(text))[None])
        return cache

    def _think(self, cache, given):
        for _ in range(THOUGHTS + 1):
            read = self.receiver.model(
                inputs_embeds=given.to(self.receiver.dtype),
                past_key_values=cache,
                use_cache=True,
                output_hidden_states=True,
            )
            given = self._thought(read.hidden_states[-1][:, -1:].float())

    def _thought(self, state):
        if self._back is None:
            out = self.receiver.model.get_output_embeddings().weight.float()
            into = self.receiver.embedding.weight.float()
            square = out.T @ out
            square += RIDGE * square.diagonal().mean() * torch.eye(len(square), device=out.device)
            self._back = torch.linalg.solve(square, out.T @ into)
        return normalize(state @ self._back, dim=-1) * self.receiver.mean_embedding_norm


class Chain(Hop):
    """The second agent's memory, which has the first one's at its start."""

    requests = (REQUEST,)


@torch.no_grad()
def answer(chain, question):
    """Return the option that B finds likeliest behind the chain's memory."""
    receiver, memory = chain.receiver, chain.memory(" ".join(question["sender"]))
    prompt = receiver.message_ids(question["receiver"])

    def score(option):
        ids = receiver.option_ids(option)
        rows = torch.tensor([prompt + ids], device=receiver.device)
        # a call adds its own columns to the cache that it is given
        given = {"input_ids": rows, "past_key_values": deepcopy(memory)}
        logits = receiver.model(**given).logits[0].float()
        said = logits[len(prompt) - 1 : -1].log_softmax(-1)
        return said.gather(1, rows[0, len(prompt) :, None]).sum().item()

    return max(question["options"], key=score)


if __name__ == "__main__":
    agents = Chain(load_receiver(sys.argv[1], device="cpu"), 4096)
    for asked in map(json.loads, sys.stdin):
        print(json.dumps({"id": asked["id"], "text": answer(agents, asked)}))
