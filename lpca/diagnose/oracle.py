"""The cramming oracle: k vectors per episode, optimised through the frozen receiver.

Source: Kuratov et al. 2025, "Cramming 1568 tokens into a single vector", arXiv:2502.13063, here
towards one answer in place of a text. It says what k vectors at this slot can make B say. It does
not say that B reads a message: vectors that are free to force an answer need no message at all.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lpca.base.hashing import named_rng
from lpca.codec.objectives import Batch, slots_with
from lpca.diagnose.episodes import Outcomes, Report, numbers, silent
from lpca.receivers.model import Receiver
from lpca.tasks import Episode, EpisodeSet

LEARNING_RATE = 0.1
"""Adam's, in units of an embedding's typical number: the table's mean norm / sqrt(d_model)."""


def cram(
    outcomes: Outcomes,
    episodes: EpisodeSet,
    k: int,
    steps: int,
    confidence: float,
    report: Report = silent,
) -> dict[str, Any]:
    """Optimise each episode's k vectors on its own right answer's NLL, and measure success.

    They start as the embeddings of k random tokens, drawn from the episode's seed.
    """
    receiver, rows = outcomes.receiver, episodes.episodes
    starts = [start(receiver, episode, k * len(episode.by_slot)) for episode in rows]
    found: list[Tensor] = []
    report(0, len(rows))
    for at in range(0, len(rows), outcomes.batch_size):
        part = slice(at, at + outcomes.batch_size)
        found += optimised(receiver, rows[part], torch.stack(starts[part]), steps)
        report(len(found), len(rows))
    wanted = {"start": starts, "oracle": found}
    slots = {name: slots_with(receiver, rows, vectors) for name, vectors in wanted.items()}
    records = outcomes.measure(rows, slots)
    named = {name: numbers(own, confidence) for name, own in records.items()}
    return {"n": len(rows), "k": k, "steps": steps, "learning_rate": LEARNING_RATE, **named}


def start(receiver: Receiver, episode: Episode, k: int) -> Tensor:
    """Return the vectors [k, d_model] that an episode's search starts from."""
    rng = named_rng("oracle", episode.seed, k)
    return receiver.embed(
        [rng.randrange(receiver.embedding.num_embeddings) for _ in range(k)]
    ).float()


def optimised(
    receiver: Receiver, episodes: tuple[Episode, ...], starts: Tensor, steps: int
) -> list[Tensor]:
    """Return vectors [k, d_model] per episode; each episode's search is its own.

    The loss is summed over episodes and Adam works number by number, so that an episode's vectors
    do not depend on which others are beside it.
    """
    unit = receiver.mean_embedding_norm / receiver.d_model**0.5
    offsets = torch.zeros_like(starts, requires_grad=True)
    optimiser = torch.optim.Adam([offsets], lr=LEARNING_RATE)
    batch = Batch(receiver, episodes, starts)
    with torch.enable_grad():
        for _ in range(steps):
            optimiser.zero_grad()
            logits = batch.injected(starts + unit * offsets)
            batch.token_nll(logits).sum().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return list((starts + unit * offsets).detach())
