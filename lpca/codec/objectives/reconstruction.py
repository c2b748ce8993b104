"""Reconstruction: B must be able to say the message itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lpca.codec.objectives import IGNORED, OBJECTIVES, Batch
from lpca.receivers.forward import Slot, read_context

LEAD, REQUEST = "Message:", "\nThe same message again:"
"""What stands before and behind the latents where B is to say the message."""
LONGEST = 64
"""Of a longer message only so many tokens are asked for."""


@OBJECTIVES.register(
    "message_reconstruction", asks="B must be able to say the message from its latents"
)
def message_reconstruction(batch: Batch) -> Tensor:
    """Mean of -log p(t) over the messages' first `LONGEST` tokens t, in nats.

    B reads `LEAD`, the latents and `REQUEST`, and each token given those before it. Source: the
    autoencoding objective of Ge et al. 2023, arXiv:2307.06945, with a frozen decoder.
    """
    receiver = batch.receiver
    messages = [receiver.message_ids(e.message)[:LONGEST] for e in batch.episodes]
    context = read_context(receiver, [receiver.prompt_start_ids(LEAD)] * len(messages))
    request = receiver.segment_ids(REQUEST)
    slots = [Slot(vectors=prefix) for prefix in batch.prefixes]
    longest = max(map(len, messages))
    logits = context.continuation_logits(slots, [[*request, *m[:-1]] for m in messages], longest)
    targets = [torch.tensor([IGNORED] * (longest - len(ids)) + ids) for ids in messages]
    return nn.functional.cross_entropy(logits.flatten(0, 1), torch.cat(targets).to(logits.device))
