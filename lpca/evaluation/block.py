"""One block of episodes under its conditions: what B is given, one forward pass, its outcomes.

It reads top to bottom: a job names what B is given; a batch of episodes is read up to its slots
once for all conditions, then on through each condition's slots and the options; scores and what B
says are read off that pass. The pass itself is `lpca.receivers.forward`, what the model really
received is recorded by `lpca.evaluation.outcome`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import torch
import transformers

from lpca.base.code_identity import code_hash
from lpca.base.hashing import hash_data
from lpca.evaluation.outcome import InputRecorder, Outcome, ReceivedPrompt, joined
from lpca.evaluation.sampled import Draws, Greedy, Sampling
from lpca.judge.successes import named_option
from lpca.receivers import ReceiverError
from lpca.receivers.caches import rotation_of
from lpca.receivers.forward import (
    FREE,
    OptionTree,
    Reading,
    Slot,
    Tile,
    read_context,
    rows_at_once,
)
from lpca.receivers.hashing import hash_tensors
from lpca.receivers.model import Receiver
from lpca.receivers.self_test import most_said
from lpca.tasks import TASKS, Episode
from lpca.tasks.family import FreeEpisode


@dataclass(frozen=True, eq=False)
class Job:
    """One condition on one block of episodes; `key` names everything the outcomes depend on.

    `sampling` says how answers are sampled; None: B says what is most probable. Its batches take up
    `tile` at least. `told` is called batch by batch with how many more episodes were read.
    """

    condition: str
    episodes: tuple[Episode, ...]
    slots: tuple[Slot, ...]
    key: str
    sampling: Sampling | None = None
    tile: Tile = FREE
    told: Callable[[int], None] = lambda count: None

    def sampled(self, sampling: Sampling) -> Job:
        """The same with answers that are sampled."""
        key = hash_data([self.key, asdict(sampling)])
        return replace(self, key=key, sampling=sampling)

    def tiled(self, tile: Tile) -> Job:
        """The same in batches of one shape; of a free one it is this job."""
        if tile == FREE:
            return self
        return replace(self, key=hash_data([self.key, asdict(tile)]), tile=tile)


BLOCK = 100
"""Episodes per cached file: what an interrupted run loses at most, for one condition."""

Computed = Iterator[tuple[Job, tuple[Outcome, ...]]]
MakeJob = Callable[[Receiver, str, Sequence[Episode], Sequence[Slot]], Job]
RunBlock = Callable[[Receiver, Sequence[Job], int], Computed]
ReadOutcomes = Callable[[Reading, Sequence[Episode], Sequence[ReceivedPrompt]], list[Outcome]]


def make_job(
    receiver: Receiver, condition: str, episodes: Sequence[Episode], slots: Sequence[Slot]
) -> Job:
    """Name one condition on one block of episodes by the content that determines its outcomes."""
    prompts = [
        {
            "seed": episode.seed,
            "answer": episode.answer,
            "options": list(episode.options),
            "answers": [receiver.option_ids(option) for option in episode.options],
            "before": receiver.prompt_start_ids(episode.before),
            "slot": list(slot.ids),
            **({"packets": slot.packets} if slot.packets else {}),
            "after": receiver.prompt_end_ids(episode.after),
            "problem": episode.problem,
        }
        for episode, slot in zip(episodes, slots, strict=True)
    ]
    vectors = [(str(i), s.vectors) for i, s in enumerate(slots) if s.vectors is not None]
    for i, slot in enumerate(slots):
        for layer, both in sorted(slot.cache.items()):
            names = (f"{i}.{layer}.keys", f"{i}.{layer}.values")
            vectors += zip(names, both, strict=True)
    key = hash_data(
        {
            "receiver": receiver.weights_hash,
            "configuration": receiver.configuration_hash,
            "dtype": str(receiver.dtype),
            "device": receiver.device.type,
            "attn": receiver.attn,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "code": scoring_code(episodes),
            "prompts": prompts,
            "vectors": hash_tensors(vectors),
        }
    )
    return Job(condition, tuple(episodes), tuple(slots), key)


def scoring_code(episodes: Sequence[Episode]) -> str:
    """Hash the code that makes outcomes of such episodes: reading them, and scoring what B says."""
    kinds = sorted({type(episode) for episode in episodes}, key=lambda kind: kind.__qualname__)
    families = sorted({e.family for e in episodes if isinstance(e, FreeEpisode)})
    return code_hash(run_block, *kinds, resolved={TASKS.kind: families})


def run_block(
    receiver: Receiver,
    jobs: Sequence[Job],
    batch_size: int,
    read: ReadOutcomes | None = None,
) -> Computed:
    """Compute jobs that share their episodes; each batch's context is read once for all of them.

    Args:
        receiver: the frozen model.
        jobs: conditions on the same episodes, with tiles that differ behind the slots alone.
        batch_size: episodes at a time, at most.
        read: how outcomes are made of a batch that was read, where not by `read_outcomes`.

    Yields:
        Each job with its outcomes, in the order of its episodes.
    """
    episodes = jobs[0].episodes
    # rows of like lengths share a batch, so that little of it is padding
    lengths = [len(receiver.prompt_start_ids(e.before)) for e in episodes]
    order = sorted(range(len(episodes)), key=lambda i: (lengths[i], i))
    made: dict[str, dict[int, Outcome]] = {job.key: {} for job in jobs}
    most = jobs[0].tile.rows or _rows_at_once(receiver, jobs, max(lengths))
    for rows in _batches(order, min(batch_size, most)):
        found = _run_batch(receiver, jobs, rows, read or read_outcomes)
        for job, outcomes in zip(jobs, found, strict=True):
            made[job.key].update(zip(rows, outcomes, strict=True))
    for job in jobs:
        yield job, tuple(made[job.key][i] for i in range(len(episodes)))


def _batches(order: Sequence[int], most: int) -> list[Sequence[int]]:
    """Divide evenly: no last batch of a few rows, which take as long as many."""
    count = -(-len(order) // most)
    return [order[len(order) * i // count : len(order) * (i + 1) // count] for i in range(count)]


def _rows_at_once(receiver: Receiver, jobs: Sequence[Job], before: int) -> int:
    """How many of some jobs' episodes a batch may hold, so that its logits fit in memory."""
    episodes = jobs[0].episodes
    trees = (OptionTree.of([receiver.option_ids(o) for o in e.options]) for e in episodes)
    nodes = max(map(len, trees))
    slot = max(len(slot) for job in jobs for slot in job.slots)
    after = max(len(receiver.prompt_end_ids(e.after)) for e in episodes)
    return rows_at_once(receiver, 1 + nodes, max(before, slot + after + nodes))


def _run_batch(
    receiver: Receiver, jobs: Sequence[Job], rows: Sequence[int], read: ReadOutcomes
) -> list[list[Outcome]]:
    """Outcomes of some rows, by job."""
    count, tile = len(rows), jobs[0].tile
    rows = tile.filled(rows)
    batch = [jobs[0].episodes[i] for i in rows]
    befores = [receiver.prompt_start_ids(e.before) for e in batch]
    afters = [receiver.prompt_end_ids(e.after) for e in batch]
    options = [[receiver.option_ids(option) for option in e.options] for e in batch]
    made = []
    if any(slot.cache for job in jobs for slot in job.slots):
        # tried on the model itself, before its passes are recorded
        rotation_of(receiver)
    with InputRecorder(receiver) as recorder:
        context = read_context(receiver, befores, tile)
        opened = len(recorder.calls)
        for job in jobs:
            del recorder.calls[opened:]
            slots = [job.slots[i] for i in rows]
            started = time.monotonic()
            reading = context.tiled(job.tile).read(slots, afters, options)
            nodes = reading.at.shape[1] - 1
            spans = [slot.spans for slot in slots]
            given = recorder.prompts(spans, nodes, [len(before) for before in befores])
            outcomes = _outcomes(job, reading, batch, given, read)
            share = (time.monotonic() - started) / count
            made.append([replace(outcome, seconds=share) for outcome in outcomes[:count]])
            job.told(count)
    return made


def _outcomes(
    job: Job,
    reading: Reading,
    batch: Sequence[Episode],
    given: Sequence[ReceivedPrompt],
    read: ReadOutcomes,
) -> list[Outcome]:
    """A batch's outcomes, each with all of its answers."""
    picks: list[Greedy | Draws] = [Greedy(len(batch))]
    if job.sampling is not None:
        picks = [Draws(job.sampling, batch, repeat) for repeat in range(job.sampling.repeats)]
    answered = []
    for pick in picks:
        found = read(replace(reading, pick=pick), batch, given)
        answered.append([replace(o, slack=s) for o, s in zip(found, pick.slack, strict=True)])
    return [joined(readings) for readings in zip(*answered, strict=True)]


def read_outcomes(
    reading: Reading, episodes: Sequence[Episode], given: Sequence[ReceivedPrompt]
) -> list[Outcome]:
    """Score each episode's options and let B go on, from one batch that was read.

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
    limits = [most_said(e, row) for e, row in zip(episodes, options, strict=True)]

    def is_over(i: int, ids: list[int]) -> bool:
        return len(ids) >= limits[i] or _has_answered(episodes[i], receiver.text(ids))

    outcomes = []
    said = reading.continuations(max(limits), is_over)
    for episode, row, ids, prompt in zip(episodes, scores, said, given, strict=True):
        text = receiver.text(ids)
        outcomes.append(
            Outcome(
                seed=episode.seed,
                answer=episode.answer,
                scores=tuple(row),
                said_ids=tuple(ids),
                said=text,
                named=named_option(text, episode.options)[0],
                given=prompt,
                credit=episode.credit(text),
            )
        )
    return outcomes


def _has_answered(episode: Episode, said: str) -> bool:
    if episode.free:
        return "\n" in said.lstrip()
    return named_option(said, episode.options)[1]
