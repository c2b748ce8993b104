"""Does B's text say more than it should?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from lpca.evaluation.conditions import build_slots
from lpca.gatespec.model import TRUNCATED
from lpca.receivers.observed_input import Given, canonical_ids
from lpca.tasks import Episode, ToldEpisode
from lpca.validity.audit import Audit, Leak, Unknown
from lpca.validity.disguises import hidden_option
from lpca.validity.own_prompts import no_answer_in_own_prompts

RUN_LENGTH = 4
_TEXTS = ("p1", *TRUNCATED, "p5")
ALIEN_MESSAGE = "The quick brown fox jumps over the lazy dog."


def prompt_is_p0s(audit: Audit) -> str:
    """Under every condition but text's, B's prompt is p0's with k vectors in the slot."""
    lengths = {"p0": 0}
    for condition in audit.injected():
        lengths[condition] = audit.k
    for condition, length in lengths.items():
        for episode, record in zip(audit.episodes, audit.records[condition], strict=True):
            given = record.given
            if around(given) != audit.prompt(episode):
                raise Leak(f"{condition}, episode {episode.seed}: B's prompt is not that of p0")
            if given.stop - given.start != length:
                found = given.stop - given.start
                raise Leak(f"{condition}, episode {episode.seed}: {found} positions, not {length}")
    return f"{len(audit.episodes)} episodes under {', '.join(lengths)}: byte for byte"


def text_is_message(audit: Audit) -> str:
    """The slot, in p0's prompt, holds the message; under p2 what its bytes allow, under p5 facts.

    What p2 gives is not cut again here: characters are added until the next one would not fit.
    """
    evaluated = [condition for condition in _TEXTS if condition in audit.records]
    if not evaluated:
        raise Unknown(f"not evaluated: {', '.join(_TEXTS)}")
    for condition in evaluated:
        for episode, record in zip(audit.episodes, audit.records[condition], strict=True):
            given = record.given
            if around(given) != audit.prompt(episode):
                raise Leak(f"{condition}, episode {episode.seed}: B's prompt is not that of p0")
            text = _text_of(condition, episode)
            wanted = canonical_ids(audit.receiver, audit.receiver.message_ids(text))
            if given.ids[given.start : given.stop] != wanted:
                what = "the message's text" if condition == "p1" else f"{text!r}"
                raise Leak(f"{condition}, episode {episode.seed}: the slot does not hold {what}")
    return f"{len(audit.episodes)} slots hold the message's tokens, in p0's prompt"


def _text_of(condition: str, episode: Episode) -> str:
    if condition == "p5":
        assert isinstance(episode, ToldEpisode)
        for name, value in episode.facts:
            if value not in episode.message:
                raise Leak(f"p5, episode {episode.seed}: {name} {value!r} is not in the message")
        return ", ".join(f"{name}: {value}" for name, value in episode.facts)
    kept = ""
    for character in episode.message:
        if condition in TRUNCATED and len((kept + character).encode()) > TRUNCATED[condition]:
            break
        kept += character
    return kept


def prompt_ignores_message(audit: Audit) -> str:
    """With another message in the same episode, nothing but the slot changes."""
    condition = audit.injected()[0] if audit.injected() else "p0"
    rows = [audit.episodes[i] for i in audit.sample]
    donors = [audit.setting.episodes.donor(i).message for i in audit.sample]
    for others in ([ALIEN_MESSAGE] * len(rows), donors):
        changed = [replace(e, message=other) for e, other in zip(rows, others, strict=True)]
        for was, now in zip(
            _given(audit, condition, rows), _given(audit, condition, changed), strict=True
        ):
            if around(was) != around(now):
                raise Leak(f"{condition}: another message changes B's prompt around the slot")
    return f"{len(rows)} episodes with another message: only the slot changes"


def no_answer_outside_options(audit: Audit) -> str:
    """Around the options list stands no option, in whatever disguise, and no run of the message.

    Where the prompts are the user's own, what may not stand there is the right answer, and a whole
    sentence of the message; `form_gives_no_answer` looks at the rest.
    """
    if not audit.task.writes_prompts:
        return no_answer_in_own_prompts(audit)
    outsides = [audit.outside(episode) for episode in audit.episodes]
    for episode, outside in zip(audit.episodes, outsides, strict=True):
        for option in episode.options:
            if any(_names(text, option) for text in outside):
                raise Leak(f"episode {episode.seed}: {option!r} stands outside the options list")
        for text in outside:
            if words := _shared_run(audit, episode, text):
                raise Leak(
                    f"episode {episode.seed}: {RUN_LENGTH} tokens of the message are in B's "
                    f"prompt: {' '.join(words)!r} in {text!r}"
                )
    if len(set(outsides)) > 1:
        # Text that is the same in all episodes gives none of them away.
        for episode, outside in zip(audit.episodes, outsides, strict=True):
            if found := hidden_option(" ".join(outside), episode.options):
                raise Leak(f"episode {episode.seed}: {found[0]!r} is in B's prompt, {found[1]}")
    return f"{len(audit.episodes)} prompts hold neither an answer nor a run of the message"


def around(given: Given) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The token ids before and after the slot."""
    return given.ids[: given.start], given.ids[given.stop :]


def _given(audit: Audit, condition: str, episodes: Sequence[Episode]) -> list[Given]:
    slots = build_slots(condition, audit.with_episodes(episodes))
    return [record.given for record in audit.ask(condition, episodes, slots)]


def _names(text: str, option: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(option)}(?!\w)", text, re.IGNORECASE) is not None


def _shared_run(audit: Audit, episode: Episode, text: str) -> list[str]:
    """Words of the first run of tokens that text and message share, where it is words at all."""
    receiver = audit.receiver
    shared = _runs(receiver.message_ids(episode.message)) & _runs(receiver.segment_ids(text))
    for run in sorted(shared):
        words = _whole_words(receiver.text(run), episode.message)
        if len(words) > 1:
            return words
    return []


def _whole_words(run: str, message: str) -> list[str]:
    """The words of a run of tokens that are whole words of the message.

    Where tokens are letters, four of them are a piece of a word, which any text may share.
    """
    return [word for word in re.findall(r"\w+", run) if re.search(rf"\b{word}\b", message)]


def _runs(ids: Sequence[int]) -> set[tuple[int, ...]]:
    return {tuple(ids[i : i + RUN_LENGTH]) for i in range(len(ids) - RUN_LENGTH + 1)}
