"""What a run holds at once: of a large vocabulary's logits, and of its episodes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import save_tiny
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lpca.evaluation.block import make_job, run_block
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.outcome import InputRecorder, Outcome
from lpca.evaluation.tile import tile_of
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
