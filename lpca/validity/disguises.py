"""Ways in which a word can stand in a text without being seen at once."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import unquote

LEAST_LETTERS = 5
"""Shorter words turn up by chance once a text is squeezed or shifted."""
LEAST_CODE = 6
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def hidden_option(text: str, options: Sequence[str]) -> tuple[str, str] | None:
    """Return the first option that stands in a text in disguise, and in which; None without one.

    Looked through: case and accents, letters spaced or broken up, the text backwards, every
    letter shifted by the same number of places, and words that decode as base64, base32,
    hexadecimal, ASCII85 or percent-encoding.
    """
    for name, plain in _readings(text):
        for option in options:
            word = letters(option)
            if len(word) >= LEAST_LETTERS and word in plain:
                return option, name
    return None


def letters(text: str) -> str:
    """The letters and digits of a text, in lower case and without accents."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in folded if character.isalnum())


def _readings(text: str) -> Iterator[tuple[str, str]]:
    plain = letters(text)
    yield "broken up", plain
    yield "backwards", plain[::-1]
    for places in range(1, len(_ALPHABET)):
        shifted = _ALPHABET[places:] + _ALPHABET[:places]
        yield "with its letters shifted", plain.translate(str.maketrans(_ALPHABET, shifted))
    yield "percent-encoded", letters(unquote(text))
    for name, code in _codes(text):
        yield f"as {name}", letters(code)
        yield f"as {name}, backwards", letters(code)[::-1]


def _codes(text: str) -> Iterator[tuple[str, str]]:
    for word in re.findall(rf"\S{{{LEAST_CODE},}}", text):
        for name, decode in _DECODERS.items():
            for candidate in (word, word.strip(".,;:!?()[]{}<>\"'`")):
                try:
                    yield name, decode(candidate).decode("utf-8")
                except (ValueError, binascii.Error):
                    continue


def _base64(word: str) -> bytes:
    bare = word.replace("-", "+").replace("_", "/").rstrip("=")
    return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)


def _base32(word: str) -> bytes:
    bare = word.upper().rstrip("=")
    return base64.b32decode(bare + "=" * (-len(bare) % 8))


_DECODERS: dict[str, Callable[[str], bytes]] = {
    "base64": _base64,
    "base32": _base32,
    "hexadecimal": lambda word: bytes.fromhex(word.removeprefix("0x")),
    "ASCII85": lambda word: base64.a85decode(word.encode()),
    "base85": lambda word: base64.b85decode(word.encode()),
}
