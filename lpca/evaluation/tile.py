"""Batches of one shape, in types coarse enough for shapes to matter.

A bfloat16 product rounds by the shape of the whole: in batches of other rows a gap moves by a tenth
of a nat and more. Where all batches of a run take up the same, what else is in a batch changes
nothing on kernels that are invariant to it. That they are is not taken for granted: the noise is
measured all the same (`lpca.evaluation.noise`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import torch

from lpca.evaluation.block import BLOCK
from lpca.evaluation.conditions import Setting
from lpca.gatespec.model import TEXTS
from lpca.receivers.forward import FREE, OptionTree, Tile, rows_at_once
from lpca.receivers.model import Receiver
from lpca.tasks import EpisodeSet

MOST = 1.5
"""Shapes stay free where one for all would take more than so many times an average row's."""


def tile_of(setting: Setting, batch_size: int) -> Tile:
    """What every batch of a run takes up: its longest texts, and rows that divide a block evenly.

    It follows from all episodes of the run, so that each part of them has the same. Free in
    float32, where rounding decides nothing; of receivers read row by row; and where texts differ so
    much in length that most of it would be padding.

    Args:
        setting: the receiver, the channel, and a part of the run's episodes.
        batch_size: episodes at a time, at most.
    """
    receiver, whole = setting.receiver, setting.episodes.whole
    if receiver.dtype == torch.float32 or receiver.proof.plain:
        return FREE
    k = 0 if setting.channel is None else setting.channel.k
    return _tile(receiver, whole, k, batch_size)


def shaped_as(tile: Tile, condition: str) -> Tile:
    """What a condition's batches take up, of a run's: where no text stands in the slot, less.

    It follows from the condition, not from a batch's texts, of which all might be short.
    """
    return tile if condition in TEXTS else replace(tile, behind=tile.narrow)


@lru_cache(maxsize=1)
def _tile(receiver: Receiver, whole: EpisodeSet, k: int, batch_size: int) -> Tile:
    parts = []
    for episode in whole.episodes:
        tree = OptionTree.of([receiver.option_ids(option) for option in episode.options])
        slots = [len(receiver.message_ids(own.message)) for own in episode.by_slot]
        texts = [
            len(receiver.prompt_start_ids(episode.before)),
            len(slots) * max(slots),
            len(receiver.prompt_end_ids(episode.after)),
            len(tree),
        ]
        texts[2] += sum(map(len, receiver.between_ids(episode)))
        parts.append((*texts, tree.depth, len(slots)))
    before, messages, after, nodes, depth, count = map(max, zip(*parts, strict=True))
    # a slot may hold any other episode's message
    narrow = count * k + after
    behind = max(narrow, messages + after)
    most = min(batch_size, rows_at_once(receiver, 1 + nodes, max(before, behind + nodes)))
    block = min(BLOCK, len(whole))
    rows = -(-block // -(-block // most))
    tile = Tile(rows, before, behind, narrow, nodes=nodes, said=depth + 1)
    average = sum(sum(part[:4]) for part in parts) / len(parts)
    return tile if before + tile.behind + nodes <= MOST * average else FREE
