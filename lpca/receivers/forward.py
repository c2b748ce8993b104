"""Give B a prompt and its options in one pass; score them and go on from it.

The context before the slot is computed once and shared by every condition. The options' tokens
stand side by side behind the prompt, each sees the prompt and its own option only. What B says is
mostly one of them: it is followed in what is computed already, and generated where it leaves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from lpca.base.errors import RequestError
from lpca.receivers import TokenRows
from lpca.receivers.attention import KEEP, Mask, cache_argument, looks, takes
from lpca.receivers.caches import (
    append_caches,
    held,
    hidden,
    layers_of,
    rotation_of,
    turned_back,
)
from lpca.receivers.model import Receiver
from lpca.receivers.plain import PlainContext, plain_states
from lpca.receivers.reading import FREE as FREE
from lpca.receivers.reading import HOLE as HOLE
from lpca.receivers.reading import ROOT as ROOT
from lpca.receivers.reading import Context as Context
from lpca.receivers.reading import Decided as Decided
from lpca.receivers.reading import OptionTree as OptionTree
from lpca.receivers.reading import Prompts, Step, injected, refuse_untried
from lpca.receivers.reading import Reading as Reading
from lpca.receivers.reading import Slot as Slot
from lpca.receivers.reading import Spans as Spans
from lpca.receivers.reading import Tile as Tile
from lpca.receivers.reading import in_slots as in_slots
from lpca.receivers.reading import left_padded as left_padded
from lpca.receivers.reading import rows_at_once as rows_at_once


def read_context(receiver: Receiver, befores: TokenRows, tile: Tile = FREE) -> Context:
    """Read a batch of prompts up to their slots; rows may differ in length.

    The batch takes up `tile` at least, up to the slots and behind them. Row by row, and free of
    that, where the receiver's self-test has found that only this is exact.
    """
    if receiver.proof.plain:
        return PlainContext(receiver, befores)
    return read_batch(receiver, befores, tile)


@torch.no_grad()
def read_batch(receiver: Receiver, befores: TokenRows, tile: Tile = FREE) -> CachedContext:
    """The same in one pass, whichever way the self-test has found."""
    ids, visible = left_padded(befores, receiver.pad_id, receiver.device, tile.before)
    cache = DynamicCache()
    forward(receiver, cache, visible, {"input_ids": ids}, keep=1)
    return CachedContext(receiver, cache, visible, tuple(map(len, befores)), tile)


@dataclass(frozen=True, eq=False)
class CachedContext(Context):
    """A batch read up to its slots; `visible` [batch, n] tells ids from padding.

    `lengths` are those of the rows; what is read on takes up `tile` at least.
    """

    receiver: Receiver
    cache: DynamicCache
    visible: Tensor
    lengths: tuple[int, ...]
    tile: Tile = FREE

    def tiled(self, tile: Tile) -> CachedContext:
        """As in `Context`."""
        return replace(self, tile=tile)

    @torch.no_grad()
    def read(
        self, slots: Sequence[Slot], afters: TokenRows, options: Sequence[TokenRows] | None = None
    ) -> Reading:
        """As in `Context`; the trees of options stand behind the prompts, in the same pass."""
        trees = tuple(OptionTree.of(row) for row in options or [()] * len(slots))
        deepest = max(tree.depth for tree in trees)
        refuse_untried(self.receiver, self.lengths, slots, afters, deepest)
        cache, visible, inputs, slot = self._behind(slots, afters)
        logits = forward(self.receiver, cache, visible, inputs, 1, trees, self.tile.nodes, slot)
        prompts = CachedPrompts(self.receiver, cache, visible, self.tile, slot)
        return Reading(self.receiver, logits, trees, prompts)

    def continuation_logits(self, slots: Sequence[Slot], afters: TokenRows, keep: int) -> Tensor:
        """As in `Context`."""
        refuse_untried(self.receiver, self.lengths, slots, afters, 0)
        cache, visible, inputs, slot = self._behind(slots, afters)
        return forward(self.receiver, cache, visible, inputs, keep, slot=slot).float()

    def _behind(
        self, slots: Sequence[Slot], afters: TokenRows
    ) -> tuple[DynamicCache, Tensor, dict[str, Tensor], range]:
        """What the model gets with slots and texts.

        Returns:
            Keys and values up to the new columns; which columns are visible, those among them; the
            model's inputs of these; and which columns are those of slots that are caches.
        """
        cache, visible = part_of_cache(self.cache), self.visible
        # an empty slot has no columns, whatever kind the others are of
        if any(slot.cache for slot in slots) and all(slot.cache or not len(slot) for slot in slots):
            if not all(afters):
                raise RequestError(
                    f"receiver {self.receiver.name}: a cache is read by the text behind the slot, "
                    "and none stands there; allowed: an episode with a text behind its slot"
                )
            caches, least = [slot.cache for slot in slots], self.tile.behind
            real = append_caches(self.receiver, cache, caches, self.lengths, least)
            visible = torch.cat([visible, real], dim=1)
            slots = [Slot()] * len(slots)
        slot = range(self.visible.shape[1], visible.shape[1])
        befores = [()] * len(slots)
        inputs, real = injected(self.receiver, befores, slots, afters, self.tile.behind)
        return cache, torch.cat([visible, real], dim=1), inputs, slot


@dataclass(frozen=True, eq=False)
class CachedPrompts(Prompts):
    """Prompts in a cache, whose trees' columns stand behind those of `visible` [batch, total].

    `slot` are the columns of slots that are caches, which some layers may lack.
    """

    receiver: Receiver
    cache: DynamicCache
    visible: Tensor
    tile: Tile = FREE
    slot: range = range(0)

    def onward(self, rows: list[int]) -> Step:
        """As in `Prompts`; all rows go on together, those that need not too."""
        filled = self.tile.filled(rows)
        receiver, visible = self.receiver, self.visible[filled]
        cache, least = part_of_cache(self.cache, filled, self.visible.shape[1]), self.tile.said

        def step(new: TokenRows, _: AbstractSet[int]) -> Tensor:
            nonlocal visible, least
            new = self.tile.filled(new)
            ids, real = left_padded(new, receiver.pad_id, receiver.device, least)
            visible, least = torch.cat([visible, real], dim=1), 1
            logits = forward(receiver, cache, visible, {"input_ids": ids}, keep=1, slot=self.slot)
            return logits[: len(rows), -1].float()

        return step


def forward(
    receiver: Receiver,
    cache: DynamicCache,
    visible: Tensor,
    inputs: dict[str, Tensor],
    keep: int,
    trees: Sequence[OptionTree] = (),
    nodes: int = 0,
    slot: range = range(0),
) -> Tensor:
    """Run the model over new columns, and over trees of options behind them.

    Args:
        receiver: the frozen model.
        cache: keys and values of the columns before; the new ones are added to it.
        visible: bool [batch, total]; False marks padding.
        inputs: `input_ids` [batch, columns] or `inputs_embeds` [batch, columns, d_model] of the
            last columns of `visible`.
        keep: at how many of the new columns logits are wanted, the last of them.
        trees: one for each row, or none.
        nodes: for how many there is room in each row, at least.
        slot: which columns are those of a cache in the slot; layers that lack them do without.

    Returns:
        Logits [batch, keep + nodes, vocabulary] in the model's type, nodes being those of the
        largest tree, or as many as there is room for.
    """
    columns = next(iter(inputs.values())).shape[1]
    keys = receiver.positions(visible)
    queries, longest = keys[:, -columns:], visible.shape[1]
    seen = looks(visible, columns)
    width = max([nodes, *map(len, trees)])
    if width:
        laid = _side_by_side(trees, receiver.pad_id, width)
        ids, depths, behind = (t.to(receiver.device) for t in laid)
        ((name, rows),) = inputs.items()
        of_trees = ids if name == "input_ids" else receiver.embedding(ids).to(rows)
        inputs = {name: torch.cat([rows, of_trees], dim=1)}
        places = visible.long().sum(1, keepdim=True) + depths
        queries, keys = (torch.cat([own, places], dim=1) for own in (queries, keys))
        longest += width
        # a node looks at the whole prompt and at its own branch; no column of the prompt at a node
        of_nodes = torch.cat([visible[:, None].expand(-1, width, -1), behind], dim=2)
        unseen = seen.new_zeros((len(seen), columns, width))
        seen = torch.cat([torch.cat([seen, unseen], dim=2), of_nodes], dim=1)
    # as indices, which copy: of a slice the head makes one product per row, its weights copied
    kept = torch.arange(columns - keep, columns + width, device=receiver.device)
    mask = receiver.own_masks.mask(seen, queries, keys, longest, receiver.dtype)
    forward_of = type(receiver.model).forward
    with hidden(receiver, cache, slot, visible.shape[1] - columns):
        output = receiver.model(
            **{name: receiver.own_rows(rows) for name, rows in inputs.items()},
            attention_mask=_own_rows(receiver, mask),
            position_ids=receiver.own_rows(queries),
            use_cache=True,
            **{cache_argument(forward_of): cache},
            **({"logits_to_keep": kept} if takes(forward_of, KEEP) else {}),
        )
    # where the model does not know that argument, all logits come
    logits = output.logits[:, -len(kept) :]
    return receiver.all_rows(logits, len(visible))


def _own_rows(receiver: Receiver, mask: Mask) -> Mask:
    if isinstance(mask, Tensor):
        return receiver.own_rows(mask)
    return {kind: receiver.own_rows(own) for kind, own in mask.items()}


def last_states(receiver: Receiver, model: nn.Module, embeddings: Tensor, real: Tensor) -> Tensor:
    """The last states [batch, n, d_model] of a receiver's base model, or of a copy of it.

    Args:
        receiver: the frozen model, which says how its rows are to be read.
        model: the base model.
        embeddings: [batch, n, d_model], padded on the left.
        real: bool [batch, n]; False marks padding.
    """
    if receiver.proof.plain:
        return plain_states(model, embeddings, real)
    places, columns = receiver.positions(real), real.shape[1]
    mask = receiver.own_masks.mask(looks(real, columns), places, places, columns, receiver.dtype)
    output = model(
        inputs_embeds=embeddings, attention_mask=mask, position_ids=places, use_cache=False
    )
    return torch.as_tensor(output.last_hidden_state)


def last_columns(
    receiver: Receiver,
    model: nn.Module,
    embeddings: Tensor,
    real: Tensor,
    count: int,
    layers: Sequence[int] = (),
) -> Tensor:
    """What a receiver keeps of rows' last columns: [batch, count, numbers] as `flat` lays them.

    Gradients reach the embeddings. Keys are turned back, as if the first of these columns stood at
    position 0, which is how a slot holds them.

    Args:
        receiver: the frozen model, which says how its rows are to be read.
        model: its base model, or a copy of it.
        embeddings: [batch, n, d_model], padded on the left.
        real: bool [batch, n]; False marks padding.
        count: how many columns.
        layers: of which layers; none stand for all.

    Raises:
        RequestError: as for `layers_of`.
    """
    rotation, own = rotation_of(receiver), layers_of(receiver, layers)
    places, columns, cache = receiver.positions(real), real.shape[1], DynamicCache()
    mask = receiver.own_masks.mask(looks(real, columns), places, places, columns, receiver.dtype)
    model(
        inputs_embeds=embeddings,
        attention_mask=mask,
        position_ids=places,
        use_cache=True,
        **{cache_argument(type(model).forward): cache},
    )
    turns = rotation.turns(places[:, -count].tolist())
    kept = list(held(cache))
    parts = []
    for layer in own:
        keys, values = (one[:, :, -count:] for one in kept[layer])
        parts += [turned_back(keys, turns[rotation.kinds[layer]]), values.float()]
    return torch.cat([one.to(receiver.device).transpose(1, 2).flatten(2) for one in parts], dim=2)


def _side_by_side(
    trees: Sequence[OptionTree], pad: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Lay trees side by side in so many columns, which is what the largest needs or more.

    Returns:
        ids [batch, width], filled up with `pad`; depths [batch, width], 0 where none is; and bool
        [batch, width, width]: whether a column's node stands behind another's, or is it.
    """
    missing = [width - len(tree) for tree in trees]
    pairs = list(zip(trees, missing, strict=True))
    ids = torch.tensor([tree.tokens + [pad] * more for tree, more in pairs])
    depths = torch.tensor([tree.depths() + [0] * more for tree, more in pairs])
    behind = torch.eye(ids.shape[1], dtype=torch.bool).repeat(len(trees), 1, 1)
    for i, tree in enumerate(trees):
        for column, parent in enumerate(tree.parents):
            if parent != ROOT:
                behind[i, column] |= behind[i, parent - 1]
    return ids, depths, behind


def part_of_cache(
    cache: DynamicCache, rows: list[int] | None = None, columns: int | None = None
) -> DynamicCache:
    """Return a cache that starts from some rows' first columns of another, and grows apart.

    Growing concatenates into new tensors, so the original's are shared, never changed. A layer that
    lacks a slot's columns loses as many at its end as the others.
    """
    fresh = DynamicCache()
    longest = max((keys.shape[2] for keys, _ in held(cache)), default=0)
    for number, (keys, values) in enumerate(held(cache)):
        if rows is not None:
            at = torch.tensor(rows, device=keys.device)
            last = None if columns is None else keys.shape[2] - (longest - columns)
            keys, values = keys[at, :, :last], values[at, :, :last]
        fresh.update(keys, values, number)
    return fresh


@torch.no_grad()
def own_caches(
    receiver: Receiver, befores: TokenRows, texts: TokenRows
) -> list[dict[int, tuple[Tensor, Tensor]]]:
    """The keys and values that a receiver itself computes of texts, as slots hold them.

    Args:
        receiver: the frozen model.
        befores: what stands before each text; nothing, where it is read by itself.
        texts: token ids.

    Returns:
        For each text those of all layers, float32 on the processor; put behind what stands before
        it, they are to B what the text is.

    Raises:
        RequestError: no slot of this receiver can hold any.
    """
    rotation = rotation_of(receiver)
    # of nothing at all there is no pass, and nothing is taken of this one
    rows = [[*b, *text] or [receiver.pad_id] for b, text in zip(befores, texts, strict=True)]
    turns = rotation.turns([len(before) for before in befores])
    found: list[dict[int, tuple[Tensor, Tensor]]] = [{} for _ in rows]
    for layer, (keys, values) in enumerate(held(read_batch(receiver, rows, FREE).cache)):
        both = turned_back(keys, turns[rotation.kinds[layer]]).cpu(), values.float().cpu()
        for row, text in enumerate(texts):
            # a copy: of a batch's whole cache nothing else is kept
            own, other = (one[row, :, one.shape[2] - len(text) :].clone() for one in both)
            found[row][layer] = own, other
    return found
