"""Checkpoints by their id on the Hugging Face Hub: the repository is the manifest and the weights.

No code is fetched or run: what a checkpoint's manifest names is lpca's own.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn

from lpca.base.errors import RequestError

FILES = ("manifest.json", "codec.safetensors")
_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(@[\w.-]+)?", re.ASCII)


def checkpoint_folder(name: str, what: str = "checkpoint", others: str = "") -> Path:
    """Find a checkpoint's folder, and fetch it where it is the Hub's.

    Args:
        name: a folder, or an id such as `org/name`, with `@revision` behind it where it is to be
            a certain one.
        what: what a message calls it.
        others: what else is allowed there, for the message.

    Returns:
        The folder; of an id that of one commit in the Hub's cache, also where it cannot be reached.

    Raises:
        RequestError: there is no such checkpoint, or it cannot be fetched.
    """
    if Path(name).is_dir():
        return Path(name).absolute()
    if not _ID.fullmatch(name) or Path(name).exists():
        why = "this is no folder" if Path(name[:200]).exists() else "no such folder"
        raise RequestError(
            f"{what} {name:.200}: {why}; allowed: a checkpoint's folder, "
            f"org/name@revision of the Hugging Face Hub{others}"
        )
    return _of_hub(name, what)


def _of_hub(name: str, what: str) -> Path:
    # only here: it takes a second, and most checkpoints are folders
    from huggingface_hub import snapshot_download

    from lpca.receivers.sources import NO_MODEL, NO_REVISION, cached_commit, hub_commit

    own, _, revision = name.partition("@")
    commit = hub_commit(own, revision or None)
    if commit == NO_MODEL:
        _refuse(
            f"{what} {name}", "no such folder, and Hugging Face has no such repository, or hides it"
        )
    if commit == NO_REVISION:
        _refuse(f"{what} {name}", f"Hugging Face has no revision {revision!r} of it")
    # asked for by its name, so that the cache knows which commit the name was
    named, cached = revision or "main", commit is None
    if cached and cached_commit(own, named) is None:
        _refuse(
            f"{what} {name}",
            "no such folder; Hugging Face cannot be reached, and its cache has none",
        )
    try:
        folder = snapshot_download(
            own, revision=named, allow_patterns=list(FILES), local_files_only=cached
        )
    except Exception as error:  # whatever the network or the disk does
        _refuse(f"{what} {name}", f"cannot be fetched: {' '.join(str(error).split())[:200]}")
    if lacking := [file for file in FILES if not (Path(folder) / file).is_file()]:
        _refuse(f"{what} {name}", f"no checkpoint of lpca's: {', '.join(lacking)} is not there")
    return Path(folder)


def _refuse(name: str, why: str) -> NoReturn:
    raise RequestError(f"{name}: {why}") from None
