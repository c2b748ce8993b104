"""Conditions x episodes -> records, batched by length, kept by the content of what B is given."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
import transformers

from lpca.base.files import StorageError, read_json, write_json
from lpca.base.hashing import hash_data, hash_modules, hash_tensors
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.outcome import Record, named_option
from lpca.receivers.forward import Reading, Slot, read_context
from lpca.receivers.model import Receiver, ReceiverError
from lpca.receivers.observed_input import Given, Tap, given_rows
from lpca.tasks import Episode

BLOCK = 100
"""Episodes per cached file: what an interrupted run loses at most, for one condition."""
FREE_FACTOR, FREE_TOKENS = 2, 8
"""A free answer may take that many times the longest option's tokens, and so many more."""
CODE = (
    "lpca.evaluation.evaluate",
    "lpca.evaluation.outcome",
    "lpca.receivers.forward",
    "lpca.receivers.attention",
    "lpca.receivers.option_tree",
    "lpca.receivers.observed_input",
    "lpca.receivers.model",
    "lpca.tasks.kinds.s2",
    "lpca.tasks.family",
    "lpca.tasks.kinds.s1",
    "lpca.tasks.kinds.s3",
    "lpca.tasks.sandbox",
    "lpca.tasks.sandbox_child",
)


@dataclass(frozen=True, eq=False)
class Job:
    """One condition on one block of episodes; `key` names everything the records depend on."""

    condition: str
    episodes: tuple[Episode, ...]
    slots: tuple[Slot, ...]
    key: str


@dataclass(frozen=True)
class Evaluated:
    """Records by condition, in the order of the episodes, and which came from the cache."""

    records: dict[str, tuple[Record, ...]]
    keys: dict[str, tuple[str, ...]]
    cached: frozenset[str]

    @property
    def n(self) -> int:
        """How many episodes each condition was evaluated on."""
        return len(next(iter(self.records.values())))

    def then(self, more: Evaluated) -> Evaluated:
        """What was evaluated, followed by other episodes under the same conditions."""
        return Evaluated(
            {c: (*records, *more.records[c]) for c, records in self.records.items()},
            {c: (*keys, *more.keys[c]) for c, keys in self.keys.items()},
            self.cached | more.cached,
        )


def evaluate(
    setting: Setting,
    conditions: Sequence[str],
    cache: Path,
    batch_size: int = 32,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluated:
    """Measure every episode under every condition.

    Blocks whose key is in `cache` are read from there; the rest is computed, and kept there as
    soon as a block is whole. `report(done, total)` counts episodes times conditions.
    """
    # a block at a time: the slots of all episodes under all conditions may not fit in memory
    blocks = _blocks(setting)
    keys: dict[str, list[str]] = {condition: [] for condition in conditions}
    found: dict[str, tuple[Record, ...]] = {}
    for block in blocks:
        for condition in conditions:
            job = _job(block, condition)
            keys[condition].append(job.key)
            if job.key not in found and (stored := load_block(cache, job)) is not None:
                found[job.key] = stored
    cached = frozenset(found)
    total = len(setting.episodes) * len(conditions)
    done = sum(len(found.get(key, ())) for own in keys.values() for key in own)
    report(done, total)
    for place, block in enumerate(blocks):
        missing = [c for c in conditions if keys[c][place] not in cached]
        jobs = [_job(block, condition) for condition in missing]
        for job, records in run_block(setting.receiver, jobs, batch_size) if jobs else ():
            _store_block(cache, job, records)
            found[job.key] = records
            done += len(records)
            report(done, total)
    return Evaluated(
        {c: tuple(r for key in own for r in found[key]) for c, own in keys.items()},
        {c: tuple(own) for c, own in keys.items()},
        cached,
    )


def run_block(
    receiver: Receiver, jobs: Sequence[Job], batch_size: int
) -> Iterator[tuple[Job, tuple[Record, ...]]]:
    """Compute jobs that share their episodes; each batch's context is read once for all of them."""
    episodes = jobs[0].episodes
    befores = [receiver.prompt_start_ids(e.before) for e in episodes]
    order = sorted(range(len(episodes)), key=lambda i: (len(befores[i]), i))
    made: dict[str, dict[int, Record]] = {job.key: {} for job in jobs}
    for rows in _batches(order, batch_size):
        found = _run_batch(receiver, jobs, rows, [befores[i] for i in rows])
        for job, records in zip(jobs, found, strict=True):
            made[job.key].update(zip(rows, records, strict=True))
    for job in jobs:
        yield job, tuple(made[job.key][i] for i in range(len(episodes)))


def _batches(order: Sequence[int], most: int) -> list[Sequence[int]]:
    """Divide evenly: no last batch of a few rows, which take as long as many."""
    count = -(-len(order) // most)
    return [order[len(order) * i // count : len(order) * (i + 1) // count] for i in range(count)]


def _run_batch(
    receiver: Receiver, jobs: Sequence[Job], rows: Sequence[int], befores: list[list[int]]
) -> list[list[Record]]:
    """Records of some rows, by job; `befores` are what stands before their slots."""
    batch = [jobs[0].episodes[i] for i in rows]
    afters = [receiver.segment_ids(e.after) for e in batch]
    options = [[receiver.option_ids(option) for option in e.options] for e in batch]
    made = []
    with Tap(receiver) as tap:
        context = read_context(receiver, befores)
        for job in jobs:
            del tap.calls[1:]
            slots = [job.slots[i] for i in rows]
            started = time.monotonic()
            reading = context.read(slots, afters, options)
            lengths, width = [len(slot) for slot in slots], reading.at.shape[1] - 1
            given = given_rows(receiver, tap.calls[0], tap.calls[1], lengths, width)
            records = _records(reading, batch, given)
            share = (time.monotonic() - started) / len(rows)
            made.append([replace(record, seconds=share) for record in records])
    return made


def make_job(
    receiver: Receiver, condition: str, episodes: Sequence[Episode], slots: Sequence[Slot]
) -> Job:
    """Name one condition on one block of episodes by the content that determines its records."""
    prompts = [
        {
            "seed": episode.seed,
            "answer": episode.answer,
            "options": list(episode.options),
            "before": receiver.prompt_start_ids(episode.before),
            "slot": list(slot.ids),
            "after": receiver.segment_ids(episode.after),
            "problem": episode.problem,
        }
        for episode, slot in zip(episodes, slots, strict=True)
    ]
    vectors = [(str(i), s.vectors) for i, s in enumerate(slots) if s.vectors is not None]
    key = hash_data(
        {
            "receiver": receiver.weights_hash,
            "configuration": receiver.configuration_hash,
            "dtype": str(receiver.dtype),
            "device": receiver.device.type,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "code": _code_hash(),
            "prompts": prompts,
            "vectors": hash_tensors(vectors),
        }
    )
    return Job(condition, tuple(episodes), tuple(slots), key)


def load_block(cache: Path, job: Job) -> tuple[Record, ...] | None:
    """Return a job's records from the cache; None when absent, unreadable or not this job's."""
    path = _path(cache, job)
    if not path.exists():
        return None
    try:
        data = read_json(path)
        records = tuple(Record.from_json(item) for item in data["records"])
        intact = data.get("key") == job.key and data.get("sha256") == hash_data(data["records"])
    except (StorageError, KeyError, TypeError, ValueError):
        return None
    seeds_fit = [r.seed for r in records] == [e.seed for e in job.episodes]
    return records if intact and seeds_fit else None


@cache
def _code_hash() -> str:
    return hash_modules(CODE)


def _blocks(setting: Setting) -> list[Setting]:
    n = len(setting.episodes)
    return [
        replace(setting, episodes=setting.episodes.part(start, min(start + BLOCK, n)))
        for start in range(0, n, BLOCK)
    ]


def _job(block: Setting, condition: str) -> Job:
    slots = build_slots(condition, block)
    return make_job(block.receiver, condition, block.episodes.episodes, slots)


def _records(reading: Reading, episodes: Sequence[Episode], given: Sequence[Given]) -> list[Record]:
    receiver = reading.receiver
    options = [[receiver.option_ids(option) for option in e.options] for e in episodes]
    scores = reading.option_scores(options)
    if not all(math.isfinite(score) for row in scores for score in row):
        raise ReceiverError(
            f"receiver {receiver.name} gives NaN or infinite scores in {receiver.dtype}; "
            "try --dtype float32 or bfloat16"
        )
    limits = [_limit(e, row) for e, row in zip(episodes, options, strict=True)]

    def over(i: int, ids: list[int]) -> bool:
        return len(ids) >= limits[i] or _answered(episodes[i], receiver.text(ids))

    records = []
    said = reading.greedy(max(limits), over)
    for episode, row, ids, what in zip(episodes, scores, said, given, strict=True):
        text = receiver.text(ids)
        named, credit = named_option(text, episode.options)[0], episode.credit(text)
        records.append(
            Record(episode.seed, episode.answer, tuple(row), tuple(ids), text, named, what, credit)
        )
    return records


def _limit(episode: Episode, options: Sequence[Sequence[int]]) -> int:
    """How many tokens B may say: as long as an option takes; free answers may be longer."""
    longest = max(map(len, options))
    return FREE_FACTOR * longest + FREE_TOKENS if episode.free else 1 + longest


def _answered(episode: Episode, said: str) -> bool:
    if episode.free:
        return "\n" in said.lstrip()
    return named_option(said, episode.options)[1]


def _store_block(cache: Path, job: Job, records: Sequence[Record]) -> None:
    rows = [record.to_json() for record in records]
    write_json(_path(cache, job), {"key": job.key, "sha256": hash_data(rows), "records": rows})


def _path(cache: Path, job: Job) -> Path:
    return cache / "outcomes" / job.key[:2] / f"{job.key}.json"
