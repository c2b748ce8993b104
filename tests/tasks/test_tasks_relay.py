"""The relay task over many seeds: what is asked, what donors say, what splits share."""

from __future__ import annotations

import itertools
from collections import Counter
from types import MappingProxyType

import pytest

from lpca.gatespec.model import Answers
from lpca.tasks import (
    MAX_OPTIONS,
    Episode,
    EpisodeSet,
    Split,
    Stratum,
    TaskError,
    ToldEpisode,
    make_task,
    split_of,
)
from lpca.tasks.kinds.relay import TEST_WORDINGS, TRAIN_WORDINGS, VALIDATION_WORDINGS, Relay

LIST_LEADS, AFTERS, FACTS = Relay.leads, Relay.afters, tuple(Relay.leads)
fact_names = Relay().values
STRATA: tuple[Stratum, ...] = ("seen", "unseen")
SETS: list[tuple[Split, Stratum]] = [
    ("validation", "seen"),
    ("validation", "unseen"),
    ("test", "seen"),
    ("test", "unseen"),
]
EVERY = {
    fact: [*fact_names(fact, "test", "seen")]
    + [name for split, stratum in SETS[1::2] for name in fact_names(fact, split, stratum)]
    for fact in FACTS
}


def told(episode: Episode) -> dict[str, str]:
    assert isinstance(episode, ToldEpisode)
    return dict(episode.facts)


def asked(episode: Episode) -> str:
    """Which fact B is asked for, by its question."""
    return next(fact for fact, after in AFTERS.items() if after == episode.after)


def sets(n: int, seeds: range = range(4)) -> list[EpisodeSet]:
    return [
        Relay().evaluation_set(split, stratum, n, seed) for split, stratum in SETS for seed in seeds
    ]


def training(steps: int = 40, size: int = 24, seed: int = 0) -> list[Episode]:
    return [e for step in range(steps) for e in Relay().training_batch(step, size, seed)]


class TestNames:
    def test_none_contains_another_whatever_it_names(self) -> None:
        names = [name.lower() for names in EVERY.values() for name in names]
        text = "\n".join(names)
        assert [name for name in names if text.count(name) > 1] == []

    @pytest.mark.parametrize("fact", FACTS)
    def test_held_out_for_validation_and_for_test_apart(self, fact: str) -> None:
        groups = [
            fact_names(fact, split, stratum)
            for split, stratum in (SETS[1], SETS[3], ("train", "seen"))
        ]
        for one, other in itertools.combinations(groups, 2):
            assert set(one).isdisjoint(other)
        assert min(map(len, groups)) > MAX_OPTIONS

    @pytest.mark.parametrize("fact", FACTS)
    def test_training_has_no_unseen_ones(self, fact: str) -> None:
        with pytest.raises(TaskError, match="no unseen"):
            fact_names(fact, "train", "unseen")

    def test_no_text_around_the_options_holds_one(self) -> None:
        around = " ".join([*LIST_LEADS.values(), *AFTERS.values()]).lower()
        assert [n for names in EVERY.values() for n in names if n.lower() in around] == []


class TestMessages:
    def test_every_message_tells_all_three_facts_once(self) -> None:
        for episode in [e for one in sets(60) for e in one] + training():
            for text in (episode.message, episode.paraphrase):
                assert [text.count(value) for value in told(episode).values()] == [1, 1, 1]
            assert episode.paraphrase != episode.message
            assert list(told(episode)) == list(FACTS)

    def test_the_message_does_not_depend_on_what_is_asked(self) -> None:
        counts = Counter((e.wording, asked(e)) for one in sets(300, range(1)) for e in one)
        wordings = {wording for wording, _ in counts}
        assert all(counts[wording, fact] > 0 for wording in wordings for fact in FACTS)

    def test_episodes_of_one_wording_are_one_group(self) -> None:
        assert all(e.group == e.wording != "" for one in sets(30) for e in one)

    def test_no_wording_names_a_fact_by_itself(self) -> None:
        for wording in (*TRAIN_WORDINGS, *VALIDATION_WORDINGS, *TEST_WORDINGS):
            bare = wording.format(who="", where="", when="").lower()
            assert [n for names in EVERY.values() for n in names if n.lower() in bare] == []

    def test_splits_share_no_message_no_wording_of_their_own_and_no_seed(self) -> None:
        trained = training(steps=300)
        groups = {"train": trained}
        for split in ("validation", "test"):
            groups[split] = [
                e
                for stratum in STRATA
                for seed in range(3)
                for e in Relay().evaluation_set(split, stratum, 400, seed)  # type: ignore[arg-type]
            ]
        for one, other in itertools.combinations(groups.values(), 2):
            texts = [
                {m for e in group for m in (e.message, e.paraphrase)} for group in (one, other)
            ]
            assert texts[0].isdisjoint(texts[1])
        for split, episodes in groups.items():
            assert {split_of(e.seed) for e in episodes} == {split}
            assert len({e.seed for e in episodes}) == len(episodes)
        assert {e.wording for e in trained} == set(TRAIN_WORDINGS)
        assert set(TEST_WORDINGS) <= {e.wording for e in groups["test"]}
        assert not set(TEST_WORDINGS) & {e.wording for e in groups["validation"]}

    def test_unseen_episodes_name_nothing_that_training_does(self) -> None:
        trained = {value for e in training() for value in told(e).values()}
        for split in ("validation", "test"):
            unseen = Relay().evaluation_set(split, "unseen", 60, 0)  # type: ignore[arg-type]
            values = {value for e in unseen for value in told(e).values()}
            options = {option for e in unseen for option in e.options}
            assert trained.isdisjoint(values | options)


class TestOptions:
    @pytest.mark.parametrize("options", [2, 3, 4, 16])
    @pytest.mark.parametrize("n", [2, 3, 5, 6, 17, 240])
    @pytest.mark.parametrize("stratum", STRATA)
    def test_a_donor_contradicts_the_asked_fact(
        self, stratum: Stratum, n: int, options: int
    ) -> None:
        for seed in range(3):
            episodes = Relay(options).evaluation_set("test", stratum, n, seed)
            assert sorted(episodes.donors) == list(range(n))
            for index, episode in enumerate(episodes):
                donor, fact = episodes.donor(index), asked(episode)
                assert episodes.donors[index] != index
                assert told(donor)[fact] in set(episode.options) - {episode.right}
                assert told(episode)[fact] == episode.right
                assert episode.right not in donor.message
                assert len(set(episode.options)) == len(episode.options) == options
                assert set(episode.options) <= set(EVERY[fact])
                assert [o for o in episode.options if o in episode.message] == [episode.right]

    @pytest.mark.parametrize("options", [2, 3, 4, 5])
    def test_facts_and_places_are_balanced_together(self, options: int) -> None:
        episodes = Relay(options).evaluation_set("test", "seen", 240, 3)
        counts = Counter((asked(e), e.answer) for e in episodes)
        assert max(counts.values()) - min(counts.values()) <= 1
        assert len(counts) == len(FACTS) * options

    def test_a_part_of_a_set_asks_for_every_fact(self) -> None:
        part = Relay().evaluation_set("test", "seen", 400, 0).part(100, 130)
        assert Counter(map(asked, part)) == dict.fromkeys(FACTS, 10)

    def test_the_prompt_lists_options_of_the_asked_kind_and_nothing_else(self) -> None:
        for episode in Relay().evaluation_set("test", "seen", 30, 1):
            lead, tail, after = Relay().outside(episode)
            assert lead == LIST_LEADS[asked(episode)]
            assert episode.before == lead + ", ".join(episode.options) + tail
            assert after == episode.after
            around = lead + tail + after
            assert not [value for value in told(episode).values() if value in around]

    def test_both_strata_in_turn_with_donors_of_their_own(self) -> None:
        episodes = Relay().evaluation_set("test", "all", 25, 0)
        assert [e.stratum for e in episodes] == [STRATA[i % 2] for i in range(25)]
        for index, episode in enumerate(episodes):
            assert episodes.donor(index).stratum == episode.stratum

    @pytest.mark.parametrize("options", [1, 17, True, "4", 4.0])
    def test_options_out_of_range_or_of_another_type_are_refused(self, options: object) -> None:
        with pytest.raises(TaskError, match=r"options is .*; allowed: a whole number from 2"):
            Relay.from_settings({"options": options})  # type: ignore[dict-item]

    def test_an_unknown_setting_is_named(self) -> None:
        with pytest.raises(TaskError, match="unknown setting 'asked'; allowed: options"):
            make_task("relay", {"asked": "who"})

    @pytest.mark.parametrize("answers", ["seen", "unseen", "all"])
    def test_too_few_episodes_for_a_derangement(self, answers: Answers) -> None:
        with pytest.raises(TaskError, match="at least 2"):
            Relay().evaluation_set("test", answers, 1, 0)


class TestDeterminism:
    def test_the_same_arguments_give_the_same_episodes(self) -> None:
        one, other = (Relay().evaluation_set("test", "seen", 30, 7) for _ in range(2))
        assert one == other
        assert one.hash() == other.hash() != Relay().evaluation_set("test", "seen", 30, 8).hash()
        assert training(2) == training(2) != training(2, seed=1)

    def test_the_training_hash_follows_what_training_uses(self) -> None:
        class AsksOtherwise(Relay):
            afters = MappingProxyType({**AFTERS, "who": "\nWho?"})

        class TellsOtherwise(Relay):
            wordings = MappingProxyType({**Relay.wordings, "train": TRAIN_WORDINGS[1:]})

        tasks = (Relay(4), Relay(5), AsksOtherwise(4), TellsOtherwise(4))
        assert len({task.training_hash() for task in tasks}) == 4
