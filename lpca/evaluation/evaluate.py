"""Conditions x episodes -> outcomes, batched by length, kept by the content of what B is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lpca.base.files import StorageError, read_json, write_json
from lpca.base.hashing import hash_data
from lpca.base.packed import Packed
from lpca.evaluation.block import BLOCK as BLOCK
from lpca.evaluation.block import Job, MakeJob, RunBlock, make_job, run_block
from lpca.evaluation.conditions import Setting, build_slots, encode_messages
from lpca.evaluation.normalised import RankedOutcome
from lpca.evaluation.outcome import Outcome
from lpca.evaluation.tile import shaped_as, tile_of


@dataclass(frozen=True)
class Evaluated:
    """Outcomes by condition, in the order of the episodes, and which came from the cache."""

    outcomes: dict[str, Sequence[Outcome]]
    keys: dict[str, tuple[str, ...]]
    cached: frozenset[str]

    @property
    def n(self) -> int:
        """How many episodes each condition was evaluated on."""
        return len(next(iter(self.outcomes.values())))

    @property
    def repeats(self) -> int:
        """How many answers each outcome has."""
        first = next((own[0] for own in self.outcomes.values() if own), None)
        return 1 if first is None else len(first.readings)

    @classmethod
    def nothing(cls, conditions: Sequence[str]) -> Evaluated:
        """No episodes yet under these conditions."""
        return cls(dict.fromkeys(conditions, ()), dict.fromkeys(conditions, ()), frozenset())

    def then(self, more: Evaluated) -> Evaluated:
        """What was evaluated, followed by other episodes under the same conditions."""
        return Evaluated(
            {c: Packed[Outcome]() + own + more.outcomes[c] for c, own in self.outcomes.items()},
            {c: (*keys, *more.keys[c]) for c, keys in self.keys.items()},
            self.cached | more.cached,
        )


def evaluate(
    setting: Setting,
    conditions: Sequence[str],
    cache: Path,
    batch_size: int = 32,
    report: Callable[[int, int], None] = lambda done, total: None,
    make_job: MakeJob = make_job,
    run_block: RunBlock = run_block,
) -> Evaluated:
    """Measure every episode under every condition.

    Blocks whose key is in `cache` are read from there; the rest is computed, and kept there as
    soon as a block is whole.

    Args:
        setting: the receiver, the episodes and what their slots are made from.
        conditions: what stands in B's slot, by name.
        cache: the folder in which outcomes are kept; those of a receiver that is not as it was
            loaded have a folder of their own in it, and where it changed while a block was computed
            that block is not kept.
        batch_size: episodes at a time, at most.
        report: called with how many outcomes (episodes times conditions) are there, and how many
            there will be, as soon as some must be computed and after every batch.
        make_job: names a block's outcomes by what they depend on.
        run_block: computes a block's jobs.

    Raises:
        ReceiverError: the receiver gives scores that are no numbers.
        CodecError: the codec gives what no prefix can be.
        StorageError: the cache cannot be written.
    """
    evaluated = Evaluated.nothing(conditions)
    done, shown, total = 0, -1, len(setting.episodes) * len(conditions)
    # of the blocks that are not whole yet, by their keys
    begun = Counter[str]()

    def show() -> None:
        nonlocal shown
        now = done + begun.total()
        # all of it is there when the last block is kept
        if now != shown and not (begun and now >= total):
            shown = now
            report(now, total)

    def following(job: Job, count: int) -> Job:
        """The job, whose episodes are shown as they are read, for so many conditions."""

        def told(read: int) -> None:
            begun[job.key] += read * count
            show()

        return replace(job, told=told)

    encode_messages(conditions, setting)
    # after a codec's own code ran, which may have changed the receiver; what is to be kept is
    # asked for more than this quick look
    place = setting.receiver.own_place(cache, probing=False)
    # a block at a time: the slots of all episodes under all conditions may not fit in memory
    n, tile = len(setting.episodes), tile_of(setting, batch_size)
    for start in range(0, n, BLOCK):
        block = replace(setting, episodes=setting.episodes.part(start, min(start + BLOCK, n)))
        jobs = [
            make_job(block.receiver, c, block.episodes.episodes, build_slots(c, block)).tiled(
                shaped_as(tile, c)
            )
            for c in conditions
        ]
        found = {job.key: own for job in jobs if (own := load_block(place, job)) is not None}
        cached = frozenset(found)
        done += sum(len(found[job.key]) for job in jobs if job.key in found)
        # conditions that give B the same have one key, and are computed once
        missing = {job.key: job for job in jobs if job.key not in found}
        if missing:
            show()
            counts = Counter(job.key for job in jobs)
            due = [following(job, counts[job.key]) for job in missing.values()]
            made = list(run_block(block.receiver, due, batch_size))
            as_it_was = setting.receiver.own_place(cache) == place
            for job, computed in made:
                if as_it_was:
                    store_block(place, job, computed)
                found[job.key] = computed
                begun.pop(job.key, None)
                done += len(computed) * counts[job.key]
                show()
        keys = {condition: job.key for condition, job in zip(conditions, jobs, strict=True)}
        packed = {key: Packed(own) for key, own in found.items()}
        evaluated = evaluated.then(
            Evaluated(
                {condition: packed[key] for condition, key in keys.items()},
                {condition: (key,) for condition, key in keys.items()},
                cached,
            )
        )
    show()
    return evaluated


def load_block(cache: Path, job: Job) -> tuple[Outcome, ...] | None:
    """Return a job's outcomes from the cache; None when absent, unreadable or not this job's."""
    path = _path(cache, job)
    if not path.exists():
        return None
    try:
        data = read_json(path)
        outcomes = tuple(map(_outcome, data["outcomes"]))
        intact = data.get("key") == job.key and data.get("sha256") == hash_data(data["outcomes"])
    except (StorageError, KeyError, TypeError, ValueError):
        return None
    seeds_fit = [r.seed for r in outcomes] == [e.seed for e in job.episodes]
    return outcomes if intact and seeds_fit else None


def _outcome(data: Mapping[str, Any]) -> Outcome:
    return (RankedOutcome if "ranked" in data else Outcome).from_json(data)


def store_block(cache: Path, job: Job, outcomes: Sequence[Outcome]) -> None:
    """Keep a job's outcomes in the cache, with a hash by which a damaged file is known."""
    rows = [outcome.to_json() for outcome in outcomes]
    held = {"key": job.key, "sha256": hash_data(rows), "outcomes": rows}
    write_json(_path(cache, job), held, durable=False)


def _path(cache: Path, job: Job) -> Path:
    return cache / "outcomes" / job.key[:2] / f"{job.key}.json"
