"""Geometry: where prefixes lie, beside their messages and one another; B is not asked."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lpca.codec.objectives import OBJECTIVES, Batch


@OBJECTIVES.register("mse", asks="the prefix's mean must be the message's mean embedding")
def mse(batch: Batch) -> Tensor:
    """mean over episodes and coordinates of (mean of the k prefix vectors - mean embedding)^2.

    The message's mean token embedding is what an earlier attempt reconstructed, and why it
    failed: likeness to it is not usefulness to B.
    """
    return nn.functional.mse_loss(batch.prefixes.mean(1), message_means(batch))


@OBJECTIVES.register(
    "similarity", asks="prefixes must be as alike as their messages are", compares=True
)
def similarity(batch: Batch) -> Tensor:
    """mean over pairs i != j of (cos(z_i, z_j) - cos(m_i, m_j))^2.

    z: a prefix's k vectors as one; m: the message's mean token embedding. Source: an earlier
    attempt ("information preservation"); Tung and Mori 2019, arXiv:1907.09682.
    """
    wanted = _cosines(message_means(batch))
    return _apart((_cosines(batch.prefixes.flatten(1)) - wanted).square())


@OBJECTIVES.register(
    "diversity", asks="prefixes of different messages must not be alike", compares=True
)
def diversity(batch: Batch) -> Tensor:
    """mean over pairs i != j of cos(z_i, z_j)^2, z as in `similarity`.

    Source: an earlier attempt. It asks that prefixes differ, not that they differ as messages do.
    """
    return _apart(_cosines(batch.prefixes.flatten(1)).square())


@torch.no_grad()
def message_means(batch: Batch) -> Tensor:
    """The mean token embedding [batch, d_model] of each message, float32."""
    rows = [batch.receiver.message_ids(e.message) for e in batch.episodes]
    return torch.stack([batch.receiver.embed(ids).float().mean(0) for ids in rows])


def _cosines(vectors: Tensor) -> Tensor:
    unit = nn.functional.normalize(vectors, dim=1)
    return unit @ unit.T


def _apart(matrix: Tensor) -> Tensor:
    """Mean off the diagonal."""
    return matrix[~torch.eye(len(matrix), dtype=torch.bool, device=matrix.device)].mean()
