"""What a run holds at once: of a large vocabulary's logits, and of its episodes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from drawn_evidence import evidence
from tiny import save_tiny
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lpca.base.packed import Packed
from lpca.evaluation.block import make_job, run_block
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.evaluate import Evaluated
from lpca.evaluation.outcome import InputRecorder, Outcome, ReceivedPrompt
from lpca.evaluation.tile import tile_of
from lpca.evidence.files import as_read, parse_evidence, write_evidence
from lpca.evidence.model import EpisodeOutcome, KeptEpisode
from lpca.receivers.forward import FREE, OptionTree
from lpca.receivers.load import load_receiver
from lpca.receivers.reading import MOST_LOGITS
from lpca.tasks.kinds.trip import Trip

VOCABULARY, N = 262_144, 8


class Largest(TorchDispatchMode):
    """While open, notes how many bytes the largest tensor takes that anything made."""

    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, torch.Tensor):
                self.bytes = max(self.bytes, one.untyped_storage().nbytes())
        return made


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_large_vocabularys_logits_are_never_there_for_all_rows(
    tmp_path_factory: pytest.TempPathFactory, dtype: str
) -> None:
    folder = tmp_path_factory.mktemp("large")
    save_tiny(folder, vocab_size=VOCABULARY, hidden_size=8, num_hidden_layers=1)
    receiver = load_receiver(str(folder), "cpu", dtype)
    setting = Setting(receiver, None, Trip().evaluation_set("test", "seen", N, 0))
    episodes, tile = setting.episodes.episodes, tile_of(setting, N)
    slots = build_slots("p1", setting)
    options = [[receiver.option_ids(option) for option in e.options] for e in episodes]
    positions = 1 + max(tile.nodes, *(len(OptionTree.of(row)) for row in options))
    assert N * positions * VOCABULARY > 1.5 * MOST_LOGITS

    def read(rows: list[int]) -> tuple[Outcome, ...]:
        own = [episodes[i] for i in rows], [slots[i] for i in rows]
        job = make_job(receiver, "p1", *own)
        [(_, found)] = run_block(receiver, [job.tiled(tile)], N)
        return found

    with Largest() as largest, InputRecorder(receiver) as recorder:
        together = read([*range(N)])
    width = 4 if dtype == "float32" else 2
    table = VOCABULARY * 8 * width
    assert table < largest.bytes <= width * MOST_LOGITS
    assert max(len(call.given) for call in recorder.calls) > 1
    alone = [read([i])[0] for i in range(N)]
    for one, other in zip(together, alone, strict=True):
        if tile != FREE:
            assert one == other
        assert one.scores == pytest.approx(other.scores, abs=1e-4)
        assert one.said_ids == other.said_ids


def growth(work: Callable[[int], object], n: int = 1024) -> float:
    """How many bytes an episode the peak grows from so many episodes to twice as many."""
    work(n // 8)
    peaks = []
    for episodes in (n, 2 * n):
        tracemalloc.start()
        kept = work(episodes)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        del kept
    return (peaks[1] - peaks[0]) / n


def outcome(seed: int) -> Outcome:
    """An outcome as a prompt of 45 tokens gives it."""
    ids = tuple((7919 * seed + 31 * i) % 50_000 + 1000 for i in range(45))
    given = ReceivedPrompt(ids, 20, 24, (1.5 + seed, 2.5, 3.5, 4.5), f"{seed:064x}")
    scores = tuple(-i - seed / 7 for i in range(4))
    return Outcome(seed, 0, scores, (seed, 1), f" Oslo {seed}", 0, given, slack=seed / 3)


def test_outcomes_of_many_episodes_take_a_fraction_of_what_they_are() -> None:
    def evaluated(n: int) -> Evaluated:
        found = Evaluated.nothing(["p0", "p1"])
        for start in range(0, n, 128):
            block = tuple(map(outcome, range(start, start + 128)))
            found = found.then(
                Evaluated({"p0": block, "p1": block}, {"p0": (), "p1": ()}, frozenset())
            )
        return found

    assert growth(lambda n: [*map(outcome, range(n))]) > 2000
    assert growth(evaluated) < 2 * 350


def test_evidence_is_made_written_and_kept_without_being_there_at_once(tmp_path: Path) -> None:
    whole = parse_evidence(evidence())
    names = ("p0", "p1", "normal", "null")

    def kept(seed: int) -> KeptEpisode:
        hashes = {"prompt_sha256": f"{seed:064x}", "slot_sha256": f"{seed + 1:064x}"}
        one = EpisodeOutcome(True, False, (seed / 3, -1.5, -2.5), said=f" {seed}", **hashes)
        return KeptEpisode(
            seed=seed, answers="seen", donor=seed, outcomes={name: replace(one) for name in names}
        )

    def made(n: int) -> object:
        found = replace(whole, episodes=Packed(map(kept, range(n))))
        write_evidence(tmp_path / "main.json", found)
        return as_read(found)

    at_once = growth(lambda n: replace(whole, episodes=tuple(map(kept, range(n)))).data)
    assert growth(made) < at_once / 6
