"""One block of episodes under its conditions: what B is given, read once, becomes outcomes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import transformers

from lpca.base.code_identity import code_hash
from lpca.base.hashing import hash_data, hash_tensors
from lpca.evaluation.outcome import Record, named_option
from lpca.receivers.forward import Reading, Slot, read_context
from lpca.receivers.model import Receiver, ReceiverError
from lpca.receivers.observed_input import Given, Tap, given_rows
from lpca.tasks import TASKS, Episode, FreeEpisode

FREE_FACTOR, FREE_TOKENS = 2, 8
"""A free answer may take that many times the longest option's tokens, and so many more."""


@dataclass(frozen=True, eq=False)
class Job:
    """One condition on one block of episodes; `key` names everything the records depend on."""

    condition: str
    episodes: tuple[Episode, ...]
    slots: tuple[Slot, ...]
    key: str


Computed = Iterator[tuple[Job, tuple[Record, ...]]]
MakeJob = Callable[[Receiver, str, Sequence[Episode], Sequence[Slot]], Job]
RunBlock = Callable[[Receiver, Sequence[Job], int], Computed]
ReadOutcomes = Callable[[Reading, Sequence[Episode], Sequence[Given]], list[Record]]


def read_outcomes(
    reading: Reading, episodes: Sequence[Episode], given: Sequence[Given]
) -> list[Record]:
    """Score each episode's options and let B go on greedily, from one batch that was read.

    Args:
        reading: the batch, read up to its prompts' ends and on through the options.
        episodes: its rows.
        given: what the model really received of each row.

    Raises:
        ReceiverError: the receiver gives NaN or infinite scores.
    """
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


def run_block(
    receiver: Receiver,
    jobs: Sequence[Job],
    batch_size: int,
    read_outcomes: ReadOutcomes = read_outcomes,
) -> Computed:
    """Compute jobs that share their episodes; each batch's context is read once for all of them.

    Args:
        receiver: the frozen model.
        jobs: conditions on the same episodes.
        batch_size: episodes at a time, at most.
        read_outcomes: how records are made of a batch that was read.
    """
    episodes = jobs[0].episodes
    befores = [receiver.prompt_start_ids(e.before) for e in episodes]
    order = sorted(range(len(episodes)), key=lambda i: (len(befores[i]), i))
    made: dict[str, dict[int, Record]] = {job.key: {} for job in jobs}
    for rows in _batches(order, batch_size):
        found = _run_batch(receiver, jobs, rows, [befores[i] for i in rows], read_outcomes)
        for job, records in zip(jobs, found, strict=True):
            made[job.key].update(zip(rows, records, strict=True))
    for job in jobs:
        yield job, tuple(made[job.key][i] for i in range(len(episodes)))


def _batches(order: Sequence[int], most: int) -> list[Sequence[int]]:
    """Divide evenly: no last batch of a few rows, which take as long as many."""
    count = -(-len(order) // most)
    return [order[len(order) * i // count : len(order) * (i + 1) // count] for i in range(count)]


def _run_batch(
    receiver: Receiver,
    jobs: Sequence[Job],
    rows: Sequence[int],
    befores: list[list[int]],
    read_outcomes: ReadOutcomes,
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
            records = read_outcomes(reading, batch, given)
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
            "code": scoring_code(episodes),
            "prompts": prompts,
            "vectors": hash_tensors(vectors),
        }
    )
    return Job(condition, tuple(episodes), tuple(slots), key)


def scoring_code(episodes: Sequence[Episode]) -> str:
    """Hash the code that makes records of such episodes: reading them, and scoring what B says."""
    kinds = sorted({type(episode) for episode in episodes}, key=lambda kind: kind.__qualname__)
    families = sorted({e.family for e in episodes if isinstance(e, FreeEpisode)})
    return code_hash(run_block, *kinds, resolved={TASKS.kind: families})


def _limit(episode: Episode, options: Sequence[Sequence[int]]) -> int:
    """How many tokens B may say: as long as an option takes; free answers may be longer."""
    longest = max(map(len, options))
    return FREE_FACTOR * longest + FREE_TOKENS if episode.free else 1 + longest


def _answered(episode: Episode, said: str) -> bool:
    if episode.free:
        return "\n" in said.lstrip()
    return named_option(said, episode.options)[1]
