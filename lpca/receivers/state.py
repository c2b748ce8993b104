"""What a model computes with, as it is in memory now: by this a changed receiver is known.

The same weights compute something else where a buffer, a number in a module, the configuration, a
hook or a method was changed. Each of these is an entry with a digest; two states differ where an
entry does. What no entry shows (a function of torch that was replaced) shows in the logits of a
few fixed probes.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules import module as torch_module

from lpca.base.hashing import hash_data, named_seed
from lpca.receivers.attention import KEEP, takes
from lpca.receivers.hashing import tensor_sha256, tensor_sums

PROBES, PROBE_LENGTH = 2, 12
"""Rows of tokens, and as many of vectors; how long each of them is at loading. Of longer probes
there is one row each."""
PROBES_MOVE = {torch.float32: 1e-5}
"""How far probes may move, the mean of a row's log-probabilities in nats: by rounding alone, where
the number of threads changed since."""
COARSE_PROBES_MOVE = 0.05
"""For bfloat16 and float16."""
DEPTH = 6
"""How far values that hold values are followed."""

_HOOKS = ("forward_pre_hooks", "forward_hooks", "backward_pre_hooks", "backward_hooks")
_KEPT_APART = frozenset(
    {"_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "training"}
)
"""Attributes of every module that hold what has entries of its own."""
_NOTES = frozenset(
    {
        *("warnings_issued", "_is_full_backward_hook", "_original_object_hash"),
        *("name_or_path", "_name_or_path", "_previous_max_cache_length"),
    }
)
"""What was warned of, that there was a hook, where files lay, how long a cache was: nothing
computes by any of it."""
_OF_CLASSES = frozenset(
    {
        *("__dict__", "__weakref__", "__doc__", "__abstractmethods__", "_abc_impl"),
        *("__slotnames__", "_can_set_attn_implementation_cached_value"),
        "_can_set_experts_implementation_cached_value",
    }
)
"""What Python and transformers note on a class as they go: other instances of it are loaded too."""
_FILED = _NOTES | {"dtype", "architectures", "transformers_version"}
"""What a configuration also holds for files alone, and saving a model may change."""

Probes = Tensor | str
"""The probes' logits, float32 [2 * rows, vocabulary]; what was raised in place of them."""


@dataclass(frozen=True)
class Change:
    """How a model is not as it was.

    Attributes:
        told: in words, for people.
        name: names what it is now.
    """

    told: str
    name: str


@dataclass(frozen=True, eq=False)
class ModelState:
    """A model as it was at one moment.

    Attributes:
        entries: digests by what they are of, such as `model.norm.weight`; none of a quick look.
        sums: as `entries`, but that of tensors only the sums of their pieces' bits are known, made
            where the tensor lies. Whatever trains, scales or replaces weights is seen; not a
            permutation within one piece, which only who means to hide it makes, and probes show.
        probes: the logits of the probes by how long their rows are.
    """

    entries: Mapping[str, str]
    sums: Mapping[str, str]
    probes: dict[int, Probes]

    @property
    def hash(self) -> str:
        """SHA-256 of all entries."""
        return hash_data(dict(self.entries))

    @classmethod
    def of(
        cls,
        model: torch.nn.Module,
        lengths: Collection[int] = (PROBE_LENGTH,),
        quick: bool = False,
        **more: str,
    ) -> ModelState:
        """The state of a model now.

        Args:
            model: the model.
            lengths: of the probes' rows.
            quick: whether sums will do, as often as blocks of outcomes are kept.
            more: digests of what goes with the model.
        """
        # first, the shortest last: see `probe_logits`
        probes = {length: probe_logits(model, length) for length in sorted(lengths, reverse=True)}
        entries = {} if quick else _entries(model, tensor_sha256) | more
        return cls(entries, _entries(model, tensor_sums) | more, probes)

    def changes(self, now: ModelState) -> list[str]:
        """What is not as it was, by name, sorted."""
        pair = (self.entries, now.entries) if now.entries else (self.sums, now.sums)
        before, after = pair
        return sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))

    def moved(self, now: ModelState) -> float:
        """How far the probes' log-probabilities lie apart, the mean of each row's, at most.

        Of those that both states have; 0 where there are none.
        """
        both = self.probes.keys() & now.probes.keys()
        return max((_apart(self.probes[length], now.probes[length]) for length in both), default=0)

    def change(self, now: ModelState, dtype: torch.dtype) -> Change | None:
        """How the model is not as it was, by whichever look; None where it is.

        Args:
            now: its state, with probes of these lengths.
            dtype: the type it computes in, in which probes may move by rounding.
        """
        if changed := self.changes(now):
            what = f"parameters, buffers, settings, hooks or code changed ({len(changed)}: "
            return Change(f"the receiver's {what}{changed[0]})", hash_data(dict(now.sums)))
        if (moved := self.moved(now)) <= PROBES_MOVE.get(dtype, COARSE_PROBES_MOVE):
            return None
        # code outside of it was changed, or weights more cleverly than sums tell
        did = [one if isinstance(one, str) else tensor_sha256(one) for one in now.probes.values()]
        told = f"the receiver gives fixed probes other logits, by {moved:.2g} nats"
        return Change(told, hash_data(did))


def _apart(before: Probes, now: Probes) -> float:
    if isinstance(before, str) or isinstance(now, str):
        return 0.0 if before is now or before == now else float("inf")
    off = before.log_softmax(-1) - now.log_softmax(-1)
    # so written that NaN counts as far
    return float(off.abs().mean(-1).nan_to_num(nan=float("inf")).max())


def probe_logits(model: torch.nn.Module, length: int) -> Probes:
    """Logits at the ends of fixed rows of a length: of tokens, and of vectors as injected ones are.

    In one pass, since most of its time goes into reading the weights: tokens go through the table
    first, whose own code is an entry. Rotary embeddings that depend on the length keep what the
    longest text needed, until a short one comes: so one does. A vector is the mean of two tokens'
    embeddings. What the model raises is returned in words: it was no such model when it was loaded.
    """
    try:
        table: Any = model.get_input_embeddings()  # type: ignore[operator]
        device = table.weight.device
        draw = torch.Generator().manual_seed(named_seed("receiver", "probes"))
        shape = (3, PROBES if length == PROBE_LENGTH else 1, length)
        ids, one, other = torch.randint(table.num_embeddings, shape, generator=draw).to(device)
        with torch.no_grad():
            rows = torch.cat([table(ids), (table(one) + table(other)) / 2])
            # transformers hooks into layers whose states are asked for: from the start, then
            how = {"use_cache": False, "output_hidden_states": True}
            # as an index, which copies: see `lpca.receivers.forward.forward`
            last = torch.tensor([length - 1], device=device)
            kept = {KEEP: last} if takes(type(model).forward, KEEP) else {}
            if length > PROBE_LENGTH:
                model(input_ids=ids[:, :2], **how)
            ends = model(inputs_embeds=rows, **how, **kept).logits[:, -1]
        return torch.as_tensor(ends).float().cpu()
    except Exception as error:
        # somebody's model, which may raise anything
        return f"{type(error).__name__}: {error}"


def _entries(model: torch.nn.Module, digest: Callable[[Tensor], str]) -> dict[str, str]:
    """Digests of all that a model computes with; equal tensors in memory are read once."""
    known: dict[tuple[object, ...], str] = {}

    def of_tensor(tensor: Tensor) -> str:
        key = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride(), tensor.device)
        if key not in known:
            known[key] = digest(tensor)
        return known[key]

    found = {"hooks of all modules": hash_data(_hooks(torch_module.__dict__, "_global_"))}
    classes: dict[type, None] = {}
    described: set[int] = set()
    for name, module in model.named_modules(remove_duplicate=False):
        prefix = f"{name}." if name else ""
        for kind in (module._parameters, module._buffers):
            for own, tensor in kind.items():
                if tensor is not None:
                    found[prefix + own] = of_tensor(tensor)
        found[f"{prefix}hooks"] = hash_data(_hooks(vars(module), "_"))
        found[f"{prefix}class"] = hash_data([_named(type(module)), module.training])
        for own, value in vars(module).items():
            if own in _KEPT_APART or own in _NOTES or "_hooks" in own:
                continue
            if isinstance(value, Tensor):
                found[prefix + own] = of_tensor(value)
            elif id(value) not in described:
                # a configuration is every module's, and the same
                if hasattr(value, "to_dict"):
                    described.add(id(value))
                found[prefix + own] = hash_data(_described(value))
        classes.update(dict.fromkeys(type(module).__mro__))
    for one in classes:
        if one is not object:
            found[f"code of {_named(one)}"] = hash_data(_members(one))
    for home in sorted({one.__module__ for one in classes if not _is_torchs(one)}):
        functions = vars(sys.modules[home]) if home in sys.modules else {}
        own_functions = [
            [name, _code(value)]
            for name, value in sorted(functions.items())
            if isinstance(value, FunctionType)
        ]
        found[f"functions of {home}"] = hash_data(own_functions)
    return found


def _is_torchs(one: type) -> bool:
    return one.__module__.split(".")[0] in ("torch", "builtins")


def _named(one: type) -> str:
    return f"{one.__module__}.{one.__qualname__}"


def _hooks(attributes: Mapping[str, Any], prefix: str) -> list[object]:
    return [[_code(hook) for hook in attributes[prefix + kind].values()] for kind in _HOOKS]


def _members(one: type) -> list[object]:
    """The code of a class's own methods and properties, and the plain values in it."""
    return [
        [name, _described(value)]
        for name, value in sorted(vars(one).items())
        if name not in _OF_CLASSES
    ]


def _described(value: object, depth: int = DEPTH) -> object:
    """What a value is, in data: its content where it is plain, the code where it is code."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | complex | bytes | torch.dtype | torch.device):
        return repr(value)
    if isinstance(value, staticmethod | classmethod):
        return _code(value.__func__)
    if isinstance(value, property):
        return [_code(one) for one in (value.fget, value.fset) if one is not None]
    if depth == 0 or isinstance(value, type | torch.nn.Module):
        return _named(value if isinstance(value, type) else type(value))
    if isinstance(value, Mapping):
        return [[_described(name, 0), _described(own, depth - 1)] for name, own in value.items()]
    if isinstance(value, list | tuple):
        return [_described(own, depth - 1) for own in value]
    if isinstance(value, set | frozenset):
        return sorted(str(_described(one, 0)) for one in value)
    if callable(value):
        return _code(value, depth - 1)
    if hasattr(value, "to_dict"):
        return [
            _named(type(value)),
            [
                [name, _described(own, depth - 1)]
                for name, own in sorted(vars(value).items())
                if name not in _FILED
            ],
        ]
    return _named(type(value))


def _code(function: object, depth: int = DEPTH) -> object:
    """What a function does: its instructions and constants, and what it closes over."""
    if isinstance(function, functools.partial):
        given = [_described(list(function.args), depth - 1), _described(function.keywords, 1)]
        return [_code(function.func, depth), given]
    if isinstance(function, MethodType):
        return _code(function.__func__, depth)
    if not isinstance(function, FunctionType):
        kind = function if isinstance(function, type) else type(function)
        return [_named(kind), getattr(function, "__qualname__", "")]
    found: list[object] = [_instructions(function.__code__)]
    if depth > 0:
        given = [function.__defaults__ or (), function.__kwdefaults__ or {}]
        found += [_described(value, 1) for value in given]
        found += [_closed(cell, depth - 1) for cell in function.__closure__ or ()]
    return found


def _closed(cell: Any, depth: int) -> object:
    try:
        held = cell.cell_contents
    except ValueError:
        # nothing yet
        return None
    # what holds values, a decorator may fill as it goes
    return _named(type(held)) if isinstance(held, list | dict | set) else _described(held, depth)


def _instructions(code: CodeType) -> list[object]:
    return [code.co_code.hex(), list(code.co_names), list(_constants(code.co_consts))]


def _constants(constants: tuple[object, ...]) -> Iterator[object]:
    for one in constants:
        if isinstance(one, CodeType):
            yield _instructions(one)
        elif isinstance(one, frozenset):
            yield sorted(map(repr, one))
        else:
            yield repr(one)
