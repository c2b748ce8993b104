"""What latents are near, and how long they are, beside the receiver's embedding table."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lpca.codec.channel import Channel
from lpca.tasks import EpisodeSet

SHOWN, NEAREST = 4, 3


@torch.no_grad()
def nearest_tokens(channel: Channel, episodes: EpisodeSet) -> list[dict[str, Any]]:
    """Return the `NEAREST` tokens of each latent of the first episodes, by cosine.

    A latent of zeros has none.
    """
    receiver = channel.receiver
    first = episodes.episodes[:SHOWN]
    table = torch.nn.functional.normalize(receiver.embedding.weight.detach().float().cpu(), dim=1)
    shown = []
    for episode, prefix in zip(first, channel.prefixes([e.message for e in first]), strict=True):
        latents = [_nearest(latent, table) for latent in prefix.cpu()]
        named = [
            [{"token": receiver.text([token]), "cosine": cosine} for token, cosine in latent]
            for latent in latents
        ]
        shown.append({"seed": episode.seed, "message": episode.message, "latents": named})
    return shown


def _nearest(latent: Tensor, table: Tensor) -> list[tuple[int, float]]:
    if not bool(latent.any()):
        return []
    found = (table @ torch.nn.functional.normalize(latent, dim=0)).topk(min(NEAREST, len(table)))
    return [
        (int(token), round(float(cosine), 4))
        for cosine, token in zip(found.values, found.indices, strict=True)
    ]


def norm_ratios(channel: Channel, episodes: EpisodeSet) -> dict[str, Any]:
    """Return latents' norms divided by the mean norm of the embedding table's rows."""
    prefixes = torch.stack(channel.prefixes([e.message for e in episodes])).double().cpu()
    ratios = prefixes.norm(dim=2) / channel.receiver.mean_embedding_norm
    return {
        "mean": round(float(ratios.mean()), 4),
        "lowest": round(float(ratios.min()), 4),
        "highest": round(float(ratios.max()), 4),
        "by_latent": [round(value, 4) for value in ratios.mean(0).tolist()],
    }
