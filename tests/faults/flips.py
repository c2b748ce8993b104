"""Stored files damaged at random places, and what their readers make of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from lpca.base.errors import UserError

SAME, AGAIN, REFUSED, WRONG = "same", "measured again", "refused", "wrong"
PAGE = 4096


class Again(Exception):  # noqa: N818 - a finding, not an error
    """The reader took the file for none, so that what it held is measured or made again."""


@dataclass(frozen=True)
class Kind:
    """One kind of stored file.

    Attributes:
        path: the file, which is damaged where it stands.
        read: what reads it, or the smallest rerun that does; it raises Again, or a UserError that
            names the file.
        named: what a refusal must name; the path unless given.
    """

    path: Path
    read: Callable[[], Any]
    named: str = ""


def damaged(sound: bytes, random: Random) -> tuple[str, bytes]:
    """The content with one place of it changed, cut off or blank, and how."""
    how = random.choice(("byte", "bit", "cut", "zeros"))
    place = random.randrange(len(sound))
    if how == "cut":
        return f"cut at {place}", sound[:place]
    if how == "zeros":
        end = min(len(sound), place + random.choice((16, 512, PAGE)))
        return f"zeros from {place} to {end}", sound[:place] + bytes(end - place) + sound[end:]
    was = sound[place]
    new = was ^ 1 << random.randrange(8) if how == "bit" else random.randrange(256)
    return f"byte {place} {was} -> {new}", sound[:place] + bytes([new]) + sound[place + 1 :]


def tally(name: str, kind: Kind, count: int) -> tuple[Counter[str], list[str]]:
    """How often each came of so many damaged files, and what was wrong; the file is put back."""
    sound, random = kind.path.read_bytes(), Random(f"flips of {name}")
    due = kind.read()
    found: Counter[str] = Counter()
    faults = []
    try:
        while found.total() < count:
            how, content = damaged(sound, random)
            if content == sound:
                continue
            kind.path.write_bytes(content)
            came = _came(kind, due)
            found[came.partition(":")[0]] += 1
            if came.startswith(WRONG):
                faults.append(f"{name}: {how}: {came}")
    finally:
        kind.path.write_bytes(sound)
    return found, faults


def _came(kind: Kind, due: Any) -> str:
    try:
        return SAME if kind.read() == due else f"{WRONG}: something else was read"
    except Again:
        return AGAIN
    except UserError as error:
        told = str(error)
        if (kind.named or str(kind.path)) in told and "\n" not in told:
            return REFUSED
        return f"{WRONG}: refused without naming the file in one line: {told:.300}"
    except Exception as error:
        return f"{WRONG}: {type(error).__name__}: {error!s:.300}"
