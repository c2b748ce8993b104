"""The slow path: one episode at a time, no cache, no padding, one plain forward pass a text.

What the fast path of `lpca.receivers.forward` must give, shown on a sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lpca.evaluation.outcome import INJECTED, ReceivedPrompt
from lpca.receivers.model import Receiver
from lpca.receivers.plain import plain_logits


@torch.no_grad()
def next_token_scores(
    receiver: Receiver, given: ReceivedPrompt, vectors: Tensor | None, continuation: Sequence[int]
) -> Tensor:
    """Float32 log-probabilities [len(continuation) + 1, vocabulary] after each of its prefixes.

    Args:
        receiver: the frozen model.
        given: what B was given; where its ids are INJECTED, `vectors` [k, d_model] stand.
        vectors: None where only tokens were given.
        continuation: token ids that follow what was given.
    """
    ids = torch.tensor([[*given.ids, *continuation]], device=receiver.device)
    inputs = {"input_ids": ids}
    injected = ids[0] == INJECTED
    if vectors is not None and bool(injected.any()):
        rows = receiver.embedding(ids.masked_fill(ids == INJECTED, receiver.pad_id)).clone()
        slots = torch.arange(ids.shape[1], device=receiver.device) - given.start
        rows[0, injected] = vectors.to(rows)[slots[injected]]
        inputs = {"inputs_embeds": rows}
    return plain_logits(receiver, inputs, len(continuation) + 1).log_softmax(-1)


def option_score(
    receiver: Receiver, given: ReceivedPrompt, vectors: Tensor | None, option: Sequence[int]
) -> float:
    """Sum of log-probabilities of an option's token ids, in nats."""
    scores = next_token_scores(receiver, given, vectors, option[:-1])
    chosen = scores[torch.arange(len(option)), torch.tensor(list(option))]
    return float(chosen.sum())
