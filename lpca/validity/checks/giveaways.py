"""Does B's text give the answer or the message away, in plain words or in disguise?"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import unquote

from lpca.base.lookalikes import folded
from lpca.tasks import Episode
from lpca.tasks.family import FreeEpisode
from lpca.tasks.rows import places_of, stands_in
from lpca.validity.catalogue import CHECKS, CheckFailed, check

if TYPE_CHECKING:
    from lpca.validity.audit import Audit

T = TypeVar("T")
RUN_LENGTH = 4
"""Tokens of the message in a row that may not stand in B's prompt; fewer are any text's."""
LEAST_WORDS = 4
"""Sentences of no more words may stand anywhere."""
LEAST_LETTERS = 5
"""Shorter words turn up by chance once a text is squeezed or shifted."""
LEAST_CODE = 6
"""Shorter words are not read as codes: nearly every one decodes as something."""
_QUOTED = 30
"""Characters shown on either side of an answer that stands where it should not."""
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_SHIFTS = [
    str.maketrans(_ALPHABET, _ALPHABET[places:] + _ALPHABET[:places])
    for places in range(1, len(_ALPHABET))
]


@CHECKS.register("no_answer_outside_options")
@check("B's text gives neither answer nor message away", place=50)
def no_answer_outside_options(audit: Audit) -> str:
    """Around the options list stands no option, in whatever disguise, and no run of the message.

    Reads the texts around the options list of every episode. Catches a message told beside the
    channel, whole, paraphrased or encoded, and the answer's word alone.

    Where the prompts are the user's own, what may not stand there is the right answer, and a whole
    sentence of the message; `form_gives_no_answer` looks at the rest.
    """
    if not audit.task.writes_prompts:
        return _none_in_own_prompts(audit)
    outsides = [audit.task.outside(episode) for episode in audit.episodes]
    for episode, outside in zip(audit.episodes, outsides, strict=True):
        where = f"episode {episode.seed}"
        for option in episode.options:
            if any(_is_seen_in(option, text) for text in outside):
                raise CheckFailed(f"{where}: {option!r} stands outside the options list")
        for text in outside:
            if words := _shared_run(audit, episode, text):
                raise CheckFailed(
                    f"{where}: a run of the message is in B's prompt: "
                    f"{' '.join(words)!r} in {text!r}"
                )
    if len(set(outsides)) > 1:
        # text that is the same in all episodes gives none of them away
        for episode, outside in zip(audit.episodes, outsides, strict=True):
            if found := hidden_option(" ".join(outside), episode.options):
                raise CheckFailed(
                    f"episode {episode.seed}: {found[0]!r} is in B's prompt, {found[1]}"
                )
    return f"{len(audit.episodes)} prompts hold neither an answer nor a run of the message"


def _shared_run(audit: Audit, episode: Episode, text: str) -> list[str]:
    """Words of the first run of tokens that text and message share, where it is words at all."""
    receiver = audit.receiver
    own, other = receiver.message_ids(episode.message), receiver.segment_ids(text)
    for run in sorted({*runs_of(own, RUN_LENGTH)} & {*runs_of(other, RUN_LENGTH)}):
        # where tokens are letters, four of them are a piece of a word, which any text may share
        words = [
            word
            for word in re.findall(r"\w+", receiver.text(run))
            if re.search(rf"\b{word}\b", episode.message)
        ]
        if len(words) > 1:
            return words
    # what is told in capitals or look-alikes has other tokens, and the same words
    words = spaced_words(folded(episode.message)).split()
    held = spaced_words(folded(text))
    told = (run for run in runs_of(words, RUN_LENGTH) if f" {' '.join(run)} " in held)
    return list(next(told, ()))


def runs_of(of: Sequence[T], length: int) -> list[tuple[T, ...]]:
    """Every so many things in a row, in their order: of tokens, or of words."""
    return [tuple(of[i : i + length]) for i in range(len(of) - length + 1)]


def _none_in_own_prompts(audit: Audit) -> str:
    """In prompts that somebody wrote stands, outside of a list of all options, no right answer.

    Nor a sentence of the message. An answer that is an option of half of the episodes or more,
    such as yes, is a word like any other: where it stands more often when it is right,
    `form_gives_no_answer` finds it. Where answers are free, no single fact that A is told may
    stand there.
    """
    labels = labels_of(audit.setting.episodes.whole.episodes)
    for episode in audit.episodes:
        if found := given_away(episode, audit.task.outside(episode), labels):
            raise CheckFailed(f"episode {episode.seed}: {found.told}")
    lists = sum(audit.task.outside(e)[: len(e.context)] != e.context for e in audit.episodes)
    return (
        f"{len(audit.episodes)} prompts, {lists} with a list of the options: outside of it none "
        "holds its right answer or a sentence of its message"
    )


class Giveaway(NamedTuple):
    """What B's text tells that it must not: the "answer", the "message", or a "fact" of it."""

    what: str
    found: str
    """The words that stand in B's text."""
    told: str
    """The same for people, and what to do."""


def given_away(episode: Episode, texts: Sequence[str], labels: Collection[str]) -> Giveaway | None:
    """Find what an episode's own texts give away; None where nothing is.

    Args:
        episode: one whose prompt is its author's own.
        texts: those that B sees outside of lists of all options.
        labels: answers that are words like any other.
    """
    for text in texts:
        if isinstance(episode, FreeEpisode) and (fact := _fact_of_message(episode, text)):
            return Giveaway("fact", fact, f"{fact!r} of A's half is in B's prompt")
        if episode.right not in labels:
            for read in (str, folded):
                if places := places_of([read(episode.right)], read(text)):
                    return _answer_in(episode, read(text), places[0])
        if sentence := _sentence_of_message(episode, text):
            told = (
                f"a sentence of the message is in B's prompt: {sentence!r:.100}; take it out of "
                "the context, or out of the message"
            )
            return Giveaway("message", sentence, told)
    return None


def labels_of(episodes: Sequence[Episode]) -> set[str]:
    """Return the answers that are an option of half of the episodes or more, such as yes."""
    counts = Counter(option for episode in episodes for option in set(episode.options))
    return {option for option, count in counts.items() if 2 * count >= len(episodes)}


def _fact_of_message(episode: FreeEpisode, text: str) -> str | None:
    words = {*text.split(), *folded(text).split()}
    return next((fact for fact in episode.told if {fact, folded(fact)} & words), None)


def _answer_in(episode: Episode, text: str, place: tuple[int, int, int]) -> Giveaway:
    start, stop, _ = place
    found = text[max(0, start - _QUOTED) : stop + _QUOTED]
    told = (
        f"the right answer {episode.right!r:.60} stands in B's prompt outside of a list of all "
        f"options: {found!r:.140}; take it out, or list the row's `options` in its context"
    )
    return Giveaway("answer", text[start:stop], told)


def _sentence_of_message(episode: Episode, text: str) -> str | None:
    for read in (str, folded):
        held = spaced_words(read(text))
        for sentence in re.split(r"(?<=[.!?])\s+|\n+", episode.message):
            words = spaced_words(read(sentence))
            if words.count(" ") > LEAST_WORDS and words in held:
                return sentence
    return None


def _is_seen_in(answer: str, text: str) -> bool:
    """Whether a reader sees an answer in a text: be it in letters that only look like its own."""
    return stands_in(answer, text) or stands_in(folded(answer), folded(text))


def spaced_words(text: str) -> str:
    """Its words in lower case, each between blanks."""
    return " ".join(["", *re.findall(r"\w+", text.casefold()), ""])


def hidden_option(text: str, options: Sequence[str]) -> tuple[str, str] | None:
    """Find an option that stands in a text without being seen at once.

    Looked through: case, accents and look-alikes, letters spaced or broken up, the text backwards,
    every letter shifted by the same number of places, and words that decode as base64, base32,
    hexadecimal, ASCII85 or percent-encoding.

    Returns:
        The first option that stands there, and in which disguise; None without one.
    """
    words = [(option, _letters(option)) for option in options]
    for name, plain in _readings(text):
        for option, word in words:
            if len(word) >= LEAST_LETTERS and word in plain:
                return option, name
    return None


def _letters(text: str) -> str:
    """The letters and digits of a text, look-alikes as one, in lower case and without accents."""
    plain = unicodedata.normalize("NFKD", folded(text))
    return "".join(character for character in plain if character.isalnum())


def _readings(text: str) -> Iterator[tuple[str, str]]:
    plain = _letters(text)
    yield "broken up", plain
    yield "backwards", plain[::-1]
    for shift in _SHIFTS:
        yield "with its letters shifted", plain.translate(shift)
    yield "percent-encoded", _letters(unquote(text))
    for name, code in _codes(text):
        yield f"as {name}", _letters(code)
        yield f"as {name}, backwards", _letters(code)[::-1]


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
