"""The answer itself: B must say it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lpca.codec.objectives import OBJECTIVES
from lpca.codec.objectives.batch import Batch
from lpca.receivers.model import Receiver
from lpca.tasks import Episode


@OBJECTIVES.register("answer")
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
