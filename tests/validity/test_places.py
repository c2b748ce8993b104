"""Whether what crosses names an answer or a place: rotated lists, and a B that goes by either."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pytest

from lpca.receivers.forward import Slot
from lpca.tasks import Episode
from lpca.tasks.kinds.relay import Relay
from lpca.tasks.kinds.trip import Trip
from lpca.tasks.rows import lists_in, places_of, with_lists_rotated, without_lists
from lpca.validity.catalogue import CHECKS, CannotTell, CheckFailed, DoesNotApply
from lpca.validity.checks.places import collapses, rotated

OPTIONS = ("Oslo", "Rome", "Bern")
Reads = Callable[[str, Episode, Episode], bool]


@pytest.mark.parametrize(
    ("text", "by", "wanted"),
    [
        ("Oslo, Rome, Bern.", 1, "Bern, Oslo, Rome."),
        ("Oslo, Rome, Bern.", 2, "Rome, Bern, Oslo."),
        ("a) Bern\nb) Oslo\nc) Rome", 1, "a) Rome\nb) Bern\nc) Oslo"),
        ("Oslo or Rome? Rome, oslo, Bern!", 1, "Oslo or Rome? Bern, Rome, Oslo!"),
        ("Rome, Oslo, Bern; again Bern/Rome/Oslo", 1, "Bern, Rome, Oslo; again Oslo/Bern/Rome"),
        ("only Oslo and Rome, not Berne", 1, "only Oslo and Rome, not Berne"),
        ("", 1, ""),
    ],
)
def test_in_a_list_of_all_options_each_stands_further_on(text: str, by: int, wanted: str) -> None:
    assert with_lists_rotated(OPTIONS, text, by) == wanted


def test_what_is_no_list_stays_and_lists_are_what_was_taken_out_before() -> None:
    text = "Rome is old. Oslo, Rome, Bern? Or Bern, Oslo, Rome."
    assert [text[a:b] for a, b in lists_in(OPTIONS, text)] == [
        "Oslo, Rome, Bern",
        "Bern, Oslo, Rome",
    ]
    assert without_lists(OPTIONS, text) == ("Rome is old. ", "? Or ", ".")
    assert without_lists(OPTIONS, "Oslo") is None


@pytest.mark.parametrize("task", [Trip(), Relay()])
def test_of_the_tasks_own_episodes_every_option_changes_its_place(task: Trip | Relay) -> None:
    for episode in task.evaluation_set("test", "seen", 12, 0):
        turned = rotated(episode)
        before = [one for _, _, one in places_of(episode.options, episode.before)]
        after = [one for _, _, one in places_of(episode.options, turned.before)]
        assert all(a != b for a, b in zip(before, after, strict=True))
        assert sorted(before) == sorted(after)
        assert replace(turned, before=episode.before) == episode


@dataclass
class Asked:
    """Stands for an audit whose B succeeds as `reads` says of condition, episode and original."""

    reads: Reads
    episodes: tuple[Episode, ...]
    score: str = "likelihood"

    @property
    def outcomes(self) -> dict[str, list[Any]]:
        return {
            name: [self._outcome(name, one, one) for one in self.episodes]
            for name in ("p0", "normal")
        }

    def sample_for(self, purpose: str, size: int, among: Sequence[int]) -> list[int]:
        return list(among)[:size]

    @property
    def receiver(self) -> Any:
        return SimpleNamespace(between_ids=lambda episode: ())

    def slots(self, condition: str, rows: Sequence[int]) -> list[Slot]:
        return [Slot(ids=(row,)) for row in rows]

    def ask(self, condition: str, episodes: Sequence[Episode], slots: Sequence[Slot]) -> list[Any]:
        pairs = zip(episodes, slots, strict=True)
        return [self._outcome(condition, one, self.episodes[slot.ids[0]]) for one, slot in pairs]

    def _outcome(self, name: str, now: Episode, then: Episode) -> Any:
        right = self.reads(name, now, then)
        return SimpleNamespace(success=lambda score: right)


EPISODES = Trip().evaluation_set("test", "seen", 64, 0).episodes


def found(reads: Reads, episodes: tuple[Episode, ...] = EPISODES) -> str:
    return CHECKS["normal_names_no_place"](Asked(reads, episodes))  # type: ignore[arg-type]


def stands(episode: Episode) -> int:
    """Where the right answer stands in B's list."""
    order = [one for _, _, one in places_of(episode.options, episode.before)]
    return order.index(episode.answer)


def luck(name: str, now: Episode, then: Episode) -> bool:
    return stands(now) == 0


def by_place(name: str, now: Episode, then: Episode) -> bool:
    if name == "normal":
        return stands(now) == stands(then)
    return name == "p1" or luck(name, now, then)


def by_name(name: str, now: Episode, then: Episode) -> bool:
    return name in ("p1", "normal") or luck(name, now, then)


def test_a_channel_that_sends_the_place_is_found() -> None:
    with pytest.raises(CheckFailed, match=r"normal 64 of 64, options rotated 0.*text 64 and 64"):
        found(by_place)


def test_a_channel_that_names_the_answer_is_not() -> None:
    assert found(by_name) == "normal 64 of 64, options rotated 64"


def test_half_of_the_gain_as_places_is_found() -> None:
    def half(name: str, now: Episode, then: Episode) -> bool:
        return (by_place if then.seed // 3 % 2 else by_name)(name, now, then)

    # half of 64 right answers stay, p0 being right in 16: a third of the gain
    with pytest.raises(CheckFailed, match="options rotated 32"):
        found(half)


def test_where_the_message_as_text_goes_by_places_too_nothing_is_said() -> None:
    def labels(name: str, now: Episode, then: Episode) -> bool:
        return by_place("normal" if name == "p1" else name, now, then)

    with pytest.raises(CannotTell, match=r"text 64 and 0: it names a place itself"):
        found(labels)


def test_without_lists_or_gain_nothing_is_said() -> None:
    bare = tuple(replace(one, before="Where to?") for one in EPISODES)
    few = (*EPISODES[:8], *bare[8:])
    with pytest.raises(CannotTell, match="8 of 64 prompts list their options"):
        found(by_name, few)
    with pytest.raises(DoesNotApply, match="gains nothing over p0"):
        found(luck)


@pytest.mark.parametrize(
    ("lost", "gained", "left", "wanted"),
    [
        (10, 0, 0, True),
        (9, 0, 0, False),
        (20, 5, 10, False),
        (24, 3, 0, True),
        (20, 0, 40, False),
    ],
)
def test_a_collapse_is_beyond_chance_and_takes_half_of_the_gain(
    lost: int, gained: int, left: int, wanted: bool
) -> None:
    before = (
        [True] * lost + [False] * gained + [True] * left + [False] * (64 - lost - gained - left)
    )
    after = [False] * lost + [True] * gained + before[lost + gained :]
    assert collapses(before, after, 0.0) is wanted
