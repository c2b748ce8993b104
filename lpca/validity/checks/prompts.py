"""Is what B read, under each condition, p0's prompt with that condition in its slot?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lpca.gatespec.model import TRUNCATED
from lpca.tasks import Episode, ToldEpisode
from lpca.validity.catalogue import CHECKS, TRACED, CannotTell, CheckFailed, check

if TYPE_CHECKING:
    from lpca.evaluation.outcome import ReceivedPrompt
    from lpca.validity.audit import Audit

ALIEN_MESSAGE = "The quick brown fox jumps over the lazy dog."
_TEXTS = ("p1", *TRUNCATED, "p5")


@CHECKS.register("prompt_is_p0s")
@check("B's prompt is p0's but for the slot", place=100, needs=("p0",), after=TRACED)
def prompt_is_p0s(audit: Audit) -> str:
    """Under every condition but text's, B's prompt is p0's with k vectors in the slot.

    Reads the ids that the model was given in every episode. Catches a prompt builder that adds the
    message under some conditions, a crippled p0, and vectors behind the k that are declared.
    """
    lengths = {"p0": 0}
    for condition in audit.injected():
        lengths[condition] = audit.k
    for condition, length in lengths.items():
        for where, _, slot in _slots(audit, condition):
            if len(slot) != length:
                raise CheckFailed(f"{where}: {len(slot)} positions, not {length}")
    return f"{len(audit.episodes)} episodes under {', '.join(lengths)}: byte for byte"


@CHECKS.register("text_is_message")
@check("text is the message, p5 its facts, in p0's prompt", place=110, after=TRACED)
def text_is_message(audit: Audit) -> str:
    """The slot, in p0's prompt, holds the message; under p2 what its bytes allow, under p5 facts.

    Catches a text that is crippled, so that retention of it looks high, and one that says more.
    What p2 gives is not cut again here: characters are added until the next one would not fit.
    """
    evaluated = [condition for condition in _TEXTS if condition in audit.outcomes]
    if not evaluated:
        raise CannotTell(f"not evaluated: {', '.join(_TEXTS)}")
    for condition in evaluated:
        for where, episode, slot in _slots(audit, condition):
            text = _text_of(condition, episode)
            if slot != audit.slot_ids(text):
                what = "the message's text" if condition == "p1" else f"{text!r}"
                raise CheckFailed(f"{where}: the slot does not hold {what}")
    return f"{len(audit.episodes)} slots hold the message's tokens, in p0's prompt"


def _text_of(condition: str, episode: Episode) -> str:
    if condition == "p5":
        assert isinstance(episode, ToldEpisode)
        for name, value in episode.facts:
            if value not in episode.message:
                raise CheckFailed(
                    f"p5, episode {episode.seed}: {name} {value!r} is not in the message"
                )
        return ", ".join(f"{name}: {value}" for name, value in episode.facts)
    kept = ""
    for character in episode.message:
        if condition in TRUNCATED and len((kept + character).encode()) > TRUNCATED[condition]:
            break
        kept += character
    return kept


@CHECKS.register("prompt_ignores_message")
@check("another message changes nothing around the slot", place=120, needs=("p0",))
def prompt_ignores_message(audit: Audit) -> str:
    """With another message in the same episode, nothing but the slot changes.

    Evaluates a sample again, with a message of no task and with the donors'. Catches a prompt that
    is made of the message, in whatever disguise, where all conditions have it alike.
    """
    condition = audit.injected()[0] if audit.injected() else "p0"
    donors = [audit.setting.episodes.donor(i).message for i in audit.sample]
    for others in ([ALIEN_MESSAGE] * len(donors), donors):
        own = [audit.episodes[i].message for i in audit.sample]
        was, now = (audit.given_with(condition, messages) for messages in (own, others))
        if list(map(_around, was)) != list(map(_around, now)):
            raise CheckFailed(f"{condition}: another message changes B's prompt around the slot")
    return f"{len(donors)} episodes with another message: only the slot changes"


def _slots(audit: Audit, condition: str) -> Iterator[tuple[str, Episode, tuple[int, ...]]]:
    """The ids in each episode's slot; CheckFailed where the prompt around it is not p0's."""
    for where, episode, record in audit.outcomes_of(condition):
        given = record.given
        if _around(given) != audit.prompt(episode):
            raise CheckFailed(f"{where}: B's prompt is not that of p0")
        yield where, episode, given.ids[given.start : given.stop]


def _around(given: ReceivedPrompt) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The token ids before and after the slot."""
    return given.ids[: given.start], given.ids[given.stop :]
