"""A codec's prefix at several scales, on validation episodes: a look inside, not a verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lpca.codec.channel import Channel
from lpca.codec.similarity import similarity
from lpca.conditions import Setting, build_slots
from lpca.evaluate import BLOCK, Job, make_job, run_block
from lpca.receivers.reading import Slot
from lpca.records import Record
from lpca.stats import wilson
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
) -> dict[str, Any]:
    """Return how B fares with the right and the shuffled prefix times each scale, as JSON data.

    `nll` is the mean negative log-likelihood of the right answer's text, in nats, scored alone
    after the prompt. At scale 0 the prefix is k zero vectors.
    """
    setting = Setting(channel.receiver, channel, episodes)
    slots = {name: build_slots(name, setting) for name in (*REFERENCES, *SCALED)}
    wanted = {name: slots[name] for name in REFERENCES}
    for scale in scales:
        wanted |= {f"{name} {scale:g}": _scaled(slots[name], scale) for name in SCALED}
    found = _records(channel, episodes, wanted, batch_size, report)
    numbers = {name: _numbers(records, confidence) for name, records in found.items()}
    return {
        "format": FORMAT,
        "k": channel.k,
        "n": len(episodes),
        "confidence": confidence,
        "norm_ratio": similarity(channel, episodes).norm_ratio,
        "references": {name: numbers[name] for name in REFERENCES},
        "scales": [
            {"scale": scale, **{name: numbers[f"{name} {scale:g}"] for name in SCALED}}
            for scale in scales
        ],
    }


def _scaled(slots: Sequence[Slot], scale: float) -> list[Slot]:
    return [Slot(vectors=scale * slot.vectors) for slot in slots if slot.vectors is not None]


def _records(
    channel: Channel,
    episodes: EpisodeSet,
    wanted: dict[str, Sequence[Slot]],
    batch_size: int,
    report: Callable[[int, int], None],
) -> dict[str, list[Record]]:
    receiver, rows = channel.receiver, episodes.episodes
    found: dict[str, list[Record]] = {name: [] for name in wanted}
    done, total = 0, len(rows) * len(wanted)
    report(done, total)
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        jobs: list[Job] = [
            make_job(receiver, name, rows[block], slots[block]) for name, slots in wanted.items()
        ]
        for job, records in run_block(receiver, jobs, batch_size):
            found[job.condition] += records
            done += len(records)
            report(done, total)
    return found


def _numbers(records: Sequence[Record], confidence: float) -> dict[str, Any]:
    count = sum(record.likelihood_success for record in records)
    interval = wilson(count, len(records), confidence)
    nll = -sum(record.scores[record.answer] for record in records) / len(records)
    return {"successes": count, "interval": [interval.low, interval.high], "nll": round(nll, 6)}
