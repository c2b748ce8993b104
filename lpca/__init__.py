"""LPCA: does a latent channel carry meaning to a frozen language model?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lpca.base import __version__ as __version__

if TYPE_CHECKING:
    from lpca.api import GateRun as GateRun
    from lpca.api import run_gate as run_gate
    from lpca.receivers.load import load_receiver as load_receiver

_LAZY = {
    "GateRun": "lpca.api",
    "run_gate": "lpca.api",
    "load_receiver": "lpca.receivers.load",
}


def __getattr__(name: str) -> object:
    """What needs torch is imported when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
