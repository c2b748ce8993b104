"""Selective-Context-like: of the message only the words that a language model did not foresee.

`pytest gates/ -m gate1 --k 12 --receiver stub \
    --codec examples.channels.selective_context:SelectiveContext`

The original (Li, Dong, Lin, Guerin: "Compressing Context to Enhance Inference Efficiency of Large
Language Models", 2023, arXiv 2310.06201) takes each token's self-information, -log p given what
stands before it, from a small causal model, adds it up over units (sentences, phrases, tokens) and
leaves out the units below a percentile. Kept here: self-information, words as units, the order of
the text. Left out: phrases (they need a parser of English) and the percentile: the k tokens of a
port are a budget, so words are taken from the least foreseen on while they fit. The small model
is the receiver's own; A has a copy of it.
"""

import torch

from lpca.channel import Packet, Port


class SelectiveContext:
    """Ids [n] of the words that tell most, in their order."""

    trained_on = ()

    def __init__(self, receiver, k):
        self.receiver, self.k = receiver, k
        self.port = Port("ids", k, vocabulary=receiver.embedding.num_embeddings)

    def send(self, views):
        """Return packets, one for each view."""
        with torch.no_grad():
            return [self._packet(view.message) for view in views]

    def _packet(self, message):
        ids = self.receiver.message_ids(message)
        if not ids:
            return Packet(ids=torch.zeros(0, dtype=torch.long))
        told = self.self_information(ids)
        kept = []
        # words that tell more come first; what no longer fits is left out, not cut
        for word in sorted(self.words(ids), key=lambda word: -max(told[at] for at in word)):
            if len(kept) + len(word) <= self.k:
                kept += word
        return Packet(ids=torch.tensor([ids[at] for at in sorted(kept)], dtype=torch.long))

    def self_information(self, ids):
        """Return -log p of each token in nats; of the first, which follows nothing, infinity."""
        rows = torch.tensor([ids], device=self.receiver.device)
        scores = self.receiver.model(input_ids=rows).logits[0, :-1].float().log_softmax(-1)
        foreseen = scores.gather(1, rows[0, 1:, None])[:, 0]
        return [float("inf"), *(-foreseen).tolist()]

    def words(self, ids):
        """Return the places of each word's tokens: a word begins where a blank does."""
        found = []
        for at, token in enumerate(ids):
            text = self.receiver.tokenizer.convert_ids_to_tokens(token)
            if not found or text.startswith(("Ġ", "▁")):
                found.append([])
            found[-1].append(at)
        return found
