"""Comparing: the right message with nothing and with others', prefixes with their messages."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn

from lpca.base.errors import RequestError
from lpca.codec.objectives import OBJECTIVES, Batch

MARGIN = 1.0
"""Of the hinges, in nats per token."""
NEGATIVES = 5
"""How many other messages each answer is tried with."""


@OBJECTIVES.register("help", asks="hinge: the prefix must beat k zero vectors by a margin")
def help_loss(batch: Batch) -> Tensor:
    """mean over episodes of max(0, NLL_correct - NLL_null + `MARGIN`), in nats per token.

    NLL: mean -log p of the right answer's tokens; null: k zero vectors. Source: an earlier
    attempt. A prefix that ignores the message can satisfy it: a magic prompt.
    """
    with torch.no_grad():
        null = batch.nll(batch.injected(torch.zeros_like(batch.prefixes)))
    return (batch.nll(batch.normal) - null + MARGIN).clamp(min=0).mean()


@OBJECTIVES.register(
    "shuffle_contrast",
    asks="hinge: the right message must beat another's by a margin",
    compares=True,
)
def shuffle_contrast(batch: Batch) -> Tensor:
    """mean over episodes of max(0, `MARGIN` - (NLL_shuffle - NLL_correct)), in nats per token.

    Shuffle: the prefix of another episode's message, whose right answer is another. Source: an
    earlier attempt; a triplet loss (Schroff et al. 2015, arXiv:1503.03832).
    """
    nll, there = _negative(batch, 0)
    if not bool(there.any()):
        return batch.prefixes.sum() * 0.0
    return (MARGIN - (nll - batch.nll(batch.normal))).clamp(min=0)[there].mean()


@OBJECTIVES.register(
    "info_nce",
    asks="the right message must be told from several others' by the answer",
    compares=True,
)
def info_nce(batch: Batch) -> Tensor:
    """mean over i of -log(exp s_ii / (exp s_ii + sum over j in N(i) of exp s_ij)).

    s_ij = log p(answer_i | latents_j), of the whole answer and in nats: B reads prompt i with
    message j. N(i): `NEGATIVES` others of the batch, drawn anew each step, whose right answers
    differ from i's; fewer where there are fewer. Source: van den Oord, Li and Vinyals 2018,
    arXiv:1807.03748, equation 4, with B's log-probability as the score.
    """
    lengths = torch.tensor([len(ids) for ids in batch.answers], device=batch.targets.device)
    columns = [-batch.nll(batch.normal) * lengths]
    for number in range(max(map(len, _donors(batch)))):
        nll, there = _negative(batch, number)
        columns.append((-nll * lengths).masked_fill(~there, -torch.inf))
    return -torch.stack(columns, 1).log_softmax(1)[:, 0].mean()


def _negative(batch: Batch, number: int) -> tuple[Tensor, Tensor]:
    """Each answer's NLL [batch] with its negative of a number, and which episodes have one."""

    def computed() -> tuple[Tensor, Tensor]:
        donors = _donors(batch)
        there = torch.tensor([number < len(row) for row in donors], device=batch.targets.device)
        senders = [row[number] if number < len(row) else i for i, row in enumerate(donors)]
        return batch.nll(batch.injected(batch.prefixes[senders])), there

    nll, there = batch.once(("negative", number), computed)
    return nll, there


def _donors(batch: Batch) -> list[list[int]]:
    """By episode the indices of its negatives: those that come next in a random ring."""

    def drawn() -> list[list[int]]:
        ring = list(range(len(batch.episodes)))
        random.Random(batch.seed).shuffle(ring)
        place = {index: at for at, index in enumerate(ring)}
        rights = [episode.right for episode in batch.episodes]
        chosen = []
        for i, right in enumerate(rights):
            others = ring[place[i] + 1 :] + ring[: place[i]]
            chosen.append([j for j in others if rights[j] != right][:NEGATIVES])
        return chosen

    donors: list[list[int]] = batch.once("donors", drawn)
    return donors


@OBJECTIVES.register("mse", asks="the prefix's mean must be the message's mean embedding")
def mse(batch: Batch) -> Tensor:
    """mean over episodes and coordinates of (mean of the k prefix vectors - mean embedding)^2.

    The message's mean token embedding is what an earlier attempt reconstructed, and why it
    failed: likeness to it is not usefulness to B. A cache has no such mean: RequestError.
    """
    if batch.port is not None:
        raise RequestError(
            f"objective mse compares a prefix with embeddings, and packets are of "
            f"{batch.port.kind}; allowed: other objectives"
        )
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
