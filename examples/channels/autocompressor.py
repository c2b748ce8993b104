"""AutoCompressor-like: a message in segments, each read behind the summaries of those before it.

`pytest gates/ -m gate1 --k 4 --receiver stub \
    --codec examples.channels.autocompressor:AutoCompressor`

The original (Chevalier, Wettig, Ajith, Chen: "Adapting Language Models to Compress Contexts",
2023, arXiv 2305.14788) puts summary tokens behind each segment of a long document, takes their
last states as summary vectors, and puts all of them so far before the next segment; the whole model
is trained, as a language model, to foresee the segments that follow. Kept here: segments, summaries
that accumulate, that objective, on pairs of sentences about one place. Left out: the model is
frozen; what is trained are the summary tokens' embeddings and one linear map, for some hundred
steps, as A's side is made. So it shows the form, at a fraction of the paper's training.
"""

import json
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, normalize

from lpca.channel import Packet, Port

SEGMENTS, STEPS, BATCH, RATE = 2, 200, 8, 3e-3
TOLD = (
    "My aunt has lived in {} since the war.",
    "A letter from {} came today.",
    "{} has a new bridge, says the paper.",
    "We met in {} on a rainy evening.",
)
THEN = "Later they went back to {}."


class AutoCompressor(torch.nn.Module):
    """Vectors [n, d_model]: k / 2 of each of two segments, in their order."""

    def __init__(self, receiver, k):
        super().__init__()
        self.receiver, self.k = receiver, k
        self.port = Port("vectors", k)
        width, each = receiver.d_model, max(1, k // SEGMENTS)
        norm = receiver.mean_embedding_norm
        self.tokens = torch.nn.Parameter(torch.randn(each, width) * norm / width**0.5)
        self.map = torch.nn.Linear(width, width, bias=False)
        torch.nn.init.eye_(self.map.weight)
        rows = Path(__file__).parents[1] / "own_episodes" / "trips.jsonl"
        held = (json.loads(line)["options"] for line in rows.read_text().splitlines())
        self.places = sorted({place for options in held for place in options})
        self.trained_on = tuple(told.format(place) for told in TOLD for place in self.places)
        with torch.enable_grad():
            self._train()

    def send(self, views):
        """Return packets, one for each view."""
        with torch.no_grad():
            return [Packet(vectors=self.summaries(view.message)[: self.k]) for view in views]

    def summaries(self, message):
        """Return the summary vectors of a message's segments; none of an empty one."""
        ids = self.receiver.message_ids(message) if message else []
        found = torch.zeros(0, self.receiver.d_model, device=self.receiver.device)
        size = -(-len(ids) // min(SEGMENTS, self.k)) if ids else 1
        for at in range(0, len(ids), size):
            segment = self.receiver.embed(ids[at : at + size]).float()
            given = torch.cat([found, segment, self.tokens])
            read = self._read(given)[-len(self.tokens) :]
            new = normalize(self.map(read), dim=-1) * self.receiver.mean_embedding_norm
            found = torch.cat([found, new])
        return found

    def _read(self, given):
        """The last layer's states [n, d_model] of a row of input vectors."""
        rows = given[None].to(self.receiver.dtype)
        read = self.receiver.model(inputs_embeds=rows, output_hidden_states=True)
        return read.hidden_states[-1][0].float()

    def _train(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=RATE)
        for step in range(STEPS):
            for group in optimizer.param_groups:
                group["lr"] = RATE * (1 - step / STEPS)
            draw = torch.randint(len(self.trained_on), (BATCH,)).tolist()
            loss = sum(self._loss(one) for one in draw) / BATCH
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def _loss(self, at):
        """How little B foresees of the sentence that follows, behind the summaries alone."""
        then = THEN.format(self.places[at % len(self.places)])
        ids = torch.tensor(self.receiver.message_ids(then), device=self.receiver.device)
        own = self.summaries(self.trained_on[at])
        given = torch.cat([own, self.receiver.embed(ids.tolist()).float()])
        logits = self.receiver.model(inputs_embeds=given[None].to(self.receiver.dtype)).logits
        return cross_entropy(logits[0, len(own) - 1 : -1].float(), ids)
