"""Which layers of a cache carry the message: each left out, and each kept alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lpca.diagnose.episodes import Outcomes, Report, difference, measured, numbers, silent
from lpca.evaluation.conditions import Setting, build_slots
from lpca.receivers.forward import Slot


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
