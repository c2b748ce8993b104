"""A codec's prefix changed, on validation episodes: scaled, under noise, and layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lpca.base.hashing import named_seed
from lpca.codec.base import CodecError
from lpca.codec.channel import Channel, similarity
from lpca.diagnose.episodes import Outcomes, Report, difference, measured, numbers, silent
from lpca.evaluation.conditions import Setting, build_slots
from lpca.receivers.forward import Slot
from lpca.tasks import Episode, EpisodeSet

FORMAT = 1
Names = tuple[int | str, ...]
"""What of a slot numbers are: of a cache the layer, and which of its two parts."""
REFERENCES = ("p0", "p1")
SCALED = ("normal", "shuffle")
SIZES = (0.0, 0.1, 0.25, 0.5, 1.0)
"""Norms of the noise, each as a share of the prefix's own norm (k vectors as one)."""


def scale_sweep(
    channel: Channel,
    episodes: EpisodeSet,
    scales: Sequence[float],
    confidence: float = 0.95,
    batch_size: int = 32,
    report: Report = silent,
    outcomes: Outcomes | None = None,
) -> dict[str, Any]:
    """Return how B fares with the right and the shuffled prefix times each scale, as JSON data.

    `nll` is the mean negative log-likelihood of the right answer's text, in nats, scored alone
    after the prompt. At scale 0 the prefix is k zero vectors. What is in `outcomes` is not measured
    again.
    """
    outcomes = outcomes or Outcomes(channel.receiver, batch_size)
    setting = Setting(channel.receiver, channel, episodes)
    slots = {name: build_slots(name, setting) for name in (*REFERENCES, *SCALED)}
    wanted = {name: slots[name] for name in REFERENCES}
    for scale in scales:
        wanted |= {f"{name} {scale:g}": scaled(slots[name], scale) for name in SCALED}
    records = outcomes.measure(episodes.episodes, wanted, report)
    found = {name: numbers(rows, confidence) for name, rows in records.items()}
    return {
        "format": FORMAT,
        "k": channel.k,
        "n": len(episodes),
        "confidence": confidence,
        "norm_ratio": similarity(channel, episodes).norm_ratio,
        "references": {name: found[name] for name in REFERENCES},
        "scales": [
            {"scale": scale, **{name: found[f"{name} {scale:g}"] for name in SCALED}}
            for scale in scales
        ],
    }


def best_scale(sweep: Mapping[str, Any]) -> float:
    """Return the scale of most successes with the right message; of several, the least NLL's."""
    best = min(sweep["scales"], key=lambda one: (-one["normal"]["successes"], one["normal"]["nll"]))
    return float(best["scale"])


def confirm_scale(
    channel: Channel,
    swept: EpisodeSet,
    fresh: EpisodeSet,
    sweep: Mapping[str, Any],
    outcomes: Outcomes,
    report: Report = silent,
) -> dict[str, Any]:
    """Measure the sweep's best scale on episodes that did not choose it.

    `gain` is its success minus that at scale 1, there. `messages_shared` counts the fresh episodes
    whose message the sweep had too. ValueError where an episode is the same.
    """
    if {e.seed for e in swept} & {e.seed for e in fresh}:
        raise ValueError("a scale is confirmed on other episodes than those that chose it")
    confidence, best = sweep["confidence"], best_scale(sweep)
    setting = Setting(channel.receiver, channel, fresh)
    wanted = {name: scaled(build_slots(name, setting), best) for name in SCALED}
    found = outcomes.measure(fresh.episodes, wanted, report)
    own = measured(outcomes, setting, ["normal"])["normal"]
    known = {e.message for e in swept}
    chosen = next(scale for scale in sweep["scales"] if scale["scale"] == best)
    return {
        "best": best,
        "swept_n": len(swept),
        "n": len(fresh),
        "episodes": fresh.hash(),
        "messages_shared": sum(e.message in known for e in fresh),
        "swept": {name: chosen[name] for name in SCALED},
        "fresh": {name: numbers(found[name], confidence) for name in SCALED},
        "fresh_at_1": numbers(own, confidence),
        "gain": difference(found["normal"], own, confidence),
    }


def scaled(slots: Sequence[Slot], scale: float) -> list[Slot]:
    """Return slots of vectors, or of caches, times a factor; times 0 they are what null is."""
    # plus 0: a negative number times 0 is -0, which is another content
    return [_changed(slot, lambda own, _: scale * own + 0.0) for slot in slots]


def perturbed(slots: Sequence[Slot], episodes: Sequence[Episode], size: float) -> list[Slot]:
    """Return prefixes with noise; an episode's noise has one direction at every size.

    Of caches each layer's keys, and its values, get noise of that share of their own norm.
    """

    def noisy(seed: int, prefix: Tensor, names: Names) -> Tensor:
        drawn = named_seed("perturbation", seed, len(prefix), *names)
        noise = torch.randn(prefix.shape, generator=torch.Generator().manual_seed(drawn))
        length = size * float(prefix.norm()) / max(float(noise.norm()), 1e-12)
        return prefix + length * noise.to(prefix.device)

    return [
        _changed(slot, partial(noisy, episode.seed))
        for slot, episode in zip(slots, episodes, strict=True)
    ]


def _changed(slot: Slot, change: Callable[[Tensor, Names], Tensor]) -> Slot:
    """A slot whose vectors are changed, or the keys and the values of each layer of its cache.

    Raises CodecError where it holds ids, which are no numbers.
    """
    if slot.vectors is not None:
        return slot.holding(change(slot.vectors, ()))
    if slot.ids:
        raise CodecError("packets of ids have no scale; allowed: vectors, or caches")
    return Slot(
        cache={
            layer: (change(keys, (layer, "keys")), change(values, (layer, "values")))
            for layer, (keys, values) in slot.cache.items()
        }
    )


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


def by_layer(
    outcomes: Outcomes, setting: Setting, confidence: float, report: Report = silent
) -> dict[str, Any]:
    """Return, for each layer that packets have, success without it and with it alone.

    `change` is success without the layer minus that of the whole packet, `gain` success with it
    alone minus p0's, each on the same episodes, with Tango's interval. A layer that is left out has
    no columns in the slot. Of a packet of one layer nothing can be left out: `without` is None.

    Args:
        outcomes: those that are known already.
        setting: of a channel whose packets are caches.
        confidence: of the intervals.
        report: told how many outcomes are there.
    """
    whole, episodes = build_slots("normal", setting), setting.episodes.episodes
    layers = sorted({layer for slot in whole for layer in slot.cache})
    wanted = {f"only {layer}": _with(whole, [layer]) for layer in layers}
    if len(layers) > 1:
        others = {layer: [one for one in layers if one != layer] for layer in layers}
        wanted |= {f"without {layer}": _with(whole, kept) for layer, kept in others.items()}
    known = measured(outcomes, setting, ["normal", "p0"])
    found = outcomes.measure(episodes, wanted, report)
    rows = []
    for layer in layers:
        alone, without = found[f"only {layer}"], found.get(f"without {layer}")
        row: dict[str, Any] = {"layer": layer, "without": None, "change": None}
        if without is not None:
            row["without"] = numbers(without, confidence)
            row["change"] = difference(without, known["normal"], confidence)
        row |= {
            "alone": numbers(alone, confidence),
            "gain": difference(alone, known["p0"], confidence),
        }
        rows.append(row)
    return {"n": len(episodes), "layers": rows}


def _with(slots: Sequence[Slot], layers: Sequence[int]) -> list[Slot]:
    """Slots that hold some layers of what they held; an empty one stays empty."""
    return [
        Slot(cache={layer: slot.cache[layer] for layer in layers}) if slot.cache else slot
        for slot in slots
    ]
