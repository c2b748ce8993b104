"""Where a receiver is, by its name: in the package, a folder, a file, or on the Hugging Face Hub.

A name that is none is answered at once, with the name that was probably meant. The Hub is asked
once, for SECONDS at most; where it does not answer, what the cache holds is read without it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import NoReturn

from lpca.base.arguments import RECEIVER
from lpca.base.errors import RequestError
from lpca.receivers.smollm2 import smollm2_folder

STUB = "stub"
SHIPPED = (STUB, "s1", "s2", "s3")
"""Small receivers in the package: one that reads `trip`, and one for each family of problems."""
ALLOWED = (
    f"allowed: {RECEIVER}, {', '.join(SHIPPED)}, a folder or Hugging Face id of a causal language "
    "model with safetensors weights (org/name@revision names one), a .gguf file"
)
SECONDS = 3.0
"""How long the Hub may take to answer."""
ALIKE = 0.75
"""From which likeness on, as `difflib` has it, one name was probably meant for another."""
NO_MODEL, NO_REVISION = "no such model", "no such revision"
_ID = re.compile(r"[\w.-]+(?:/[\w.-]+)?", re.ASCII)


@dataclass(frozen=True)
class Source:
    """Where a receiver's files are.

    Attributes:
        place: a folder, a `.gguf` file, or an id of the Hub's.
        revision: the commit of the id; None for what is none.
        cached: whether only what the Hub's cache holds is to be read.
    """

    place: str
    revision: str | None = None
    cached: bool = False

    @property
    def gguf(self) -> Path | None:
        """The file, where it is one of llama.cpp's format."""
        path = Path(self.place)
        return path if path.suffix.lower() == ".gguf" else None


def source_of(name: str) -> Source:
    """Find a receiver by its name.

    Args:
        name: `smollm2-135m`, one of SHIPPED, a folder, a `.gguf` file, or an id of the Hub's, with
            `@revision` behind it where it is to be a certain one.

    Raises:
        RequestError: there is no such thing; the text names what was probably meant.
        ReceiverError: the default receiver's weights cannot be fetched.
    """
    if name == RECEIVER:
        return Source(str(smollm2_folder()))
    if name in SHIPPED:
        return Source(str(files("lpca.receivers").joinpath(name)))
    path = _expanded(name)
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise RequestError(f"receiver {name}: no such file{_meant(path.name, _beside(path))}")
        return Source(str(path))
    looks_local = name.startswith((".", "/", "~")) or name.count("/") > 1
    if path.is_file():
        raise RequestError(f"receiver {name}: this file is no .gguf; {ALLOWED}")
    if path.is_dir() or looks_local:
        if not (path / "config.json").is_file():
            meant = _meant(path.name, _beside(path))
            raise RequestError(f"receiver {name}: no folder with a config.json is there{meant}")
        return Source(str(path))
    return _of_hub(name)


def _expanded(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:
        # nobody has that home
        return Path(name)


def _of_hub(name: str) -> Source:
    own, _, revision = name.partition("@")
    cached = own in set(_cached_ids())
    known = [RECEIVER, *SHIPPED, *_beside(Path(own)), *_cached_ids()]
    meant = _meant(own, [one for one in known if one != own])
    if not _ID.fullmatch(own) or ("@" in name and not revision):
        _refuse(name, "it is no name of a receiver", meant)
    if own in (RECEIVER, *SHIPPED):
        _refuse(name, "only an id of Hugging Face's has revisions")
    if "/" not in own and meant and not cached:
        # an id without an organisation is rare; this one is nearly one of ours
        _refuse(name, "there is no such receiver", meant)
    commit = hub_commit(own, revision or None)
    if commit == NO_MODEL:
        _refuse(name, "Hugging Face has no such model, or shows it only to others", meant)
    if commit == NO_REVISION:
        _refuse(name, f"Hugging Face has no revision {revision!r} of it")
    if commit is not None:
        return Source(own, commit)
    beyond = "is not in the cache, and Hugging Face cannot be reached"
    if not cached:
        _refuse(name, f"it {beyond}", meant)
    if (kept := cached_commit(own, revision or "main")) is None:
        _refuse(name, f"revision {revision or 'main'!r} of it {beyond}")
    return Source(own, kept, cached=True)


def _refuse(name: str, why: str, meant: str = "") -> NoReturn:
    so = f"{meant} " if meant else "; "
    raise RequestError(f"receiver {name}: cannot be loaded: {why}{so}{ALLOWED}")


def hub_commit(own: str, revision: str | None) -> str | None:
    """The commit that the Hub has for an id and revision, or what it lacks; None: no answer."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    if constants.HF_HUB_OFFLINE:
        return None
    said: list[str] = []

    def ask() -> None:
        try:
            said.append(str(HfApi().model_info(own, revision=revision, timeout=SECONDS).sha))
        except RevisionNotFoundError:
            said.append(NO_REVISION)
        except RepositoryNotFoundError:
            said.append(NO_MODEL)
        except Exception:
            # no network, a proxy that refuses, a server in trouble: whatever it is, no answer
            pass

    # looking an address up has no time limit of its own
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(SECONDS)
    return said[0] if said else None


def _cached_ids() -> Iterator[str]:
    """The ids of models in the Hub's cache."""
    from huggingface_hub import constants

    try:
        found = sorted(Path(constants.HF_HUB_CACHE).glob("models--*"))
    except OSError:
        return
    for folder in found:
        yield folder.name.removeprefix("models--").replace("--", "/")


def cached_commit(own: str, revision: str) -> str | None:
    """The commit of an id's revision that the Hub's cache holds; None where it holds none."""
    from huggingface_hub import constants

    place = Path(constants.HF_HUB_CACHE) / f"models--{own.replace('/', '--')}"
    try:
        commit = (place / "refs" / revision).read_text().strip()
    except (OSError, ValueError):
        commit = revision
    return commit if (place / "snapshots" / commit).is_dir() else None


def _beside(path: Path) -> list[str]:
    """What is loadable beside a path: folders with a config.json, and .gguf files."""
    try:
        return sorted(
            one.name
            for one in path.parent.iterdir()
            if (one / "config.json").is_file() or one.suffix.lower() == ".gguf"
        )
    except OSError:
        return []


def _meant(word: str, known: list[str]) -> str:
    by_lower = {one.lower(): one for one in known}
    close = get_close_matches(word[:200].lower(), by_lower, n=1, cutoff=ALIKE)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""
