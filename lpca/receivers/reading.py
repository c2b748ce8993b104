"""Give B a prompt, then score options and decode greedily from the same reading of it.

The context before the slot is computed once and shared by every condition. Options are scored in
one pass: their tokens stand side by side, each option sees the prompt and itself only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from lpca.receivers.attention import additive, causal_mask, copy_cache, left_padded
from lpca.receivers.model import Receiver


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
    def read(self, slots: Sequence[Slot], afters: Sequence[Sequence[int]]) -> Reading:
        """Read on through each row's slot and the text after it.

        Slots of tokens go in as token ids, slots of vectors as embeddings: two paths, so that
        injecting a message's own embeddings tests the injection. One batch takes one path; a
        mixed batch is a ValueError.
        """
        if len({slot.vectors is None for slot in slots}) != 1:
            raise ValueError("a batch holds slots of tokens or slots of vectors, not both")
        cache = copy_cache(self.cache)
        visible, logits = self._extend(cache, slots, afters, keep=1)
        return Reading(self.receiver, cache, visible, logits[:, -1])

    def continuation_logits(
        self, slots: Sequence[Slot], afters: Sequence[Sequence[int]], keep: int
    ) -> Tensor:
        """Float32 logits [batch, keep, vocabulary] at the last `keep` positions of each row.

        Gradients reach the slots' vectors.
        """
        return self._extend(copy_cache(self.cache), slots, afters, keep)[1]

    def _extend(
        self,
        cache: DynamicCache,
        slots: Sequence[Slot],
        afters: Sequence[Sequence[int]],
        keep: int,
    ) -> tuple[Tensor, Tensor]:
        receiver = self.receiver
        pads = [[receiver.pad_id] * len(s) if s.vectors is not None else s.ids for s in slots]
        rows = [[*slot, *after] for slot, after in zip(pads, afters, strict=True)]
        ids, real = left_padded(rows, receiver.pad_id, receiver.device)
        inputs: dict[str, Tensor] = {"input_ids": ids}
        if slots[0].vectors is not None:
            inputs = {"inputs_embeds": _inject(receiver.embedding(ids), slots, real)}
        visible = torch.cat([self.visible, real], dim=1)
        return visible, _forward(receiver, cache, visible, ids.shape[1], inputs, keep)


@dataclass(frozen=True, eq=False)
class Reading:
    """A batch of prompts read to their ends; `logits` [batch, vocabulary] are float32."""

    receiver: Receiver
    cache: DynamicCache
    visible: Tensor
    logits: Tensor

    @torch.no_grad()
    def option_scores(self, options: Sequence[Sequence[Sequence[int]]]) -> list[list[float]]:
        """Sum of log-probabilities of each row's options, each a sequence of token ids."""
        first = self.logits.log_softmax(-1)
        scores = [[float(first[i, o[0]]) for o in row] for i, row in enumerate(options)]
        columns = [_tree_columns(row) for row in options]
        width = max(map(len, columns))
        if width == 0:
            return scores
        logits = self._tree_logits(columns, width)
        for i, row in enumerate(columns):
            for j, column in enumerate(row):
                scores[i][column.option] += float(logits[i, j, column.target])
        return scores

    @torch.no_grad()
    def greedy(
        self, limit: int, decided: Callable[[int, list[int]], bool] | None = None
    ) -> list[list[int]]:
        """Most probable tokens one by one, up to an end token (not kept) or `limit`.

        A row also stops where `decided(row, ids so far)` holds; what it would have said after
        that is not computed.
        """
        ids: list[list[int]] = [[] for _ in range(self.logits.shape[0])]
        open_rows = set(range(len(ids)))
        cache, visible, logits = copy_cache(self.cache), self.visible, self.logits
        for step in range(limit):
            best = logits.argmax(-1)
            for i in sorted(open_rows):
                token = int(best[i])
                if token in self.receiver.end_ids:
                    open_rows.discard(i)
                    continue
                ids[i].append(token)
                if decided is not None and decided(i, ids[i]):
                    open_rows.discard(i)
            if not open_rows or step == limit - 1:
                break
            visible = torch.cat([visible, visible.new_ones((len(ids), 1))], dim=1)
            step_input = {"input_ids": best[:, None]}
            logits = _forward(self.receiver, cache, visible, 1, step_input, keep=1)[:, -1]
        return ids

    def _tree_logits(self, columns: list[list[_Column]], width: int) -> Tensor:
        receiver, past = self.receiver, self.visible.shape[1]
        rows = [[c.token for c in row] + [receiver.pad_id] * (width - len(row)) for row in columns]
        ids = torch.tensor(rows, device=receiver.device)
        allowed = torch.zeros((len(rows), width, past + width), dtype=torch.bool)
        allowed[:, :, :past] = self.visible.cpu()[:, None, :]
        depth = torch.zeros((len(rows), width), dtype=torch.long)
        for i, row in enumerate(columns):
            for j, column in enumerate(row):
                depth[i, j] = column.depth
                allowed[i, j, past + j - column.depth : past + j + 1] = True
        for j in range(width):
            allowed[:, j, past + j] = True
        positions = self.visible.sum(1, keepdim=True) + depth.to(receiver.device)
        logits = receiver.model(
            input_ids=ids,
            attention_mask=additive(allowed.to(receiver.device), receiver.dtype),
            position_ids=positions,
            past_key_values=copy_cache(self.cache),
            use_cache=True,
        ).logits
        return torch.as_tensor(logits).float().log_softmax(-1)


@dataclass(frozen=True)
class _Column:
    option: int
    depth: int
    token: int
    target: int


def _tree_columns(options: Sequence[Sequence[int]]) -> list[_Column]:
    return [
        _Column(option=o, depth=t, token=ids[t], target=ids[t + 1])
        for o, ids in enumerate(options)
        for t in range(len(ids) - 1)
    ]


@torch.no_grad()
def read_context(receiver: Receiver, befores: Sequence[Sequence[int]]) -> Context:
    """Read a batch of prompts up to their slots; rows may differ in length."""
    ids, visible = left_padded([list(b) for b in befores], receiver.pad_id, receiver.device)
    cache = DynamicCache()
    _forward(receiver, cache, visible, ids.shape[1], {"input_ids": ids}, keep=1)
    return Context(receiver, cache, visible)


def _forward(
    receiver: Receiver,
    cache: DynamicCache,
    visible: Tensor,
    columns: int,
    inputs: dict[str, Tensor],
    keep: int,
) -> Tensor:
    positions = (visible.long().cumsum(1) - 1).clamp(min=0)[:, -columns:]
    # as indices, which copy: of a slice the head makes one product per row, its weights copied
    kept = torch.arange(columns - keep, columns, device=receiver.device)
    output = receiver.model(
        **inputs,
        attention_mask=causal_mask(visible, columns, receiver.dtype),
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=kept,
    )
    return torch.as_tensor(output.logits).float()


def _inject(embeddings: Tensor, slots: Sequence[Slot], real: Tensor) -> Tensor:
    rows = embeddings.clone()
    starts = (~real).sum(1).tolist()
    for i, slot in enumerate(slots):
        if slot.vectors is not None:
            rows[i, starts[i] : starts[i] + len(slot)] = slot.vectors.to(rows)
    return rows
