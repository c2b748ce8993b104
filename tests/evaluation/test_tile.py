"""In coarse types all batches of a run have one shape: what else is in them changes no bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import save_tiny

from lpca.codec.base import Codec
from lpca.codec.channel import Channel
from lpca.evaluation.block import make_job, run_block
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.evaluate import evaluate
from lpca.evaluation.noise import Rereadings
from lpca.evaluation.outcome import NEAR_TIE, InputRecorder, Outcome
from lpca.evaluation.sampled import Sampling
from lpca.evaluation.tile import shaped_as, tile_of
from lpca.gatespec.model import Score
from lpca.receivers.forward import FREE, Tile
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.tasks import EpisodeSet
from lpca.tasks.kinds.trip import Trip

N, BATCH, CONDITIONS = 12, 5, ("p0", "p1", "embed")
PARTS = (
    [[*range(0, 5)], [*range(5, 10)], [10, 11]],
    [[7], [11, 0, 9], [3, 8, 1, 2], [10, 6, 5, 4]],
)


@pytest.fixture(scope="module")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> Receiver:
    # wide enough that how a sum is divided depends on the shape
    folder = tmp_path_factory.mktemp("wide")
    save_tiny(folder, hidden_size=256, intermediate_size=512, initializer_range=0.1)
    return load_receiver(str(folder), "cpu", "bfloat16")


@pytest.fixture(scope="module")
def setting(coarse: Receiver) -> Setting:
    return Setting(coarse, None, Trip().evaluation_set("test", "seen", N, 0))


def read(
    setting: Setting, parts: Sequence[Sequence[int]], tile: Tile, sampling: Sampling | None = None
) -> tuple[dict[tuple[str, int], Outcome], set[tuple[int, ...]]]:
    """Outcomes by condition and seed of episodes that are read part by part; shapes of masks.

    Each shape is of rows, of columns, and of columns that these may look at.
    """
    found, shapes = {}, set[tuple[int, ...]]()
    slots = {name: build_slots(name, setting) for name in CONDITIONS}
    for part in parts:
        episodes = [setting.episodes.episodes[i] for i in part]
        jobs = [
            make_job(setting.receiver, name, episodes, [own[i] for i in part]).tiled(
                shaped_as(tile, name)
            )
            for name, own in slots.items()
        ]
        if sampling is not None:
            jobs = [job.sampled(sampling) for job in jobs]
        with InputRecorder(setting.receiver) as recorder:
            for job, outcomes in run_block(setting.receiver, jobs, len(part)):
                found.update({(job.condition, one.seed): one for one in outcomes})
        masks = [call.mask for call in recorder.calls]
        shapes |= {(len(m), *m.shape[2:]) for m in masks if isinstance(m, torch.Tensor)}
    return found, shapes


@pytest.mark.parametrize("sampling", [None, Sampling(2, 1.0)])
def test_what_else_is_in_a_batch_changes_no_bit(
    setting: Setting, sampling: Sampling | None
) -> None:
    tile = tile_of(setting, BATCH)
    (one, steps), (other, others) = (read(setting, parts, tile, sampling) for parts in PARTS)
    assert one == other
    assert len(one) == N * len(CONDITIONS)
    free, own = read(setting, PARTS[0], FREE, sampling)
    assert len({rows for rows, *_ in own}) > 1, "each has its own where they are free"
    given = {key: outcome.given for key, outcome in free.items()}
    assert {key: outcome.given for key, outcome in one.items()} == given, "padding is no prompt"
    # nor does the kernel of a step matter
    assert steps == others
    assert tile.narrow < tile.behind, "an empty slot is no text"
    read_on = {(tile.rows, tile.before, tile.before)}
    for behind in (tile.narrow, tile.behind):
        whole = tile.before + behind
        read_on.add((tile.rows, behind + tile.nodes, whole + tile.nodes))
        # only where not all rows' words are in their trees
        more = range(whole + tile.said + 1, whole + tile.said + 1 + len(steps))
        steps -= {(tile.rows, 1, columns) for columns in more}
        steps.discard((tile.rows, tile.said, whole + tile.said))
    assert steps == read_on


def with_long_one(setting: Setting) -> Setting:
    """The same episodes, of a run that one has a long text in."""
    first, *_ = episodes = setting.episodes.episodes
    long = replace(first, seed=first.seed + 1, before=first.before * 40)
    whole = EpisodeSet((*episodes, long), (*setting.episodes.donors, 0))
    return replace(setting, episodes=whole.part(0, N))


@pytest.mark.parametrize("score", ["likelihood", "greedy"])
def test_the_noise_is_measured_and_there_is_none(
    setting: Setting, tmp_path: Path, score: Score
) -> None:
    outcomes = evaluate(setting, CONDITIONS, tmp_path, BATCH).outcomes
    found = Rereadings(run_block, score, batch_size=BATCH).noise(setting, outcomes)
    assert found == dict.fromkeys(CONDITIONS, NEAR_TIE)


def test_each_part_of_a_run_has_the_tile_of_all(setting: Setting) -> None:
    whole = tile_of(setting, BATCH)
    part = replace(setting, episodes=setting.episodes.part(3, 5))
    assert tile_of(part, BATCH) == whole
    assert whole.rows == 4, "twelve in three batches of at most five"
    assert tile_of(setting, N).rows == N


def test_a_slot_may_be_longer_than_every_message(setting: Setting) -> None:
    class Wide(Codec):
        def encode(self, messages: Sequence[str]) -> torch.Tensor:
            raise NotImplementedError

        def decode(self, latents: torch.Tensor) -> torch.Tensor:
            raise NotImplementedError

    tile = tile_of(setting, BATCH)
    wide = Channel(setting.receiver, Wide(), tile.behind)
    assert tile_of(replace(setting, channel=wide), BATCH).behind > tile.behind


def test_shapes_are_free_in_float32_and_where_most_would_be_padding(
    setting: Setting, llama: Receiver
) -> None:
    assert tile_of(replace(setting, receiver=llama), BATCH) == FREE
    assert tile_of(with_long_one(setting), BATCH) == FREE
    slots = build_slots("p0", setting)
    job = make_job(setting.receiver, "p0", setting.episodes.episodes, slots)
    assert job.tiled(FREE) is job
    assert job.tiled(tile_of(setting, BATCH)).key != job.key
