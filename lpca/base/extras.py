"""Packages that only some users need: each is an extra of lpca."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lpca.base.errors import RequestError


def needed(module: str, extra: str, what: str) -> Any:
    """Import a module of one of lpca's extras.

    Args:
        module: its dotted name.
        extra: the extra of which its package is a part, as in pyproject.toml.
        what: what needs it, for the message: "architecture residual_vq", "--engine ray".

    Raises:
        RequestError: the package is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        name = module.partition(".")[0].replace("_", "-")
        raise RequestError(
            f"{what}: the package {name} is not installed; pip install 'lpca[{extra}]'"
        ) from error
