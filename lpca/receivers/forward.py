"""Give B a prompt and its options in one pass; score them and decode greedily from it.

The context before the slot is computed once and shared by every condition. The options' tokens
stand side by side behind the prompt, each sees the prompt and its own option only. What B says is
mostly one of them: it is followed in what is computed already, and generated where it leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from transformers import DynamicCache

from lpca.receivers.attention import causal_mask, copy_cache, left_padded, part_of_cache, with_tree
from lpca.receivers.model import Receiver
from lpca.receivers.option_tree import ROOT, Tree, tree_columns, tree_of


@dataclass(frozen=True, eq=False)
class Slot:
    """What stands in a prompt's slot: token ids, or vectors [k, d_model], or nothing."""

    ids: tuple[int, ...] = ()
    vectors: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids) if self.vectors is None else int(self.vectors.shape[0])


@dataclass(frozen=True, eq=False)
class Context:
    """A batch of prompts read up to their slots."""

    receiver: Receiver
    cache: DynamicCache
    visible: Tensor

    @torch.no_grad()
    def read(
        self,
        slots: Sequence[Slot],
        afters: Sequence[Sequence[int]],
        options: Sequence[Sequence[Sequence[int]]] | None = None,
    ) -> Reading:
        """Read on through each row's slot, the text after it and its options.

        Slots of tokens go in as token ids, slots of vectors as embeddings: two paths, so that
        injecting a message's own embeddings tests the injection. One batch takes one path; a
        mixed batch is a ValueError.
        """
        trees = tuple(tree_of(row) for row in options or [()] * len(slots))
        cache = copy_cache(self.cache)
        columns = self._columns(slots, afters)
        visible = torch.cat([self.visible, columns.real], dim=1)
        logits = _forward(self.receiver, cache, visible, columns.inputs, keep=1, trees=trees)
        return Reading(self.receiver, cache, visible, logits, trees)

    def continuation_logits(
        self, slots: Sequence[Slot], afters: Sequence[Sequence[int]], keep: int
    ) -> Tensor:
        """Float32 logits [batch, keep, vocabulary] at the last `keep` positions of each row.

        Gradients reach the slots' vectors.
        """
        columns = self._columns(slots, afters)
        visible = torch.cat([self.visible, columns.real], dim=1)
        return _forward(self.receiver, copy_cache(self.cache), visible, columns.inputs, keep)

    def _columns(self, slots: Sequence[Slot], afters: Sequence[Sequence[int]]) -> _Columns:
        if len({slot.vectors is None for slot in slots}) != 1:
            raise ValueError("a batch holds slots of tokens or slots of vectors, not both")
        receiver = self.receiver
        pads = [[receiver.pad_id] * len(s) if s.vectors is not None else s.ids for s in slots]
        rows = [[*slot, *after] for slot, after in zip(pads, afters, strict=True)]
        ids, real = left_padded(rows, receiver.pad_id, receiver.device)
        if slots[0].vectors is None:
            return _Columns({"input_ids": ids}, real)
        return _Columns({"inputs_embeds": _inject(receiver.embedding(ids), slots, real)}, real)


@dataclass(frozen=True, eq=False)
class _Columns:
    inputs: dict[str, Tensor]
    real: Tensor


@dataclass(frozen=True, eq=False)
class Reading:
    """A batch of prompts read to their ends, and on through the trees of their options.

    `visible` [batch, total] tells a prompt's own positions from padding; the trees' columns stand
    behind them in `cache`. `at` [batch, 1 + nodes, vocabulary] are float32 logits at ROOT and at
    each node.
    """

    receiver: Receiver
    cache: DynamicCache
    visible: Tensor
    at: Tensor
    trees: tuple[Tree, ...]

    @property
    def logits(self) -> Tensor:
        """Logits [batch, vocabulary] at the prompts' ends."""
        return self.at[:, ROOT]

    @torch.no_grad()
    def option_scores(self, options: Sequence[Sequence[Sequence[int]]]) -> list[list[float]]:
        """Sum of log-probabilities of each row's options, each a sequence of token ids.

        They are those that were read, or their beginnings; another one is a KeyError.
        """
        spots = [
            (i, node, token)
            for i, (tree, row) in enumerate(zip(self.trees, options, strict=True))
            for option in row
            for node, token in zip(tree.path(option), option, strict=True)
        ]
        rows, nodes, tokens = torch.tensor(spots, device=self.at.device).T
        steps = (self.at[rows, nodes, tokens] - self._normaliser[rows, nodes]).tolist()
        following = iter(steps)
        return [[sum(next(following) for _ in option) for option in row] for row in options]

    @torch.no_grad()
    def greedy(
        self, limit: int, decided: Callable[[int, list[int]], bool] | None = None
    ) -> list[list[int]]:
        """Most probable tokens one by one, up to an end token (not kept) or `limit`.

        A row also stops where `decided(row, ids so far)` holds; what it would have said after
        that is not computed.
        """
        said: list[list[int]] = [[] for _ in self.trees]

        def says(i: int, token: int) -> bool:
            if token in self.receiver.end_ids:
                return False
            said[i].append(token)
            return len(said[i]) < limit and not (decided is not None and decided(i, said[i]))

        best = self.at.argmax(-1).tolist()
        left = [i for i in range(len(said)) if limit and self._follow(i, best[i], says)]
        if left:
            self._generate(left, said, says)
        return said

    def _follow(self, i: int, best: list[int], says: Callable[[int, int], bool]) -> bool:
        """Say what the tree already tells; whether there is more to say that it does not tell."""
        node: int | None = ROOT
        while node is not None:
            if not says(i, best[node]):
                return False
            node = self.trees[i].child(node, best[node])
        return True

    def _generate(
        self, rows: list[int], said: list[list[int]], says: Callable[[int, int], bool]
    ) -> None:
        """Go on where each of these rows left its tree, all of them step by step."""
        receiver, device = self.receiver, self.receiver.device
        cache = part_of_cache(self.cache, rows, self.visible.shape[1])
        ids, real = left_padded([said[i] for i in rows], receiver.pad_id, device)
        visible = torch.cat([self.visible[rows], real], dim=1)
        still = set(rows)
        while True:
            best = _forward(receiver, cache, visible, {"input_ids": ids}, keep=1)[:, -1].argmax(-1)
            tokens = best.tolist()
            still = {
                i for i, token in zip(rows, tokens, strict=True) if i in still and says(i, token)
            }
            if not still:
                return
            ids, visible = best[:, None], torch.cat([visible, visible.new_ones((len(rows), 1))], 1)

    @cached_property
    def _normaliser(self) -> Tensor:
        return self.at.logsumexp(-1)


@torch.no_grad()
def read_context(receiver: Receiver, befores: Sequence[Sequence[int]]) -> Context:
    """Read a batch of prompts up to their slots; rows may differ in length."""
    ids, visible = left_padded([list(b) for b in befores], receiver.pad_id, receiver.device)
    cache = DynamicCache()
    _forward(receiver, cache, visible, {"input_ids": ids}, keep=1)
    return Context(receiver, cache, visible)


def _forward(
    receiver: Receiver,
    cache: DynamicCache,
    visible: Tensor,
    inputs: dict[str, Tensor],
    keep: int,
    trees: Sequence[Tree] = (),
) -> Tensor:
    """Logits at the last `keep` of the new columns, and at the columns of trees behind them."""
    columns = next(iter(inputs.values())).shape[1]
    positions = receiver.positions(visible)[:, -columns:]
    mask = causal_mask(visible, columns, receiver.dtype)
    width = max(map(len, trees), default=0)
    if width:
        inputs, positions, mask = _behind(receiver, visible, inputs, positions, mask, trees)
    # as indices, which copy: of a slice the head makes one product per row, its weights copied
    kept = torch.arange(columns - keep, columns + width, device=receiver.device)
    output = receiver.model(
        **{name: receiver.own_rows(rows) for name, rows in inputs.items()},
        attention_mask=receiver.own_rows(mask),
        position_ids=receiver.own_rows(positions),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=kept,
    )
    return receiver.all_rows(output.logits, len(visible)).float()


def _behind(
    receiver: Receiver,
    visible: Tensor,
    inputs: dict[str, Tensor],
    positions: Tensor,
    mask: Tensor,
    trees: Sequence[Tree],
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Put trees behind the columns of a pass: its inputs, positions and mask."""
    ids, depths, behind = (t.to(receiver.device) for t in tree_columns(trees, receiver.pad_id))
    ((name, rows),) = inputs.items()
    nodes = ids if name == "input_ids" else receiver.embedding(ids).to(rows)
    places = visible.long().sum(1, keepdim=True) + depths
    return (
        {name: torch.cat([rows, nodes], dim=1)},
        torch.cat([positions, places], dim=1),
        with_tree(mask, visible, behind),
    )


def _inject(embeddings: Tensor, slots: Sequence[Slot], real: Tensor) -> Tensor:
    rows = embeddings.clone()
    starts = (~real).sum(1).tolist()
    for i, slot in enumerate(slots):
        if slot.vectors is not None:
            rows[i, starts[i] : starts[i] + len(slot)] = slot.vectors.to(rows)
    return rows
