"""How much Gaussian noise on the prefix B bears: the condition `perturbation`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from lpca.base.hashing import named_seed
from lpca.diagnose.outcomes import Outcomes, Report, difference, numbers, silent
from lpca.evaluation.conditions import Setting, build_slots
from lpca.receivers.forward import Slot
from lpca.tasks import Episode

SIZES = (0.0, 0.1, 0.25, 0.5, 1.0)
"""Norms of the noise, each as a share of the prefix's own norm (k vectors as one)."""


def perturbed(slots: Sequence[Slot], episodes: Sequence[Episode], size: float) -> list[Slot]:
    """Return prefixes with noise; an episode's noise has one direction at every size."""
    changed = []
    for slot, episode in zip(slots, episodes, strict=True):
        assert slot.vectors is not None
        prefix = slot.vectors
        seed = named_seed("perturbation", episode.seed, len(prefix))
        noise = torch.randn(prefix.shape, generator=torch.Generator().manual_seed(seed))
        length = size * float(prefix.norm()) / float(noise.norm())
        changed.append(Slot(vectors=prefix + length * noise.to(prefix.device)))
    return changed


def noise_sweep(
    outcomes: Outcomes, setting: Setting, confidence: float, report: Report = silent
) -> list[dict[str, Any]]:
    """Return success and NLL at each of `SIZES`; `change` is success minus that without noise."""
    slots = build_slots("normal", setting)
    episodes = setting.episodes.episodes
    wanted = {f"{size:g}": perturbed(slots, episodes, size) if size else slots for size in SIZES}
    records = outcomes.measure(episodes, wanted, report)
    return [
        {
            "size": size,
            "n": len(episodes),
            **numbers(records[f"{size:g}"], confidence),
            "change": difference(records[f"{size:g}"], records["0"], confidence),
        }
        for size in SIZES
    ]
