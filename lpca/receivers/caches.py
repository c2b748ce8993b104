"""Keys and values in a prompt's slot, behind what a receiver has computed of the prompt.

**How they are stored**, which is said here alone: as the receiver itself would hold them *if the
slot began at position 0* of its prompt. The key of the slot's column j is already turned by the
model's rotary embedding, for position j; values are as they are. What a model keeps of a text that
it reads by itself, from position 0 on, is of this form. A slot that begins at position p has all of
its keys turned on by p: turns add up, so they stand at p, p + 1, ... This is done here and nowhere
else; who turns keys to their place before sending them has them turned twice.

A layer that a slot leaves out has no columns there: nothing sees that layer at these positions,
which count all the same. Of a receiver with sliding windows the columns are seen by position, as
any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from lpca.base.errors import RequestError, shown_error
from lpca.base.hashing import named_seed
from lpca.channel.packets import PacketError
from lpca.receivers import ReceiverError
from lpca.receivers.attention import cache_argument, takes
from lpca.receivers.features import features_of
from lpca.receivers.model import Receiver, layer_stack

Cache = Mapping[int, tuple[Tensor, Tensor]]
"""By layer keys and values, each [heads, n, head_dim], n being the same for all layers."""
Turn = tuple[Tensor, Tensor]
"""Cosines and sines [batch, turned], of the first so many numbers of each key."""
UNFIT = ("dynamic", "longrope")
"""Rotary embeddings whose angles depend on how long a prompt is: turns do not add up."""
PROBED, APART = 6, 7
"""A row of so many tokens is read twice, so many positions apart."""
TURNS_OFF = {torch.float32: 1e-3}
"""How far turned keys may be from the model's own, of their norm; a wrong turn is about 1 off."""
COARSE_TURNS_OFF = 0.1


@dataclass(frozen=True, eq=False)
class Rotation:
    """How a receiver turns keys by their positions, and what form its layers' keys have.

    Attributes:
        receiver: the frozen model.
        rotary: its rotary embedding.
        kinds: of each layer, by which of several it turns; empty words where there is one.
        shapes: of each layer its heads, and the widths of its keys and values.
    """

    receiver: Receiver
    rotary: nn.Module
    kinds: tuple[str, ...]
    shapes: tuple[tuple[int, int, int], ...] = ()

    def turns(self, places: Sequence[int]) -> dict[str, Turn]:
        """The turns by some numbers of positions, by kind of layer; in float64, of length 1."""
        given = torch.tensor(places, device=self.receiver.device)[:, None]
        like = torch.empty(0, dtype=torch.float32, device=given.device)
        found = {}
        for kind in set(self.kinds):
            both = self.rotary(like, given, *([kind] if kind else []))
            cosines, sines = (one.double() for one in both)
            # some models scale keys by these as well, which was done at position 0
            scale = (cosines.square() + sines.square()).sqrt()
            found[kind] = (cosines / scale)[:, 0], (sines / scale)[:, 0]
        return found


def turned(keys: Tensor, turn: Turn) -> Tensor:
    """Keys [batch, heads, n, head_dim], each row turned on by its turn; a new tensor, float32.

    In float64 on the way: turned there and back, a key is off by no more than it is rounded.
    """
    cosines, sines = (one.to(keys.device)[:, None, None] for one in turn)
    count = cosines.shape[-1]
    own, rest = keys[..., :count].double(), keys[..., count:].float()
    first, second = own.chunk(2, dim=-1)
    across = torch.cat([-second, first], dim=-1)
    return torch.cat([(own * cosines + across * sines).float(), rest], dim=-1)


def turned_back(keys: Tensor, turn: Turn) -> Tensor:
    """The same the other way: `turned` of it gives the keys again."""
    cosines, sines = turn
    return turned(keys, (cosines, -sines))


@lru_cache(maxsize=4)
def rotation_of(receiver: Receiver) -> Rotation:
    """How a receiver turns keys, tried on the model itself.

    A row of tokens is read at two places: what is found must turn the one's keys into the other's,
    in every layer. A receiver that turns otherwise, or not at all, is refused.

    Raises:
        RequestError: no slot of this receiver can hold keys and values; one line says why.
    """
    rotary = _rotary_of(receiver)
    if why := _unfit(receiver, rotary):
        raise _refusal(receiver, why)
    assert rotary is not None
    config = receiver.model.config.get_text_config()
    by_kind = takes(type(rotary).forward, "layer_type")
    kinds = tuple(config.layer_types) if by_kind else ("",) * receiver.layers
    try:
        return _tried(Rotation(receiver, rotary, kinds))
    except (RequestError, MemoryError):
        raise
    except Exception as error:
        # somebody's model: it may raise anything
        raise _refusal(receiver, shown_error(error)) from error


def _refusal(receiver: Receiver, why: str) -> RequestError:
    return RequestError(
        f"receiver {receiver.name}: its slots cannot hold keys and values: {why}; allowed: "
        "positions by a rotary embedding of fixed angles, such as those of Llama, Qwen, Gemma, "
        "Mistral or Phi-3"
    )


def _rotary_of(receiver: Receiver) -> nn.Module | None:
    """The rotary embedding beside the layers, where there is one."""
    try:
        stack = layer_stack(receiver)
    except ReceiverError:
        return None
    homes = (one for one in receiver.model.modules() if any(own is stack for own in one.children()))
    found = getattr(next(homes), "rotary_emb", None)
    return found if isinstance(found, nn.Module) else None


def _unfit(receiver: Receiver, rotary: nn.Module | None) -> str:
    """What of a receiver is known to be in the way; empty where nothing is."""
    features = features_of(receiver.model)
    if named := [str(one) for one in features if one.of in ("state", "position")]:
        return ", ".join(named)
    rank = getattr(receiver.model.config.get_text_config(), "kv_lora_rank", None)
    if rank:
        return f"kv_lora_rank {rank} (latent attention)"
    if rotary is None:
        return "no rotary embedding was found"
    kinds = getattr(rotary, "rope_type", "")
    kinds = kinds.values() if isinstance(kinds, dict) else [kinds]
    if named := sorted(kind for kind in kinds if any(word in str(kind) for word in UNFIT)):
        return ", ".join(f"rope_type {kind}" for kind in named)
    return f"it is read row by row: {receiver.proof.batched}" if receiver.proof.plain else ""


@torch.no_grad()
def _tried(rotation: Rotation) -> Rotation:
    """The rotation, with its layers' shapes, if it turns keys as the model itself does."""
    receiver = rotation.receiver
    here, there = (_probed(receiver, place) for place in (0, APART))
    if len(here) != receiver.layers:
        raise _refusal(receiver, f"{receiver.layers} layers share the keys of {len(here)}")
    turns = rotation.turns([APART])
    allowed = TURNS_OFF.get(receiver.dtype, COARSE_TURNS_OFF)
    for number, ((keys, _), (wanted, _)) in enumerate(zip(here, there, strict=True)):
        off = turned(keys, turns[rotation.kinds[number]]) - wanted.float()
        # so written that NaN is refused too
        if not float(off.norm() / wanted.float().norm()) <= allowed:
            name = type(rotation.rotary).__name__
            raise _refusal(receiver, f"layer {number} does not turn its keys as {name} tells")
    shapes = tuple((k.shape[1], k.shape[3], v.shape[3]) for k, v in here)
    return Rotation(receiver, rotation.rotary, rotation.kinds, shapes)


def _probed(receiver: Receiver, place: int) -> list[tuple[Tensor, Tensor]]:
    """By layer the keys and values of a fixed row of tokens that begins at a position."""
    draw = torch.Generator().manual_seed(named_seed("receiver", "turns"))
    ids = torch.randint(receiver.embedding.num_embeddings, (1, PROBED), generator=draw)
    places = torch.arange(place, place + PROBED)[None]
    cache = DynamicCache()
    receiver.model(
        input_ids=ids.to(receiver.device),
        position_ids=places.to(receiver.device),
        use_cache=True,
        **{cache_argument(type(receiver.model).forward): cache},
    )
    return list(held(cache))


def held(cache: DynamicCache) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield what each layer of a cache holds: keys and values [batch, heads, columns, head_dim]."""
    for layer in cache.layers:
        assert isinstance(layer, DynamicLayer)
        assert layer.keys is not None
        assert layer.values is not None
        yield layer.keys, layer.values


def refuse_unfit(receiver: Receiver, cache: Cache, layers: Sequence[int] = ()) -> None:
    """Refuse keys and values that are none of this receiver's.

    Args:
        receiver: whose they are to be.
        cache: what a slot is to hold.
        layers: which layers it must have, just these; empty: any that the receiver has.

    Raises:
        PacketError: it has other layers, other heads, other widths, or layers of several lengths.
        RequestError: no slot of this receiver can hold any.
    """
    shapes = rotation_of(receiver).shapes
    found = sorted(cache)
    if layers and found != sorted(layers):
        raise PacketError(f"the cache has layers {_listed(found)}; allowed: {_listed(layers)}")
    if strange := [layer for layer in found if layer >= len(shapes)]:
        raise PacketError(
            f"the cache has layer {strange[0]}; allowed: 0 to {len(shapes) - 1}, the receiver's"
        )
    if len({keys.shape[1] for keys, _ in cache.values()}) > 1:
        raise PacketError("the cache has layers of several lengths; allowed: one n for all")
    for layer, (keys, values) in cache.items():
        heads, wide, deep = shapes[layer]
        n = keys.shape[1]
        if tuple(keys.shape) != (heads, n, wide) or tuple(values.shape) != (heads, n, deep):
            raise PacketError(
                f"layer {layer} has keys of shape {tuple(keys.shape)} and values of "
                f"{tuple(values.shape)}; allowed: [{heads}, n, {wide}] and [{heads}, n, {deep}], "
                f"of the receiver's {heads} heads of keys"
            )


def refuse_layers(receiver: Receiver, layers: Sequence[int], what: str) -> None:
    """Refuse layers that a receiver does not have, and a receiver whose slots hold no caches.

    Args:
        receiver: the frozen model.
        layers: rising; none stand for all.
        what: names it in the message: "its port".

    Raises:
        RequestError: there is such a layer, or as for `rotation_of`.
    """
    count = len(rotation_of(receiver).shapes)
    if layers and layers[-1] >= count:
        raise RequestError(
            f"{what} has layer {layers[-1]}; allowed: 0 to {count - 1}, the receiver's"
        )


def flat(cache: Cache, unit: bool = False) -> Tensor:
    """All keys and values at each position one behind another: float32 [n, numbers].

    Args:
        cache: keys and values by layer.
        unit: whether those of each layer and head have length 1 (zeros stay zeros).
    """
    parts = [one.detach().float() for _, both in sorted(cache.items()) for one in both]
    if unit:
        parts = [nn.functional.normalize(one, dim=-1) for one in parts]
    return torch.cat([one.transpose(0, 1).flatten(1) for one in parts], dim=1)


def layers_of(receiver: Receiver, layers: Sequence[int] = ()) -> tuple[int, ...]:
    """These layers of a receiver, or all of them where none are named.

    Raises:
        RequestError: as for `refuse_layers`.
    """
    refuse_layers(receiver, layers, "a cache")
    return tuple(layers) or tuple(range(len(rotation_of(receiver).shapes)))


def unflat(receiver: Receiver, rows: Tensor, layers: Sequence[int] = ()) -> Cache:
    """The cache of which `flat` gives these rows; gradients reach them.

    Args:
        receiver: whose shapes it has.
        rows: [n, numbers].
        layers: those that it holds; none stand for all.
    """
    own = layers_of(receiver, layers)
    shapes = [rotation_of(receiver).shapes[layer] for layer in own]
    widths = [count * width for count, *both in shapes for width in both]
    heads = [one[0] for one in shapes for _ in range(2)]
    cut = zip(torch.split(rows, widths, dim=1), heads, strict=True)
    parts = [part.reshape(len(rows), count, -1).transpose(0, 1) for part, count in cut]
    return dict(zip(own, zip(parts[::2], parts[1::2], strict=True), strict=True))


def _listed(layers: Sequence[int]) -> str:
    return ", ".join(map(str, layers))[:80] or "none"


def placed(receiver: Receiver, cache: Cache, place: int) -> dict[int, tuple[Tensor, Tensor]]:
    """Keys and values as they stand in a prompt whose slot begins at a position, model's type.

    Args:
        receiver: the frozen model.
        cache: as a slot holds it.
        place: where the slot begins.
    """
    rotation = rotation_of(receiver)
    turns = rotation.turns([place])
    found = {}
    for layer, (keys, values) in sorted(cache.items()):
        rows = turned(keys[None].to(receiver.device), turns[rotation.kinds[layer]])[0]
        found[layer] = rows.to(receiver.dtype), values.to(rows.device, receiver.dtype)
    return found


def append_caches(
    receiver: Receiver,
    cache: DynamicCache,
    slots: Sequence[Cache],
    starts: Sequence[int],
    least: int = 0,
) -> Tensor:
    """Put a batch's slots behind what was computed of their prompts; gradients reach them.

    Args:
        receiver: the frozen model.
        cache: what was computed up to the slots; it grows, but for the layers that they leave out.
        slots: of each row, n differing among them; all of the same layers, or of none.
        starts: at which position each begins.
        least: how many columns there are at least.

    Returns:
        bool [batch, columns]: which are real; rows are padded on the left.

    Raises:
        PacketError, RequestError: as for `refuse_unfit`.
        ValueError: they are of several layers.
    """
    if len({tuple(sorted(slot)) for slot in slots if slot}) > 1:
        raise ValueError("a batch holds caches of the same layers")
    for slot in slots:
        refuse_unfit(receiver, slot)
    layers = sorted({layer for slot in slots for layer in slot})
    lengths = [slot[layers[0]][0].shape[1] if slot else 0 for slot in slots]
    width = max(least, *lengths) if any(lengths) else 0
    real = torch.arange(width)[None] >= width - torch.tensor(lengths)[:, None]
    if not width:
        return real.to(receiver.device)
    rotation = rotation_of(receiver)
    turns = rotation.turns(starts)
    for layer in layers:
        own_keys, own_values = list(held(cache))[layer]
        heads, wide, deep = rotation.shapes[layer]
        nothing = (torch.zeros(heads, 0, wide), torch.zeros(heads, 0, deep))
        both = [slot.get(layer, nothing) for slot in slots]
        keys, values = (_left_padded(rows, width, own_keys) for rows in zip(*both, strict=True))
        placed_keys = turned(keys, turns[rotation.kinds[layer]]).to(own_keys.dtype)
        own = receiver.own_rows
        cache.update(own(placed_keys), own(values.to(own_values.dtype)), layer)
    return real.to(receiver.device)


def _left_padded(rows: Sequence[Tensor], width: int, like: Tensor) -> Tensor:
    """Rows [heads, n, numbers] of several n as one batch, zeros before them."""
    wide = [nn.functional.pad(row, (0, 0, width - row.shape[1], 0)) for row in rows]
    return torch.stack(wide).to(like.device)


@contextmanager
def hidden(receiver: Receiver, cache: DynamicCache, slot: range, total: int) -> Iterator[None]:
    """Let layers whose caches lack the slot's columns compute without them.

    Args:
        receiver: the frozen model, called inside with an additive mask for all columns.
        cache: what the call gets.
        slot: which columns are the slot's.
        total: how many columns a layer's cache has that lacks none.
    """
    lengths = [keys.shape[2] for keys, _ in held(cache)] if slot else []
    short = [number for number, length in enumerate(lengths) if length < total]

    def cut(_module: nn.Module, given: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        mask = named.get("attention_mask")
        if not isinstance(mask, Tensor) or mask.ndim != 4:
            raise ReceiverError(
                f"receiver {receiver.name}: its layers cannot be left out of a cache one by one: "
                "they get no mask of their own; allowed: a port of all layers"
            )
        seen = torch.cat([mask[..., : slot.start], mask[..., slot.stop :]], dim=-1)
        return given, {**named, "attention_mask": seen}

    with ExitStack() as opened:
        stack = layer_stack(receiver) if short else nn.ModuleList()
        for number in short:
            hook = stack[number].register_forward_pre_hook(cut, with_kwargs=True)
            opened.callback(hook.remove)
        yield
