"""LLMLingua: the real package `llmlingua` (0.2.2) leaves out tokens that a small model foresees.

`pytest gates/ -m gate1 --k 12 --codec examples.channels.llmlingua:Lingua`

The original (Jiang, Wu, Lin, Yang, Qiu: "LLMLingua: Compressing Prompts for Accelerated Inference
of Large Language Models", 2023, arXiv 2310.05736) divides a budget between instruction, examples
and question, and drops tokens of low perplexity segment by segment under a small aligned model.
Kept here: that package's own choice of tokens, at half of the message, with the receiver's own
model (by default SmolLM2-135M) as the small one. Left out: the budget controller, whose parts a
message of one sentence does not have, and the distribution alignment. Two things are set so that
it works here at all: prices are counted without a download (`tiktoken` would fetch a vocabulary),
and the segment is as long as the message, since of texts that are shorter than one segment
(200 tokens by default) the package keeps everything.
"""

import llmlingua
import tiktoken

from lpca.channel import Packet, Port

RATE = 0.5


class Lingua:
    """Ids [n] of the shortened text, at most k."""

    trained_on = ()

    def __init__(self, receiver, k):
        self.receiver, self.k = receiver, k
        self.port = Port("ids", k, vocabulary=receiver.embedding.num_embeddings)
        tiktoken.encoding_for_model = lambda name: receiver.tokenizer
        self.compressor = Compressor(receiver)

    def send(self, views):
        """Return packets, one for each view."""
        return [self._packet(view.message) for view in views]

    def _packet(self, message):
        whole = self.receiver.message_ids(message)
        if len(whole) < 2:
            return Packet(ids=whole)
        found = self.compressor.compress_prompt(
            [message],
            rate=RATE,
            iterative_size=len(self.receiver.tokenizer(message).input_ids),
            use_context_level_filter=False,
            use_sentence_level_filter=False,
        )
        text = found["compressed_prompt"].strip()
        return Packet(ids=self.receiver.message_ids(text)[: self.k])


class Compressor(llmlingua.PromptCompressor):
    """The package's compressor on a model that is loaded already."""

    def __init__(self, receiver):
        self.receiver = receiver
        super().__init__(receiver.name)

    def load_model(self, *_given, **_named):
        """Take the receiver's model in place of one of the Hub's."""
        self.model, self.tokenizer = self.receiver.model, self.receiver.tokenizer
        self.device = str(self.receiver.device)
        self.context_idxs = []
        self.max_position_embeddings = self.model.config.max_position_embeddings
