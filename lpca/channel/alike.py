"""How far two packets of one view are apart: what is rounding, and what is another packet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lpca.channel.packets import Packet

if TYPE_CHECKING:
    from torch import Tensor

LOOSE, LOOSE_COARSE = 1e-4, 2e-2
"""Relative differences up to which packets are the same but for rounding in another batch, in
float32 and in coarser types; of a single vector ten times as much, so that a huge one hides no
other."""


def loosest(is_exact: bool) -> float:
    """Up to which relative difference packets are the same but for rounding, exact in float32."""
    return LOOSE if is_exact else LOOSE_COARSE


def apart(mine: Tensor, theirs: Tensor, least: float) -> tuple[float, float]:
    """Return how far vectors [n, width] are apart, of their norm: all of them, and the worst one.

    Args:
        mine: the vectors whose norms count.
        theirs: as many.
        least: no vector counts as shorter: such a one may be what is left of larger ones.
    """
    if not mine.numel():
        return 0.0, 0.0
    mine, theirs = mine.double(), theirs.to(mine.device).double()
    norms, off = mine.norm(dim=1), (mine - theirs).norm(dim=1)
    each = off / norms.clamp(min=max(least, 1e-12))
    return float(off.norm() / norms.norm().clamp(min=1e-12)), float(each.max())


def identical(one: Packet, other: Packet) -> bool:
    """Whether two packets are the same to the bit, be it of numbers that are none."""
    mine, theirs = one.tensors(""), other.tensors("")
    return mine.keys() == theirs.keys() and all(_same(mine[n], theirs[n]) for n in mine)


def differing(one: Packet, other: Packet, loosest: float = 0.0) -> str:
    """Say how two packets of one view differ by more than rounding; empty where they do not.

    Args:
        one: a packet.
        other: another.
        loosest: what is allowed where a part's own type allows less: numbers of a fine type may
            come from a model that computes in a coarse one.
    """
    pairs = one.tensors("packet"), other.tensors("packet")
    if pairs[0].keys() != pairs[1].keys():
        return "they have other parts"
    for name, mine in pairs[0].items():
        theirs, part = pairs[1][name], name.removeprefix("packet.")
        if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
            shapes = [f"{one.dtype} {tuple(one.shape)}" for one in (mine, theirs)]
            return f"{part} of {' and '.join(shapes)}"
        if _same(mine, theirs):
            continue
        if not mine.is_floating_point():
            return f"{part} are {mine.tolist()} and {theirs.tolist()}"[:200]
        rows = [_by_position(one) for one in (mine, theirs)]
        whole, each = apart(rows[0], rows[1], 1e-3 * float(rows[0].norm(dim=1).max()))
        # no number is within any limit
        if not max(whole, each / 10) <= max(_loose(mine), loosest):
            return f"{part} by {max(whole, each):.2g} of their norm, more than rounding"
    return ""


def _same(mine: Tensor, theirs: Tensor) -> bool:
    import torch

    if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
        return False
    raw = [one.cpu().contiguous().flatten() for one in (mine, theirs)]
    return not raw[0].numel() or torch.equal(raw[0].view(torch.uint8), raw[1].view(torch.uint8))


def _loose(tensor: Tensor) -> float:
    return LOOSE if tensor.element_size() >= 4 else LOOSE_COARSE


def _by_position(tensor: Tensor) -> Tensor:
    """Vectors [n, numbers] in float64, one for each position."""
    rows = tensor if tensor.ndim == 2 else tensor.transpose(0, 1).flatten(1)
    return rows.double()
