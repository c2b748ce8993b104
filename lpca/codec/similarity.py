"""How alike a channel's prefixes are: those of a codec that ignores messages are all the same."""

from __future__ import annotations

import torch
from torch import Tensor

from lpca.codec.channel import Channel
from lpca.evidence import Similarity
from lpca.tasks import EpisodeSet

FIRST = 24
"""How many episodes are compared."""
DECIMALS = 4


def similarity(channel: Channel, episodes: EpisodeSet) -> Similarity:
    """Compare the prefixes of the first episodes with one another and with their donors'."""
    count = min(FIRST, len(episodes))
    first = episodes.episodes[:count]
    prefixes = channel.prefixes([e.message for e in first])
    right = _directions(prefixes)
    donor = _directions(channel.prefixes([episodes.donor(i).message for i in range(count)]))
    within, across = right @ right.T, right @ donor.T
    norms = torch.stack(prefixes).double().norm(dim=2)
    pairs = count * (count - 1)
    between = float(within.sum() - within.trace()) / pairs if pairs else None
    return Similarity(
        seeds=tuple(e.seed for e in first),
        right=_rounded(within),
        donor=_rounded(across),
        between=None if between is None else round(between, DECIMALS),
        own_donor=round(float(across.diagonal().mean()), DECIMALS),
        norm_ratio=round(float(norms.mean()) / channel.receiver.mean_embedding_norm, DECIMALS),
    )


def _directions(prefixes: list[Tensor]) -> Tensor:
    """Unit vectors [n, k * d_model]; a prefix of zeros stays zero."""
    return torch.nn.functional.normalize(torch.stack(prefixes).flatten(1).double().cpu(), dim=1)


def _rounded(matrix: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(value, DECIMALS) + 0.0 for value in row) for row in matrix.tolist())
