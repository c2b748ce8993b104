"""Are these the episodes that were declared, and are they fit to decide anything?"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from lpca.base.lookalikes import folded
from lpca.tasks import Episode, Task, ToldEpisode, split_of
from lpca.validity.catalogue import CHECKS, CannotTell, CheckFailed, DoesNotApply, check
from lpca.validity.checks.form import is_beyond_luck
from lpca.validity.checks.giveaways import runs_of, spaced_words

if TYPE_CHECKING:
    from lpca.validity.audit import Audit

RUN = 3
"""Words in a row by which two messages are compared."""
NEAR = 0.8
"""The share of their runs from which two messages are one with a word changed (Jaccard index)."""

_LETTER, _DASH = r"[^\W\d_]", r"\s*[-_–—·•*]+\s*"
_JOINTS = re.compile(
    f"(?<={_LETTER}{{2}}){_DASH}(?={_LETTER})|(?<={_LETTER}){_DASH}(?={_LETTER}{{2}})"
)
"""What stands between two words in place of a blank; between single letters it may be a sign."""
LEAST_HELD = 6
"""Runs of a message from which on it is known where another message holds all of them."""
_MARKS = ".,;:!?\"'()[]"
"""What stands beside a word and is not of it."""


@CHECKS.register("episodes_complete")
@check("every declared episode counts, once", place=20)
def episodes_complete(audit: Audit) -> str:
    """All declared episodes are evaluated under every condition, and all of them are judged.

    Reads the seeds that the task and the spec declare, those of the records, and what is judged.
    Catches failures that are dropped, a subset picked by its outcomes, episodes never run. Where
    a stopping schedule is declared, a gate may end after any of its sizes, nowhere else.
    """
    seeds = tuple(episode.seed for episode in audit.episodes)
    if audit.declared:
        allowed = audit.sizes or (len(audit.declared),)
        if len(seeds) not in allowed:
            wanted = " or ".join(map(str, allowed))
            raise CheckFailed(f"{len(seeds)} episodes were evaluated, {wanted} are declared")
        if seeds != audit.declared[: len(seeds)]:
            stray = next(s for s, d in zip(seeds, audit.declared, strict=False) if s != d)
            raise CheckFailed(f"episode {stray} stands where the task has another")
    for condition, records in audit.outcomes.items():
        if tuple(record.seed for record in records) != seeds:
            raise CheckFailed(f"{condition}: its outcomes are not those of the episodes, one each")
    _judged_as_measured(audit, seeds)
    return f"{len(seeds)} episodes, each judged once under {len(audit.outcomes)} conditions"


def _judged_as_measured(audit: Audit, seeds: tuple[int, ...]) -> None:
    table = audit.table
    if table is None:
        return
    times = audit.sampling.repeats if audit.sampling else 1
    if table.seeds != tuple(seed for seed in seeds for _ in range(times)):
        raise CheckFailed(f"{table.units} of {len(seeds)} episodes are judged, {table.n} outcomes")
    for condition, outcomes in table.outcomes.items():
        measured = tuple(
            reading.success(audit.score)
            for record in audit.outcomes[condition]
            for reading in record.readings
        )
        if measured != outcomes:
            turned = sum(a != b for a, b in zip(measured, outcomes, strict=True))
            raise CheckFailed(f"{condition}: {turned} outcomes are judged otherwise than measured")


@CHECKS.register("splits_disjoint")
@check("no test episode or message was trained on", place=30, may_abstain=True)
def splits_disjoint(audit: Audit) -> str:
    """Nothing that is tested was trained on: no seed, no message, no unseen answer.

    Draws all episodes of training again, by the codec's own seed and steps. Catches test episodes
    of the training or validation split, and messages met under other seeds. Of a codec that lpca
    did not train only the messages that it declares can be compared.
    """
    seeds = [episode.seed for episode in audit.episodes]
    if len(set(seeds)) != len(seeds):
        raise CheckFailed("an episode's seed occurs twice")
    if strays := [seed for seed in seeds if split_of(seed) != audit.split]:
        raise CheckFailed(
            f"episode {strays[0]} is of the {split_of(strays[0])} split, not of {audit.split}"
        )
    if audit.own is not None:
        return _apart_from_declared(audit, audit.own.trained_on)
    if not audit.training:
        return f"{len(seeds)} test seeds"
    trained_seeds = {episode.seed for episode in audit.training}
    if trained_seeds & set(seeds):
        raise CheckFailed(f"seed {min(trained_seeds & set(seeds))} is in training and in test")
    _no_message_known(audit, {episode.message for episode in audit.training})
    answers = {episode.right for episode in audit.training}
    leaked = {e.right for e in audit.episodes if e.stratum == "unseen"} & answers
    if leaked:
        raise CheckFailed(f"the unseen answer {min(leaked)!r} is named in training messages")
    return (
        f"{len(seeds)} test episodes and {len(audit.training)} of training share neither seed nor "
        "message; no unseen answer in training"
    )


def _apart_from_declared(audit: Audit, declared: Collection[str] | None) -> str:
    """As far as a codec that lpca did not train says what it was trained on."""
    count = len(audit.episodes)
    if declared is None:
        raise CannotTell(
            f"{count} test seeds, each once; what the codec was trained on is unknown, so no "
            "message could be compared: it may know the test messages"
        )
    if not declared:
        return f"{count} test seeds, each once; the codec declares to be trained on no message"
    _no_message_known(audit, set(declared))
    told = "\n".join(spaced_words(read(message)) for read in (str, folded) for message in declared)
    unseen = {e.right for e in audit.episodes if e.stratum == "unseen"}
    named = sorted(
        answer
        for answer in unseen
        for words in {spaced_words(answer), spaced_words(folded(answer))}
        # an answer without any letter or digit is no word, and would stand everywhere
        if words.strip() and words in told
    )
    if named:
        raise CheckFailed(
            f"the unseen answer {named[0]!r} is named in messages the codec was trained on"
        )
    return (
        f"{count} test episodes and the {len(declared)} messages that the codec declares share no "
        "message; no unseen answer in those; whether there were others is unknown"
    )


def _no_message_known(audit: Audit, messages: Collection[str]) -> None:
    """No test message was trained on, as it stands, as a reader sees it, or nearly."""
    if met := known_messages(audit.episodes, messages):
        episode, message = met[0]
        alike = "is" if message == episode.message else f"is nearly {message!r:.100}:"
        raise CheckFailed(
            f"{len(met)} test messages are training messages, first that of episode "
            f"{episode.seed}, which {alike} {episode.message!r:.200}"
        )


def known_messages(
    episodes: Sequence[Episode], messages: Collection[str]
) -> list[tuple[Episode, str]]:
    """Find the episodes whose message is one of others as a reader sees it, or nearly.

    One that shares NEAR of its runs of words with another message is that message with a word
    changed: where the word is not the answer, what it says is known.

    Returns:
        Each such episode with the message that it was taken for.
    """
    known = {as_read(message): message for message in messages}
    squeezed = {read.replace(" ", ""): message for read, message in known.items()}
    near = _Runs(known)
    found = [
        (episode, next(filter(None, map(squeezed.get, _told(episode))), None) or near.like(episode))
        for episode in episodes
    ]
    return [(episode, message) for episode, message in found if message is not None]


def _told(episode: Episode) -> list[str]:
    """An episode's message without blanks; of several senders also each that names the answer.

    What a sender says of no episode in particular, training may well have met.
    """
    senders, answer = map(as_read, episode.senders), f" {as_read(episode.right)} "
    told = [as_read(episode.message), *(one for one in senders if answer in f" {one} ")]
    return [one.replace(" ", "") for one in told]


def as_read(message: str) -> str:
    """Return its words as a reader sees them, without accents or the marks around and between them.

    Any other sign may mean something.
    """
    plain = unicodedata.normalize("NFKD", folded(message))
    plain = "".join(one for one in plain if not unicodedata.combining(one))
    words = _JOINTS.sub(" ", plain).split()
    bare = [word.strip(_MARKS) for word in words]
    pairs = zip(words, bare, strict=True)
    return " ".join(b if b.isalpha() else w for w, b in pairs if w.strip(_MARKS))


class _Runs:
    """Training messages by the runs of words they hold."""

    def __init__(self, messages: Collection[str]) -> None:
        self.runs = {message: _runs(message) for message in messages}
        self.holders: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for message, runs in self.runs.items():
            for run in runs:
                self.holders[run].append(message)

    def like(self, episode: Episode) -> str | None:
        """The first training message that is nearly an episode's, and tells the same.

        That is the same answer, or all facts where they are known: of tasks that recombine facts,
        another fact is another message.
        """
        own = as_read(episode.message)
        facts = [value for _, value in episode.facts] if isinstance(episode, ToldEpisode) else []
        told = [f" {as_read(value)} " for value in facts or [episode.right]]
        if not all(value in f" {own} " for value in told):
            return None
        runs = _runs(own)
        shared = Counter(holder for run in sorted(runs) for holder in self.holders.get(run, ()))
        for message, count in shared.most_common():
            is_near = count >= NEAR * (len(runs) + len(self.runs[message]) - count)
            is_near = is_near or count == len(runs) >= LEAST_HELD
            if is_near and all(value in f" {message} " for value in told):
                return message
        return None


def _runs(message: str) -> set[tuple[str, ...]]:
    return set(runs_of(message.split(), RUN))


@CHECKS.register("position_balanced")
@check("the right option stands everywhere equally often", place=40)
def position_balanced(audit: Audit) -> str:
    """The right option's positions are balanced over the whole set.

    Catches a right option that always stands first. Tolerance: one episode for each stratum, which
    are balanced apart. The whole set is read where a gate stopped early: its beginning is balanced
    only about. Where the prompts are the user's own, no position is right oftener than luck allows.
    """
    return balanced(audit.task, audit.setting.episodes.whole.episodes)


def balanced(task: Task, episodes: Sequence[Episode]) -> str:
    """Return how often each place is right; CheckFailed where one is far too often."""
    counts = Counter(episode.answer for episode in episodes)
    slots = range(max(len(episode.options) for episode in episodes))
    shares = [counts[i] for i in slots]
    if not task.writes_prompts:
        answers = Counter(episode.right for episode in episodes)
        fewest = min(len(episode.options) for episode in episodes)
        luck = max(max(answers.values()) / len(episodes), 1 / fewest)
        if is_beyond_luck(max(shares), len(episodes), luck):
            raise CheckFailed(
                f"one place in the options is right far too often, by place: {shares}"
            )
    elif max(shares) - min(shares) > len({episode.stratum for episode in episodes}):
        raise CheckFailed(f"the right option's positions are not balanced: {shares}")
    return f"right option's positions: {shares}"


@CHECKS.register("donors_deranged")
@check(
    "every shuffled message contradicts its episode",
    place=70,
    needs=("shuffle",),
    may_abstain=True,
)
def donors_deranged(audit: Audit) -> str:
    """The donors are a derangement, and each names a wrong option of its recipient.

    Catches episodes that are their own donors, and donors that say the same, which contradict
    nothing. Where answers are free, the recipient's right one is wrong if the donor's message is
    true.
    """
    episodes = audit.setting.episodes
    if sorted(episodes.whole.donors) != list(range(len(episodes.whole))):
        raise CheckFailed("the donors are not a permutation of the episodes")
    for index, episode in enumerate(episodes):
        donor = episodes.donor(index)
        if donor.seed == episode.seed:
            raise CheckFailed(f"episode {episode.seed} is its own donor")
        if donor.message == episode.message:
            raise CheckFailed(f"episode {episode.seed}: its donor's message is its own")
        if not episode.contradicted_by(donor):
            if audit.split == "validation":
                raise DoesNotApply("validation episodes may be given any other answer's message")
            what = f"the donor's answer {donor.right!r} is none of its wrong options"
            if episode.free:
                what = "the donor's message leaves the right answer right"
            raise CheckFailed(f"episode {episode.seed}: {what}")
    free = any(episode.free for episode in episodes)
    told = "contradicts the right answer" if free else "names a wrong option"
    return f"{len(episodes)} donors: no fixed point, each {told}"
