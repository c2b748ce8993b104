"""Does what crosses name the answer, or only where it stands in B's list?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lpca.base.hashing import named_rng
from lpca.tasks.rows import lists_in, with_lists_rotated
from lpca.validity.catalogue import CHECKS, TRACED, CannotTell, CheckFailed, DoesNotApply, check

if TYPE_CHECKING:
    from lpca.evaluation.outcome import Outcome
    from lpca.tasks import Episode
    from lpca.validity.audit import Audit

ROTATED, FEWEST = 64, 16
"""Episodes that are asked again at most, and from how many on they can show anything."""
ALPHA = 1e-3
"""How likely a channel that loses nothing may be taken for one that does."""
KEPT = 0.5
"""The share of the gain over p0 that a channel of content keeps at least."""


@CHECKS.register("normal_names_no_place", since=4)
@check(
    "with B's options in another order, normal still names the answer",
    place=135,
    needs=("p0", "normal"),
    after=TRACED,
    may_abstain=True,
)
def normal_names_no_place(audit: Audit) -> str:
    """With the lists of options in B's prompts rotated, normal keeps its gain over p0.

    Asks up to `ROTATED` episodes again with the packets of before: A knows nothing of the new
    order. Catches a channel that sends at which place the right option stands. It fails where
    normal is right less often than before (exact McNemar test, one-sided, at `ALPHA`) and keeps
    less than `KEPT` of its gain, and the message as text, asked likewise, does not: where lists
    are of labels (a, b, c), or messages name places, nothing can be told. Places being balanced
    before and after, a receiver that is partial to some costs an honest channel nothing on average.

    Simulated 200,000 times, 64 independent episodes, p0 .25: a channel that keeps its .90 is never
    accused, one that keeps .45 in .0005 of runs, one that falls from .90 to .80 in .00005. Places
    that fall from .90 to .03 are found always, from .60 to .15 in .98, from .45 to .18 in .49; a
    channel of which half of the gain is places (.90 to .45) in .97.
    """
    rows = [i for i, episode in enumerate(audit.episodes) if _lists_options(episode)]
    if not rows:
        raise DoesNotApply("no prompt lists its options")
    if len(rows) < FEWEST:
        raise CannotTell(
            f"{len(rows)} of {len(audit.episodes)} prompts list their options; fewer than {FEWEST} "
            "can show nothing"
        )
    rows = audit.sample_for("rotated", ROTATED, rows)
    turned = {i: rotated(audit.episodes[i]) for i in rows}
    before = [_right(audit, audit.outcomes["normal"][i]) for i in rows]
    guessed = _share([_right(audit, one) for one in audit.outcomes["p0"]])
    if _share(before) <= guessed:
        raise DoesNotApply("normal gains nothing over p0, so there is nothing to lose")
    after = _asked(audit, "normal", turned)
    told = f"normal {sum(before)} of {len(rows)}, options rotated {sum(after)}"
    if not collapses(before, after, guessed):
        return told
    own = {i: audit.episodes[i] for i in rows}
    plain, text = _asked(audit, "p1", own), _asked(audit, "p1", turned)
    if _share(plain) <= guessed or _share(text) - guessed < KEPT * (_share(plain) - guessed):
        raise CannotTell(
            f"{told}; the message as text {sum(plain)} and {sum(text)}: it names a place itself, "
            "or the options are labels"
        )
    raise CheckFailed(
        f"{told}, by p0's rate {guessed * len(rows):.0f}; the message as text {sum(plain)} and "
        f"{sum(text)}: what crosses is where the answer stands, not what it is"
    )


def rotated(episode: Episode) -> Episode:
    """Return an episode whose lists of options begin elsewhere, as its seed draws."""
    by = named_rng("rotated", episode.seed).randrange(1, len(episode.options))
    before, *between, after = (
        with_lists_rotated(episode.options, text, by) for text in episode.context
    )
    return replace(episode, before=before, between=tuple(between), after=after)


def collapses(before: Sequence[bool], after: Sequence[bool], guessed: float) -> bool:
    """Whether outcomes get worse beyond chance, and less is left than `KEPT` of the gain.

    Args:
        before: whether each episode was right.
        after: the same with its options rotated.
        guessed: p0's success rate.
    """
    from lpca.stats.gain import fewer_p

    if fewer_p(before, after) > ALPHA:
        return False
    return _share(after) - guessed < KEPT * (_share(before) - guessed)


def _lists_options(episode: Episode) -> bool:
    return any(lists_in(episode.options, text) for text in episode.context)


def _asked(audit: Audit, condition: str, episodes: Mapping[int, Episode]) -> list[bool]:
    from lpca.receivers.forward import in_slots

    own = zip(episodes.values(), audit.slots(condition, list(episodes)), strict=True)
    # a list may stand between two slots
    slots = [in_slots(audit.receiver, episode, slot.parts) for episode, slot in own]
    return [_right(audit, one) for one in audit.ask(condition, list(episodes.values()), slots)]


def _right(audit: Audit, outcome: Outcome) -> bool:
    return outcome.success(audit.score) == 1.0


def _share(outcomes: Sequence[bool]) -> float:
    return sum(outcomes) / len(outcomes)
