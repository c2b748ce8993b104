"""Texts that a reader takes for the same, made the same: letters that look alike, invisible ones.

Source of the letters: Unicode Technical Standard 39, "Unicode Security Mechanisms", data file
confusables.txt: those of Cyrillic, Greek, Armenian, Cherokee and Latin small capitals that are
drawn as one Latin letter is. What is only another form of a letter (full width, mathematical,
circled) is folded by Unicode's own normal form NFKC.
"""

from __future__ import annotations

import unicodedata

_ALIKE = {
    "a": "аɑα",
    "b": "ЬƄᏏᖯ",
    "c": "сϲᴄⅽ",
    "d": "ԁᏧᑯ",
    "e": "еҽ℮",
    "f": "ẝքϝ",
    "g": "ɡցᶃ",
    "h": "һհᏂ",
    "i": "іıɩιӏɪⵏ",
    "j": "јϳ",
    "k": "кκᴋ",
    "m": "м",
    "n": "ոռ",
    "o": "оοσօᴏ൦ჿ",
    "p": "рρ⍴ҏ",
    "q": "ԛգզ",
    "r": "гᴦⲅ",
    "s": "ѕꜱƽ",
    "t": "тτᴛ",
    "u": "υսᴜʋ",
    "v": "νѵᴠ",
    "w": "ԝաᴡѡ",
    "x": "хχ×",
    "y": "уγүყʏ",
    "z": "ᴢʐ",
}
"""By Latin letter, in lower case, those that are drawn as it is."""
_CAPITALS = {
    "a": "АΑᎪ",
    "b": "ВΒᏴ",
    "c": "СϹᏟ",
    "e": "ЕΕᎬ",
    "h": "НΗᎻ",
    "i": "ІΙӀ",
    "j": "ЈᎫ",
    "k": "КΚᏦ",
    "m": "МΜᎷ",
    "n": "Ν",
    "o": "ОΟՕ",
    "p": "РΡᏢ",
    "s": "ЅՏᏚ",
    "t": "ТΤᎢ",
    "x": "ХΧ",
    "y": "УΥҮ",
    "z": "ΖᏃ",
}
"""The same of capitals: the small form of some looks like another letter (Ν as N, ν as v), so that
of other scripts the case is to be compared without folding, too."""
_TO_LATIN = str.maketrans(
    {
        other: letter
        for table in (_ALIKE, _CAPITALS)
        for letter, others in table.items()
        for other in others
    }
)
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
"""What is drawn as nothing and is no format character of Unicode's (Default_Ignorable)."""


def folded(text: str) -> str:
    """Return a text as a reader sees it: small letters, look-alikes as Latin ones, nothing hidden.

    Texts in Latin letters that differ in case, width, invisible characters or letters of another
    script that are drawn alike fold to the same. It is for comparing only: of a text in another
    script its words are no longer readable.

    Example:
        >>> folded("Оs\u200blo") == folded("OSLO")  # the first letter is Cyrillic
        True
    """
    plain = unicodedata.normalize("NFKC", text)
    if not plain.isascii():
        plain = "".join(character for character in plain if not _is_hidden(character))
        plain = plain.translate(_TO_LATIN)
    return plain.casefold().translate(_TO_LATIN)


def _is_hidden(character: str) -> bool:
    return (
        unicodedata.category(character) == "Cf"
        or character in _INVISIBLE
        or "\ufe00" <= character <= "\ufe0f"
        or "\U000e0100" <= character <= "\U000e01ef"
    )
