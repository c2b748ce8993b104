"""The answer: B must say it; of its tokens those may weigh more that tell the options apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile

import torch
from torch import Tensor, nn

from lpca.codec.objectives import OBJECTIVES, Batch
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
