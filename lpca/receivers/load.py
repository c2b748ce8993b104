"""Find and load a receiver by name, identifier or path."""

from __future__ import annotations

import copy
import ctypes
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import torch
from huggingface_hub import constants
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging
from transformers.utils.import_utils import is_flash_attn_2_available

from lpca.base.arguments import ATTENTIONS, AUTO, DEVICES, DTYPES, MAPS, NO_MAP, RECEIVER
from lpca.base.errors import RequestError, needed
from lpca.receivers.hashing import hash_tensors
from lpca.receivers.model import Receiver, freeze
from lpca.receivers.self_test import prove
from lpca.receivers.smollm2 import read_gguf
from lpca.receivers.sources import ALLOWED, Source, source_of

QUANTISERS = {
    "bitsandbytes": ("bitsandbytes", "accelerate"),
    "gptq": ("gptqmodel", "optimum", "accelerate"),
    "awq": ("gptqmodel", "accelerate"),
}
"""The packages that transformers takes for quantised weights, by how their method begins."""

LARGE = 100_000_000
"""Weights from which bfloat16 pays on a processor that multiplies it, its noise being read.

At SmolLM2's 135 million a gate of 400 episodes takes 0.55 of the processor time
(`docs/lab/precision.md`). Small receivers, such as the shipped ones, stay float32 everywhere: what
they come to depends on no processor.
"""
BFLOAT16 = ("avx512_bf16", "amx_bf16")
"""What a processor is told to have that multiplies bfloat16 in hardware."""
_MEMORY = 1 << 62
_ALLOCATOR = ((-3, 2**31 - 1), (-1, 2**31 - 1))
"""glibc's M_MMAP_THRESHOLD and M_TRIM_THRESHOLD, both at their largest."""


def load_receiver(
    name: str = RECEIVER,
    device: str = AUTO,
    dtype: str = AUTO,
    attn: str = AUTO,
    device_map: str = NO_MAP,
) -> Receiver:
    """Load a frozen receiver.

    Args:
        name: `smollm2-135m`, one of SHIPPED, a local folder, a `.gguf` file, or a Hugging Face id,
            with `@revision` behind it where it is to be a certain one.
        device: one of DEVICES; `auto` takes CUDA, then MPS, then the CPU.
        dtype: one of DTYPES; `auto` takes bfloat16 on CUDA, and on a CPU that multiplies it in
            hardware for a model of LARGE weights or more, else float32; a quantised model as it is
            stored.
        attn: one of ATTENTIONS; `auto` takes the model's own, on a CPU eager but in float32.
        device_map: one of MAPS; how accelerate divides a model among several GPUs.

    Returns:
        The receiver on its device, every parameter frozen.

    Raises:
        RequestError: the device is absent, or the model cannot be found, or not be read exactly.
        ReceiverError: the default receiver's weights cannot be fetched.

    Example:
        >>> receiver = load_receiver("stub", device="cpu")
        >>> receiver.name, receiver.dtype
        ('stub', torch.float32)
    """
    keep_freed_memory()
    for option, value, allowed in (("attn", attn, ATTENTIONS), ("device_map", device_map, MAPS)):
        if value not in allowed:
            raise RequestError(f"unknown {option} {value!r}; allowed: {', '.join(allowed)}")
    where = _device(device)
    _refuse_dtype(dtype)
    source = source_of(name)
    model, tokenizer = _load(name, source, _Way(where, dtype, device_map))
    quantised = getattr(model.config, "quantization_config", None) is not None
    # a quantised model's weights are buffers too
    weights_hash = hash_tensors(
        model.state_dict().items() if quantised else model.named_parameters()
    )
    if not quantised:
        wanted = _chosen(where, model) if dtype == AUTO else getattr(torch, dtype)
        model = _cast(model, None if device_map != NO_MAP else where, wanted)
    _attend(name, model, attn)
    receiver = Receiver(
        name,
        freeze(model),
        tokenizer,
        weights_hash,
        revision=source.revision or "",
        device_map=device_map,
    )
    prove(receiver)
    return replace(receiver, loaded=receiver.state())


def _device(name: str) -> torch.device:
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return torch.device(next(d for d in ("cuda", "mps", "cpu") if present[d]))
    if name not in present:
        raise RequestError(f"unknown device {name!r}; allowed: {', '.join(DEVICES)}")
    if not present[name]:
        here = ", ".join(d for d, is_there in present.items() if is_there)
        raise RequestError(f"device {name} is not available here; available: {here}")
    return torch.device(name)


def _refuse_dtype(name: str) -> None:
    if name not in DTYPES:
        raise RequestError(f"unknown dtype {name!r}; allowed: {', '.join(DTYPES)}")


def _chosen(device: torch.device, model: torch.nn.Module) -> torch.dtype:
    """The type that `auto` takes for a model on a device."""
    if device.type == "cuda":
        return torch.bfloat16
    weights = sum(parameter.numel() for parameter in model.parameters())
    pays = device.type == "cpu" and weights >= LARGE and multiplies_bfloat16()
    return torch.bfloat16 if pays else torch.float32


def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware, and torch by it.

    Elsewhere its products are several times as slow as those of float32.
    """
    kernels: Any = torch.backends.mkldnn
    if not kernels.is_available():
        return False
    if (told := getattr(torch.cpu, "get_capabilities", None)) is not None:
        return any(told().get(name) for name in BFLOAT16)
    info = Path("/proc/cpuinfo")
    flags = info.read_text(encoding="utf-8").split() if info.is_file() else []
    return any(name in flags for name in BFLOAT16)


def _cast(model: Any, device: torch.device | None, dtype: torch.dtype) -> Any:
    """Put the weights on a device, in a type; None leaves each where it is.

    What keeps its own type where transformers loads a model in that type keeps it here too: what is
    not stored with the weights but computed of the configuration, such as the angles of rotary
    positions, and what the model's code wants in float32.
    """
    stored = set(model.state_dict())
    computed = {name: own for name, own in model.named_buffers() if name not in stored}
    exact = _in_float32(model, dtype)
    weights = [(own, own.data) for name, own in model.named_parameters() if name in exact]
    computed |= {name: own.float() for name, own in model.named_buffers() if name in exact}
    # by torch's own: that of a model which is divided among devices refuses
    torch.nn.Module.to(model, device=device, dtype=dtype)
    for own, held in weights:
        own.data = held.to(own.device, torch.float32)
    for name, own in computed.items():
        place, _, last = name.rpartition(".")
        setattr(model.get_submodule(place), last, own if device is None else own.to(device))
    return model


def _in_float32(model: Any, dtype: torch.dtype) -> set[str]:
    """The stored tensors that a model's code wants in float32, whatever type it is loaded in.

    Its class names some by parts of their names, in which `*` stands for anything; others it makes
    in that type itself.
    """
    if dtype == torch.float32:
        return set()
    with torch.device("meta"):
        config = copy.deepcopy(model.config)
        empty: Any = AutoModelForCausalLM.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
    parts = [*(model._keep_in_fp32_modules_strict or ())]
    if dtype == torch.float16:
        parts += model._keep_in_fp32_modules or ()
    named = re.compile("|".join(part.replace("*", ".*") for part in parts) or "(?!)")
    return {
        name
        for name, own in empty.state_dict().items()
        if own.dtype == torch.float32 or named.search(name)
    }


def load_outline(name: str = RECEIVER) -> Receiver:
    """Load what a receiver makes of texts: its tokenizer and its configuration, and no weights.

    Args:
        name: as for `load_receiver`.

    Returns:
        A receiver whose weights are empty: it tells token ids and lengths, and computes nothing.

    Raises:
        RequestError: the model cannot be found, or not be read.
        ReceiverError: the default receiver's files cannot be fetched.

    Example:
        >>> outline = load_outline("stub")
        >>> outline.message_ids("I am off.") == load_receiver("stub").message_ids("I am off.")
        True
        >>> outline.device.type
        'meta'
    """
    source = source_of(name)
    with _reading(name, source):
        where = _where(source)
        config = AutoConfig.from_pretrained(**where)
        tokenizer = AutoTokenizer.from_pretrained(**where)
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    return Receiver(name, freeze(model), tokenizer, "", revision=source.revision or "")


@contextmanager
def _reading(name: str, source: Source) -> Iterator[None]:
    """Read somebody's files quietly; whatever is wrong with them becomes a RequestError."""
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with _no_pickles(), _no_network(source):
            yield
    except RequestError as error:
        raise RequestError(f"receiver {name}: cannot be loaded: {error}; {ALLOWED}") from error
    except Exception as error:
        # somebody's file, read by somebody's parser: it may raise anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise RequestError(
            f"receiver {name}: cannot be loaded: {reason:.300}; {ALLOWED}"
        ) from error


def _load(name: str, source: Source, way: _Way) -> tuple[Any, Any]:
    with _reading(name, source):
        model, tokenizer, missing = _read(source, way)
    if missing:
        raise RequestError(
            f"receiver {name}: {len(missing)} of its tensors are missing ({missing[0]}); "
            "random ones would stand in for them"
        )
    if any(parameter.is_meta for parameter in model.parameters()):
        raise RequestError(
            f"receiver {name}: it is larger than the devices of --device-map {way.device_map}: "
            "parts of it would lie outside of them, and be fetched for each token"
        )
    return model, tokenizer


def _read(source: Source, way: _Way) -> tuple[Any, Any, list[str]]:
    """Read model and tokenizer, and which weights are missing."""
    if source.gguf is not None:
        if way.device_map != NO_MAP:
            raise RequestError(f"--device-map {way.device_map} takes no .gguf file")
        return read_gguf(source.gguf)
    where = _where(source)
    config = AutoConfig.from_pretrained(**where)
    how = way.arguments(getattr(config, "quantization_config", None))
    tokenizer = AutoTokenizer.from_pretrained(**where)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        **where, **how, use_safetensors=True, output_loading_info=True
    )
    model, found = loaded
    return model, tokenizer, sorted(found["missing_keys"])


def _where(source: Source) -> dict[str, Any]:
    """Where a receiver's files are, as `from_pretrained` is told."""
    if source.gguf is not None:
        path = source.gguf
        return {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    where = {"pretrained_model_name_or_path": source.place, "trust_remote_code": False}
    revision = {} if source.revision is None else {"revision": source.revision}
    return {**where, "local_files_only": source.cached, **revision}


@dataclass(frozen=True)
class _Way:
    """Where a model is put and in which type, as asked for."""

    device: torch.device
    dtype: str
    device_map: str

    def arguments(self, quantised: object) -> dict[str, Any]:
        """What `from_pretrained` is given, beside where the files are."""
        given: dict[str, Any] = {"dtype": "auto"}
        if self.device_map != NO_MAP:
            needed("accelerate", "processes", f"--device-map {self.device_map}")
            given["device_map"] = self.device_map
            if self.device.type == "cpu":
                given["max_memory"] = {"cpu": _MEMORY}
        if quantised is not None:
            _refuse_without_package(quantised)
            # packed as they are stored, they are neither moved nor cast afterwards
            given.setdefault("device_map", {"": str(self.device)})
            if self.dtype != "auto":
                given["dtype"] = getattr(torch, self.dtype)
        return given


def _refuse_without_package(quantised: Any) -> None:
    told = quantised if isinstance(quantised, dict) else vars(quantised)
    method = str(getattr(told.get("quant_method"), "value", told.get("quant_method")))
    packages = next((p for own, p in QUANTISERS.items() if method.startswith(own)), ())
    lacking = [own for own in packages if find_spec(own) is None]
    if lacking:
        names = " ".join(lacking)
        raise RequestError(
            f"its weights are quantised ({method}), which takes {names}: pip install {names}"
        )


def _attend(name: str, model: Any, attn: str) -> None:
    """Let a model compute attention as asked for."""
    if attn == AUTO:
        if model.device.type == "cpu" and model.dtype != torch.float32:
            # a CPU's fused attention takes twice as long in bfloat16 as its plain products
            model.set_attn_implementation("eager")
        return
    if attn == "flash_attention_2" and not is_flash_attn_2_available():
        raise RequestError(
            f"--attn {attn}: the package flash-attn, or a GPU that it runs on, is not there; "
            "allowed here: eager, sdpa"
        )
    try:
        model.set_attn_implementation(attn)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [repr(error)])[0]
        raise RequestError(f"receiver {name}: --attn {attn}: {reason:.300}") from error
    if (used := model.config._attn_implementation) != attn:
        raise RequestError(f"receiver {name}: --attn {attn}: its model takes {used} only")


@contextmanager
def _no_pickles() -> Iterator[None]:
    """Asking for safetensors is not enough: an index of them may name pickles as its parts."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise RequestError("some of its weights are a pickle")

    load, torch.load = torch.load, refuse
    try:
        yield
    finally:
        torch.load = load


@contextmanager
def _no_network(source: Source) -> Iterator[None]:
    """Reading files of the cache alone is not enough: tokenizers ask for more by themselves."""
    offline = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = offline or source.cached
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline


def keep_freed_memory() -> None:
    """Tell glibc's allocator neither to map large blocks singly nor to give memory back.

    A forward pass frees and takes the same few megabytes hundreds of times; where page faults are
    dear (virtual machines, sandboxes) that costs several times the arithmetic. Does nothing on
    other C libraries.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for parameter, value in _ALLOCATOR:
        libc.mallopt(parameter, value)
