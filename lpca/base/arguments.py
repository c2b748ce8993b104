"""What a user may ask for on a command line or in a call: k, a training seed, a codec's name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from lpca.base.errors import RequestError

AUTO = "auto"
DEVICES = (AUTO, "cpu", "cuda", "mps")
DTYPES = (AUTO, "float32", "bfloat16", "float16")
ATTENTIONS = (AUTO, "eager", "sdpa", "flash_attention_2")
NO_MAP = "none"
MAPS = (NO_MAP, AUTO, "balanced", "sequential")
LOADING: Mapping[str, Mapping[str, Any]] = {
    "device": {"default": AUTO, "choices": DEVICES},
    "dtype": {"default": AUTO, "choices": DTYPES},
    "attn": {"default": AUTO, "choices": ATTENTIONS, "help": "how attention is computed"},
    "device_map": {
        "default": NO_MAP,
        "choices": MAPS,
        "help": "divide a receiver that is larger than one GPU among several (lpca[processes])",
    },
}
"""How a receiver is loaded: the arguments of `load_receiver`, each an option of every command."""
RECEIVER = "smollm2-135m"
"""What stands in for B unless told otherwise."""
MAX_K = 512
"""The most latents a codec may have."""
CODEC_SECONDS = 600.0
"""How long a side may take to be made, and for each answer, unless it is told otherwise."""
CODEC_MEMORY = 0.75
"""Of the machine's memory, what a side may have unless it is told otherwise."""
GIB = 1 << 30
_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_CODEC = re.compile(rf"({_DOTTED}):({_DOTTED})")
MAX_SEED = 2**63 - 1
"""The largest seed that every generator takes."""


def add_loading(add: Callable[..., object], *names: str) -> None:
    """Add LOADING's options, or those named, by a parser's method that adds one."""
    for name in names or LOADING:
        add(f"--{name.replace('_', '-')}", **LOADING[name])


def add_walled(add: Callable[..., object]) -> None:
    """Add the options of where a codec of one's own runs, by a parser's method that adds one."""
    add(
        "--in-process",
        action="store_true",
        help="trust the codec: run it in the judge's own process, not in two of its own",
    )
    add(
        "--codec-seconds",
        type=float,
        default=CODEC_SECONDS,
        metavar="S",
        help=f"how long making it, and each answer of its processes, may take ({CODEC_SECONDS:g})",
    )
    add(
        "--codec-memory",
        type=float,
        metavar="GIB",
        help="how much memory each of its two sides may have (Linux; three quarters of all)",
    )


def check_walled(asked: Any) -> None:
    """Raise RequestError where these options, and `codec` beside them, are not as they must be."""
    if not 0 < asked.codec_seconds < math.inf:
        raise RequestError(f"--codec-seconds {asked.codec_seconds}: allowed: seconds above 0")
    if asked.codec_memory is not None and not 0 < asked.codec_memory < math.inf:
        raise RequestError(f"--codec-memory {asked.codec_memory}: allowed: GiB above 0")
    if asked.codec is None and asked.in_process:
        raise RequestError("--in-process: allowed: beside --codec")


def walled(asked: Any) -> dict[str, Any]:
    """What was asked for of the limits of a side, as arguments of `Wall`."""
    memory = {} if asked.codec_memory is None else {"memory": int(asked.codec_memory * GIB)}
    return {"seconds": asked.codec_seconds, **memory}


def loading(parsed: object) -> dict[str, Any]:
    """What was asked for of LOADING, as arguments of `load_receiver`."""
    return {name: getattr(parsed, name) for name in LOADING if hasattr(parsed, name)}


def parse_ks(text: str) -> tuple[int, ...]:
    """Read `--k`: whole numbers from 1 to MAX_K, separated by commas; RequestError otherwise."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 10 and 1 <= int(part) <= MAX_K for part in parts):
        raise RequestError(
            f"--k {text[:40]}: allowed: whole numbers from 1 to {MAX_K}, as in --k 4,8"
        )
    return tuple(dict.fromkeys(int(part) for part in parts))


def parse_seed(option: str, seed: int) -> int:
    """Return a training seed that can be one; RequestError otherwise."""
    if not 0 <= seed <= MAX_SEED:
        raise RequestError(f"{option} {seed}: allowed: whole numbers from 0 to {MAX_SEED}")
    return seed


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read `--train-seeds`: two or more different training seeds; RequestError otherwise."""
    parts = [part.strip() for part in text.split(",")]
    whole = all(part.isdecimal() and len(part) < 20 and int(part) <= MAX_SEED for part in parts)
    seeds = tuple(int(part) for part in parts) if whole else ()
    if len(seeds) < 2 or len(set(seeds)) < len(seeds):
        raise RequestError(
            f"--train-seeds {text[:40]}: allowed: two or more different whole numbers from 0 to "
            f"{MAX_SEED}, as in --train-seeds 0,1,2"
        )
    return seeds


def parse_codec(text: str, option: str = "--codec") -> tuple[str, str]:
    """Read `--codec` into a module's name and that of a factory in it; RequestError otherwise."""
    found = _CODEC.fullmatch(text)
    if found is None:
        raise RequestError(
            f"{option} {text[:80]}: allowed: package.module:factory, as in {option} my_codec:make"
        )
    return found[1], found[2]
