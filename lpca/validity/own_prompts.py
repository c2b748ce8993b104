"""Do prompts that somebody wrote say more than they should?"""

from __future__ import annotations

import re
from collections import Counter

from lpca.tasks import Episode, FreeEpisode
from lpca.tasks.words import places_of
from lpca.validity.audit import Audit, Leak

LEAST_WORDS = 4
"""Shorter sentences may stand anywhere."""
_AROUND = 30


def no_answer_in_own_prompts(audit: Audit) -> str:
    """Outside of a list of all options stands neither the right answer nor the message.

    An answer that is an option of half of the episodes or more, such as yes, is a word like any
    other: where it stands more often when it is right, `form_gives_no_answer` finds it. Where
    answers are free, no single fact that A is told may stand there.
    """
    labels = _labels(audit.setting.episodes.whole.episodes)
    for episode in audit.episodes:
        for text in audit.outside(episode):
            if isinstance(episode, FreeEpisode) and (fact := _fact_of_message(episode, text)):
                raise Leak(f"episode {episode.seed}: {fact!r} of A's half is in B's prompt")
            if episode.right not in labels and (places := places_of([episode.right], text)):
                raise Leak(_names_answer(episode, text, places[0]))
            if sentence := _sentence_of_message(episode, text):
                raise Leak(
                    f"episode {episode.seed}: a sentence of the message is in B's prompt: "
                    f"{sentence!r:.100}; take it out of the context, or out of the message"
                )
    lists = sum(audit.outside(e) != (e.before, e.after) for e in audit.episodes)
    return (
        f"{len(audit.episodes)} prompts, {lists} with a list of the options: outside of it none "
        "holds its right answer or a sentence of its message"
    )


def _fact_of_message(episode: FreeEpisode, text: str) -> str | None:
    words = set(text.split())
    return next((fact for fact in episode.told if fact in words), None)


def _names_answer(episode: Episode, text: str, place: tuple[int, int, int]) -> str:
    start, stop, _ = place
    found = text[max(0, start - _AROUND) : stop + _AROUND]
    return (
        f"episode {episode.seed}: the right answer {episode.right!r:.60} stands in B's prompt "
        f"outside of a list of all options: {found!r:.140}; take it out, or list the row's "
        "`options` in its context"
    )


def _labels(episodes: tuple[Episode, ...]) -> set[str]:
    counts = Counter(option for episode in episodes for option in set(episode.options))
    return {option for option, count in counts.items() if 2 * count >= len(episodes)}


def _sentence_of_message(episode: Episode, text: str) -> str | None:
    held = _plain(text)
    for sentence in re.split(r"(?<=[.!?])\s+|\n+", episode.message):
        words = _plain(sentence)
        if words.count(" ") > LEAST_WORDS and words in held:
            return sentence
    return None


def _plain(text: str) -> str:
    """Its words in lower case, each between blanks."""
    return " ".join(["", *re.findall(r"\w+", text.casefold()), ""])
