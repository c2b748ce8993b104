"""Texts that a reader takes for the same, made the same: letters that look alike, invisible ones.

Source of the letters: Unicode Technical Standard 39, "Unicode Security Mechanisms", data file
confusables.txt: those of Cyrillic, Greek, Armenian, Cherokee and Latin small capitals that are
drawn as one Latin letter is. What is only another form of a letter (full width, mathematical,
circled) is folded by Unicode's own normal form NFKC.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

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
_LISU = "ꓐbꓑpꓓdꓔtꓖgꓗkꓙjꓚcꓜzꓝfꓟmꓠnꓡlꓢsꓣrꓦvꓧhꓪwꓫxꓬyꓮaꓰeꓲiꓳoꓴu"
"""Letters of Lisu, each before the Latin one that it is drawn as."""
_BAR = str.maketrans({"Ӏ": "I", "ӏ": "I", "|": "I"})
_WITHIN = {"I": "l", "1": "l", "0": "o"}
"""What is read as another letter where it stands between small letters."""
_BETWEEN = re.compile("(?<=[a-z])[I10](?=[a-z])")
_DRESSED = re.compile(
    r"(?:(?:NEGATIVE |CROSSED NEGATIVE )?(?:CIRCLED|SQUARED)|PARENTHESIZED|TAG) LATIN "
    r"(?:SMALL|CAPITAL) LETTER ([A-Z])|REGIONAL INDICATOR SYMBOL LETTER ([A-Z])|"
    r"LATIN LETTER SMALL CAPITAL ([A-Z])"
)
"""Names of characters that are one Latin letter, which not all normal forms say."""
_TO_LATIN = str.maketrans(
    {
        other: letter
        for table in (_ALIKE, _CAPITALS)
        for letter, others in table.items()
        for other in others
    }
    | dict(zip(_LISU[::2], _LISU[1::2], strict=True))
)
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""What is drawn as nothing and is no format character of Unicode's (Default_Ignorable)."""
_JOINING = frozenset("\u200c\u200d\ufe0e\ufe0f")
"""What joins characters of some scripts, or chooses how a sign is drawn."""


def folded(text: str) -> str:
    """Return a text as a reader sees it: small letters, look-alikes as Latin ones, nothing hidden.

    Texts in Latin letters that differ in case, width, invisible characters or letters of another
    script that are drawn alike fold to the same. It is for comparing only: of a text in another
    script its words are no longer readable.

    Example:
        >>> folded("Оs\u200blo") == folded("OSLO")  # the first letter is Cyrillic
        True
    """
    if not text.isascii():
        text = "".join(map(_undressed, text))
    plain = unicodedata.normalize("NFKC", text)
    if not (plain.isascii() and plain.isprintable()):
        plain = "".join(character for character in plain if not _is_hidden(character))
    plain = plain.translate(_BAR).translate(_TO_LATIN)
    plain = _BETWEEN.sub(lambda found: _WITHIN[found[0]], plain)
    return plain.casefold().translate(_TO_LATIN)


@lru_cache(maxsize=4096)
def _undressed(character: str) -> str:
    """The Latin letter that a character is by its name, or the character itself."""
    if character.isascii():
        return character
    found = _DRESSED.fullmatch(unicodedata.name(character, ""))
    return next(filter(None, found.groups())) if found else character


def _is_hidden(character: str) -> bool:
    """Whether a character is drawn as nothing, or over the one before it."""
    category = unicodedata.category(character)
    return (
        category in ("Cf", "Me")
        or (category == "Cc" and not character.isspace())
        or "\u0334" <= character <= "\u0338"
        or character in _INVISIBLE
        or "\ufe00" <= character <= "\ufe0f"
        or "\U000e0100" <= character <= "\U000e01ef"
    )


def hidden_in(text: str) -> list[int]:
    """Return the places of characters that are drawn as nothing and have no business there.

    What joins or varies characters of other scripts and signs, as in emoji, is left alone.

    Example:
        >>> hidden_in("Os\u200blo"), hidden_in("\u2764\ufe0f")
        ([2], [])
    """
    if text.isascii():
        return []
    around = f" {text} "
    return [
        place
        for place, character in enumerate(text)
        if _is_hidden(character) and not (character in _JOINING and not around[place].isascii())
    ]


def disguised_in(text: str) -> list[tuple[int, str]]:
    """Return the words, and their places, that mix Latin letters with others drawn alike.

    Example:
        >>> disguised_in("to \u041eslo")  # it begins with a Cyrillic letter
        [(3, '\u041eslo')]
    """
    if text.isascii():
        return []
    return [
        (word.start(), word.group())
        for word in re.finditer(r"\w+", text)
        if re.search("[A-Za-z]", word.group()) and any(map(_is_foreign, word.group()))
    ]


def _is_foreign(character: str) -> bool:
    """Whether a letter of another script is drawn as a Latin one."""
    own = unicodedata.name(character, "LATIN").startswith("LATIN")
    return character.isalpha() and not own and ord(character) in _TO_LATIN
