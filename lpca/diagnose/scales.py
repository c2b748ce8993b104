"""A codec's prefix at several scales, on validation episodes: a look inside, not a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lpca.codec.channel import Channel
from lpca.codec.similarity import similarity
from lpca.diagnose.outcomes import Outcomes, difference, measured, numbers
from lpca.evaluation.conditions import Setting, build_slots
from lpca.receivers.forward import Slot
from lpca.tasks import EpisodeSet

FORMAT = 1
REFERENCES = ("p0", "p1")
SCALED = ("normal", "shuffle")


def scale_sweep(
    channel: Channel,
    episodes: EpisodeSet,
    scales: Sequence[float],
    confidence: float = 0.95,
    batch_size: int = 32,
    report: Callable[[int, int], None] = lambda done, total: None,
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
    report: Callable[[int, int], None] = lambda done, total: None,
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
    chosen = next(one for one in sweep["scales"] if one["scale"] == best)
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
    """Return slots of vectors times a factor; times 0 they are what null is."""
    # plus 0: a negative number times 0 is -0, which is another content
    return [Slot(vectors=scale * slot.vectors + 0.0) for slot in slots if slot.vectors is not None]
