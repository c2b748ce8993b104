"""What B must say: the answer, what tells the options apart, or what the text makes it say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile

import torch
from torch import Tensor, nn

from lpca.codec.objectives import IGNORED, OBJECTIVES, Batch, slot_with
from lpca.receivers.forward import Slot, in_slots, left_padded, read_context
from lpca.receivers.model import Receiver
from lpca.tasks import Episode

CONTENT_WEIGHT = 4.0
"""How much more a token of content weighs than one of form."""


@OBJECTIVES.register("answer", asks="cross-entropy of the right answer's tokens")
def answer(batch: Batch) -> Tensor:
    """Cross-entropy of the right answers: mean of -log p(t) over all their tokens t, in nats.

    Over the whole vocabulary, each token given those before it; one pass with the prefixes of
    the batch. Source: prompt tuning's loss (Lester et al. 2021, arXiv:2104.08691, section 2).
    """
    return cross_entropy(batch, batch.normal)


def cross_entropy(batch: Batch, logits: Tensor) -> Tensor:
    """The same of given logits [batch, longest, vocabulary]."""
    return nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())


def answer_loss(receiver: Receiver, episodes: Sequence[Episode], prefixes: Tensor) -> Tensor:
    """`answer` of episodes with prefixes [batch, k, d_model] that came from anywhere."""
    return answer(Batch(receiver, episodes, prefixes))


@OBJECTIVES.register(
    "answer_content", asks="the same, with tokens that tell the options apart weighing more"
)
def answer_content(batch: Batch) -> Tensor:
    """sum of w(t) * -log p(t) / sum of w(t) over all tokens t of the right answers, in nats.

    w is 1 for the tokens with which all of an episode's options begin or end, `CONTENT_WEIGHT`
    for the others. Where no episode's options share any, it is `answer`. Source: an earlier
    attempt at this task, whose loss was drowned by format tokens.
    """
    weights = torch.zeros(batch.targets.shape)
    for row, episode, ids in zip(weights, batch.episodes, batch.answers, strict=True):
        row[len(row) - len(ids) :] = torch.tensor(_weights(episode, ids, batch.receiver.option_ids))
    weights = weights.to(batch.targets.device)
    return (weights * batch.token_nll(batch.normal)).sum() / weights.sum()


def _weights(episode: Episode, right: list[int], ids_of: Callable[[str], list[int]]) -> list[float]:
    options = [ids_of(option) for option in episode.options]
    start = _shared(options)
    end = min(_shared([ids[::-1] for ids in options]), min(map(len, options)) - start)
    content = range(start, len(right) - end)
    if not content:  # the right answer is a part of every other: all of it tells
        return [CONTENT_WEIGHT] * len(right)
    return [CONTENT_WEIGHT if place in content else 1.0 for place in range(len(right))]


def _shared(rows: Sequence[list[int]]) -> int:
    """How many tokens all of them begin with."""
    return len(list(takewhile(lambda column: len(set(column)) == 1, zip(*rows, strict=False))))


@OBJECTIVES.register(
    "kl_one_step", asks="divergence from what B says next when it reads the message as text"
)
def kl_one_step(batch: Batch) -> Tensor:
    """mean over episodes of KL(p_text || p_latents) at the answer's first token, in nats.

    p_text: B's next-token distribution with the message as text in the slot; no gradient.
    Source: Hinton, Vinyals and Dean 2015, arXiv:1503.02531, at temperature 1; as a channel's
    objective, an earlier attempt.
    """
    starts = [batch.targets.shape[1] - len(ids) for ids in batch.answers]
    return _divergences(batch)[range(len(starts)), starts].mean()


@OBJECTIVES.register("kl", asks="the same over all of the answer's tokens")
def kl(batch: Batch) -> Tensor:
    """The same at all of the right answers' tokens, each given those before it; mean over tokens.

    Source: word-level distillation, Kim and Rush 2016, arXiv:1606.07947, section 3.1.
    """
    return _divergences(batch)[batch.targets != IGNORED].mean()


def _divergences(batch: Batch) -> Tensor:
    """KL(p_text || p_latents) at each position [batch, longest]."""

    def computed() -> Tensor:
        divergence = nn.functional.kl_div(
            batch.normal.log_softmax(-1), _teacher(batch), reduction="none", log_target=True
        )
        return divergence.sum(-1)

    return torch.as_tensor(batch.once("divergences", computed))


@torch.no_grad()
def _teacher(batch: Batch) -> Tensor:
    """Log-probabilities [batch, longest, vocabulary] with the message as text."""
    receiver = batch.receiver
    slots = [
        in_slots(receiver, e, [Slot(tuple(receiver.message_ids(own.message))) for own in e.by_slot])
        for e in batch.episodes
    ]
    return batch.logits(slots).log_softmax(-1)


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
    request = receiver.prompt_end_ids(REQUEST)
    slots = [slot_with(receiver, prefix, batch.port) for prefix in batch.prefixes]
    targets, _ = left_padded(messages, IGNORED, receiver.device)
    afters = [[*request, *ids[:-1]] for ids in messages]
    logits = context.continuation_logits(slots, afters, targets.shape[1])
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
