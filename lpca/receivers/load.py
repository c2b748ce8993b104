"""Find and load a receiver by name, identifier or path."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from lpca.base.arguments import DEVICES, DTYPES, RECEIVER
from lpca.base.errors import RequestError
from lpca.receivers.hashing import hash_tensors
from lpca.receivers.model import Receiver, freeze
from lpca.receivers.self_test import prove
from lpca.receivers.smollm2 import read_gguf, smollm2_folder

STUB = "stub"
SHIPPED = (STUB, "s1", "s2", "s3")
"""Small receivers in the package: one that reads `trip`, and one for each family of problems."""

_ALLOCATOR = ((-3, 2**31 - 1), (-1, 2**31 - 1))
"""glibc's M_MMAP_THRESHOLD and M_TRIM_THRESHOLD, both at their largest."""


def load_receiver(name: str = RECEIVER, device: str = "auto", dtype: str = "auto") -> Receiver:
    """Load a frozen receiver.

    Args:
        name: `smollm2-135m`, one of SHIPPED, a local folder, a `.gguf` file, or a Hugging Face id.
        device: one of DEVICES; `auto` takes CUDA, then MPS, then the CPU.
        dtype: one of DTYPES; `auto` takes bfloat16 on CUDA, else float32.

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
    where = _device(device)
    source = _source(name)
    model, tokenizer = _load(name, source)
    weights_hash = hash_tensors(model.named_parameters())
    model = _cast(model, where, _dtype(dtype, where))
    if where.type == "cpu" and model.dtype != torch.float32:
        # a CPU's fused attention takes twice as long in bfloat16 as its plain products
        model.set_attn_implementation("eager")
    receiver = Receiver(name, freeze(model), tokenizer, weights_hash)
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


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name not in DTYPES:
        raise RequestError(f"unknown dtype {name!r}; allowed: {', '.join(DTYPES)}")
    found: torch.dtype = getattr(torch, name)
    return found


def _cast(model: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Put the weights on a device, in a type.

    What is not stored with them but computed of the configuration, such as the angles of rotary
    positions, keeps its own type, as it does where transformers loads a model in that type.
    """
    stored = set(model.state_dict())
    computed = {name: own for name, own in model.named_buffers() if name not in stored}
    model = model.to(device=device, dtype=dtype)
    for name, own in computed.items():
        place, _, last = name.rpartition(".")
        setattr(model.get_submodule(place), last, own.to(device))
    return model


def _source(name: str) -> str:
    """Where a receiver is: a folder, a file, or an identifier of Hugging Face's."""
    if name == RECEIVER:
        return str(smollm2_folder())
    if name in SHIPPED:
        return str(files("lpca.receivers").joinpath(name))
    path = Path(name)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise RequestError(f"receiver {name}: no such file")
        return name
    looks_local = name.startswith((".", "/", "~")) or name.count("/") > 1
    if (path.is_dir() or looks_local) and not (path / "config.json").is_file():
        raise RequestError(f"receiver {name}: no folder with a config.json is there")
    return name


def _load(name: str, source: str) -> tuple[Any, Any]:
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        with _no_pickles():
            model, tokenizer, missing = _read(source)
    except Exception as error:
        # somebody's file, read by somebody's parser: it may raise anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise RequestError(
            f"receiver {name}: cannot be loaded: {reason}; allowed: {RECEIVER}, "
            f"{', '.join(SHIPPED)}, a folder or Hugging Face id of a causal language model with "
            "safetensors weights, a .gguf file"
        ) from error
    if missing:
        raise RequestError(
            f"receiver {name}: {len(missing)} of its tensors are missing ({missing[0]}); "
            "random ones would stand in for them"
        )
    return model, tokenizer


def _read(source: str) -> tuple[Any, Any, list[str]]:
    """Read model and tokenizer, and which weights are missing."""
    if Path(source).suffix == ".gguf":
        return read_gguf(Path(source))
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        source,
        trust_remote_code=False,
        use_safetensors=True,
        dtype="auto",
        output_loading_info=True,
    )
    model, found = loaded
    return model, tokenizer, sorted(found["missing_keys"])


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
