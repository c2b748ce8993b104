"""Packages that only some architectures need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lpca.base.errors import RequestError


def needed(module: str, what: str) -> Any:
    """Import a module of the extra `codecs`; RequestError where it is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise RequestError(
            f"architecture {what}: the package {module.replace('_', '-')} is not installed; "
            "pip install 'lpca[codecs]'"
        ) from error
