"""Attention masks and caches for rows that share a computed context."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


def causal_mask(visible: Tensor, columns: int, dtype: torch.dtype) -> Tensor:
    """Additive mask for the last `columns` of each row, each seeing itself and what came before.

    Args:
        visible: bool [batch, total]; False marks padding, which nobody sees but itself.
        columns: number of new columns at the right end, the queries.
        dtype: floating-point type of the result.

    Returns:
        [batch, 1, columns, total]: 0 where a query may look, the type's lowest value elsewhere.
    """
    total = visible.shape[1]
    position = torch.arange(total, device=visible.device)
    query = position[total - columns :, None]
    allowed = (position[None, :] <= query)[None] & visible[:, None, :]
    return additive(allowed | (position[None, :] == query)[None], dtype)


def additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn bool [batch, query, key] into an additive mask [batch, 1, query, key]."""
    mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min)[:, None]


def with_tree(mask: Tensor, visible: Tensor, behind: Tensor) -> Tensor:
    """Extend a causal mask by the columns of a tree that stands behind each row.

    Args:
        mask: additive [batch, 1, columns, total].
        visible: bool [batch, total]; what every node of the tree may look at.
        behind: bool [batch, width, width]; which nodes each node may look at, itself among them.

    Returns:
        [batch, 1, columns + width, total + width]; no column of the mask sees the tree.
    """
    batch, width, _ = behind.shape
    unseen = torch.finfo(mask.dtype).min
    above = mask.new_full((batch, 1, mask.shape[2], width), unseen)
    below = torch.cat([visible[:, None].expand(-1, width, -1), behind], dim=2)
    return torch.cat([torch.cat([mask, above], dim=3), additive(below, mask.dtype)], dim=2)


def copy_cache(cache: DynamicCache) -> DynamicCache:
    """Return a cache that starts from the same keys and values and grows apart.

    Growing concatenates into new tensors, so the original's are shared, never changed.
    """
    fresh = DynamicCache()
    for index, layer in enumerate(cache.layers):
        assert isinstance(layer, DynamicLayer)
        assert layer.keys is not None
        assert layer.values is not None
        fresh.update(layer.keys, layer.values, index)
    return fresh


def part_of_cache(cache: DynamicCache, rows: list[int], columns: int) -> DynamicCache:
    """Return a cache that starts from the first `columns` of some rows of another."""
    index = torch.tensor(rows)
    fresh = DynamicCache()
    for number, layer in enumerate(cache.layers):
        assert isinstance(layer, DynamicLayer)
        assert layer.keys is not None
        assert layer.values is not None
        at = index.to(layer.keys.device)
        fresh.update(layer.keys[at, :, :columns], layer.values[at, :, :columns], number)
    return fresh


def left_padded(rows: list[list[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ids [batch, longest] padded on the left with `pad`, and which are real (bool)."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    real = torch.zeros((len(rows), width), dtype=torch.bool)
    for i, row in enumerate(rows):
        if row:
            ids[i, width - len(row) :] = torch.tensor(row)
            real[i, width - len(row) :] = True
    return ids.to(device), real.to(device)
