"""Contrast: the right message must serve the answer better than nothing, or than another's."""

from __future__ import annotations

import random

import torch
from torch import Tensor

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
    return (batch.nll(batch.normal) - _null(batch) + MARGIN).clamp(min=0).mean()


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


@torch.no_grad()
def _null(batch: Batch) -> Tensor:
    return batch.nll(batch.injected(torch.zeros_like(batch.prefixes)))


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
