"""Who looks at whom: the model's own masks, looked up by position.

A mask of ours replaces the model's own, and would switch off its sliding windows and chunks. So
the model's own mask function is asked, for one plain row, which positions each kind of its layers
lets a position look at. Rows padded on the left, columns of a cache and options that stand side by
side are then looked up by the positions they have, not by the columns they stand in.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.masking_utils import create_masks_for_generate

Mask = Tensor | dict[str, Tensor]
"""An additive mask [batch, 1, query, key], or one for each kind of the model's layers."""
FEWEST = 64
"""Positions that are asked for at once; then twice as many, and so on."""
KEEP = "logits_to_keep"
"""What most models call at how many positions logits are wanted."""
EVERY_KIND = ""
"""The kind of a model that has but one mask, for all of its layers."""


@dataclass(frozen=True, eq=False)
class Sight:
    """What layers of one kind let each of the first positions look at.

    Attributes:
        seen: bool [positions, positions]: query, key.
        whole: up to how long a row every position looks at all that came before it; None: in all
            rows as long as `seen` tells.
    """

    seen: Tensor
    whole: int | None

    @classmethod
    def of(cls, seen: Tensor) -> Sight:
        """Of a table [positions, positions]."""
        departs = (seen != torch.ones_like(seen).tril()).any(1).nonzero()
        return cls(seen, int(departs[0]) if len(departs) else None)

    def departs(self, length: int) -> bool:
        """Whether in a row of so many positions one cannot look at all that came before it."""
        return self.whole is not None and length > self.whole


class OwnMasks:
    """What a model's own mask function lets each position look at, by kind of layer."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._size = 0
        self._sights: dict[str, Sight] = {}

    def sights(self, length: int) -> Mapping[str, Sight]:
        """Sights of at least so many positions; empty where the model tells of none."""
        if length > self._size:
            self._size = max(FEWEST, 1 << (length - 1).bit_length())
            found = own_masks(self._model, self._size)
            self._sights = {kind: Sight.of(seen) for kind, seen in found.items()}
        return self._sights

    def narrow(self, length: int) -> bool:
        """Whether in rows of so many positions no kind of layer looks at all that came before."""
        sights = self.sights(length).values()
        return bool(sights) and all(sight.departs(length) for sight in sights)

    def mask(
        self, looks: Tensor, queries: Tensor, keys: Tensor, longest: int, dtype: torch.dtype
    ) -> Mask:
        """The mask that a model gets.

        Args:
            looks: bool [batch, query, key]: where a column may look, were every layer to see all.
            queries: positions [batch, query].
            keys: positions [batch, key].
            longest: one more than the last of these positions, or more than that.
            dtype: the model's.

        Returns:
            One mask for all layers where all see alike, else one for each kind of layer.
        """
        sights = self.sights(longest)
        if not any(sight.departs(longest) for sight in sights.values()):
            return additive(looks, dtype)
        masks = {
            kind: additive(
                looks & sight.seen[queries[:, :, None], keys[:, None, :]]
                if sight.departs(longest)
                else looks,
                dtype,
            )
            for kind, sight in sights.items()
        }
        return masks.get(EVERY_KIND, masks)


def own_masks(model: PreTrainedModel, length: int) -> dict[str, Tensor]:
    """Which of so many positions each kind of a model's layers looks at, by its own function.

    Returns:
        bool [length, length] (query, key) by kind; under EVERY_KIND that of a model with one
        kind. Empty where the function cannot be asked: whether a plainly causal mask will do then,
        the receiver's self-test tells.
    """
    config = copy.deepcopy(model.config)
    # whichever kernel the model takes: this one's masks are tables
    config._attn_implementation = "sdpa"
    ask: Any = getattr(model, "create_masks_for_generate", create_masks_for_generate)
    nothing = torch.empty((1, length, 0), dtype=torch.float32, device=model.device)
    try:
        given = {"inputs_embeds": nothing, "attention_mask": None, cache_argument(ask): None}
        made = ask(config=config, **given)
        kinds = made if isinstance(made, dict) else {EVERY_KIND: made}
        found = {kind: _table(mask, length, model.device) for kind, mask in kinds.items()}
    except Exception:
        # somebody's model, asked in a way that it may not know
        return {}
    return found


def _table(mask: Tensor | None, length: int, device: torch.device) -> Tensor:
    if mask is None:
        return torch.ones((length, length), dtype=torch.bool, device=device).tril()
    if mask.shape != (1, 1, length, length):
        raise ValueError(f"no mask of {length} positions: {tuple(mask.shape)}")
    return mask[0, 0] if mask.dtype == torch.bool else mask[0, 0] == 0


def looks(visible: Tensor, columns: int) -> Tensor:
    """Where each of the last `columns` may look, bool [batch, columns, total].

    Args:
        visible: bool [batch, total]; False marks padding, which nobody sees but itself.
        columns: number of new columns at the right end, the queries. Each sees itself and what
            came before it.
    """
    total = visible.shape[1]
    position = torch.arange(total, device=visible.device)
    query = position[total - columns :, None]
    allowed = (position[None, :] <= query)[None] & visible[:, None, :]
    return allowed | (position[None, :] == query)[None]


def additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn bool [batch, query, key] into an additive mask [batch, 1, query, key].

    It is 0 where a query may look, the type's lowest value elsewhere.
    """
    mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min)[:, None]


@lru_cache(maxsize=64)
def takes(forward: Any, name: str) -> bool:
    """Whether a model's forward pass knows an argument by name."""
    return name in inspect.signature(forward).parameters


def cache_argument(function: Any) -> str:
    """What a model or mask function calls the keys and values of the columns before.

    transformers renames it: from 5.24 on it warns of the old name, which 5.40 drops.
    """
    return "cache" if takes(function, "cache") else "past_key_values"
