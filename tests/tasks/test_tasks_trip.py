from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections import Counter
from dataclasses import fields, replace
from types import MappingProxyType

import pytest

from lpca.gatespec.model import Answers
from lpca.tasks import (
    MAX_OPTIONS,
    MAX_TASK_SEED,
    SPLITS,
    Episode,
    EpisodeSet,
    Split,
    Stratum,
    TaskError,
    episode_seed,
    make_task,
    split_of,
)
from lpca.tasks.kinds.trip import (
    TEST_WORDINGS,
    TRAIN_WORDINGS,
    VALIDATION_WORDINGS,
    Trip,
    city_names,
)

STRATA: tuple[Stratum, ...] = ("seen", "unseen")
SETS: list[tuple[Split, Stratum]] = [
    ("validation", "seen"),
    ("validation", "unseen"),
    ("test", "seen"),
    ("test", "unseen"),
]
NAMES = {
    "training": city_names("train", "seen"),
    "held out for validation": city_names("validation", "unseen"),
    "held out for test": city_names("test", "unseen"),
}


def training(task: Trip, steps: int = 40, size: int = 24, seed: int = 0) -> list[Episode]:
    return [e for step in range(steps) for e in task.training_batch(step, size, seed)]


def assert_sound(episodes: EpisodeSet, options: int) -> None:
    assert sorted(episodes.donors) == list(range(len(episodes)))
    for index, episode in enumerate(episodes):
        donor = episodes.donor(index)
        assert episodes.donors[index] != index
        assert donor.right in set(episode.options) - {episode.right}
        assert len(set(episode.options)) == len(episode.options) == options
        assert episode.right in episode.message
        assert not [o for o in episode.options if o != episode.right and o in episode.message]


class TestNames:
    def test_hundreds_to_train_on_and_hundreds_held_out(self) -> None:
        assert len(NAMES["training"]) >= 300
        assert len(NAMES["held out for test"]) >= 100
        assert len(NAMES["held out for validation"]) > MAX_OPTIONS

    @pytest.mark.parametrize(("one", "other"), list(itertools.combinations(NAMES, 2)))
    def test_sets_share_no_name(self, one: str, other: str) -> None:
        assert set(NAMES[one]).isdisjoint(NAMES[other])

    def test_every_name_comes_once(self) -> None:
        names = [name for group in NAMES.values() for name in group]
        assert len(set(names)) == len(names)

    def test_no_name_contains_another(self) -> None:
        text = "\n".join(name.lower() for group in NAMES.values() for name in group)
        assert not [name for name in text.split() if text.count(name) > 1]

    def test_training_and_test_share_the_seen_names(self) -> None:
        assert city_names("train", "seen") == city_names("test", "seen")

    def test_training_has_no_unseen_names(self) -> None:
        with pytest.raises(TaskError, match="no unseen"):
            city_names("train", "unseen")


class TestSplits:
    def test_seeds_of_splits_strata_and_task_seeds_never_meet(self) -> None:
        task = Trip()
        groups = [[e.seed for e in training(task, seed=seed)] for seed in (0, 1)]
        groups += [
            [e.seed for e in task.evaluation_set(split, stratum, 50, seed)]
            for split, stratum in SETS
            for seed in (0, 1)
        ]
        seeds = [seed for group in groups for seed in group]
        assert len(set(seeds)) == len(seeds)

    @pytest.mark.parametrize("split", SPLITS)
    @pytest.mark.parametrize("stratum", STRATA)
    @pytest.mark.parametrize("task_seed", [0, 7, MAX_TASK_SEED])
    @pytest.mark.parametrize("index", [0, 1, 4_999_999])
    def test_the_split_can_be_read_off_a_seed(
        self, split: Split, stratum: Stratum, task_seed: int, index: int
    ) -> None:
        assert split_of(episode_seed(split, stratum, task_seed, index)) == split

    def test_seeds_are_distinct_at_the_borders_of_their_ranges(self) -> None:
        seeds = [
            episode_seed(split, stratum, task_seed, index)
            for split in SPLITS
            for stratum in STRATA
            for task_seed in (0, 1, 2)
            for index in (0, 1, 4_999_998, 4_999_999)
        ]
        assert len(set(seeds)) == len(seeds)

    @pytest.mark.parametrize(
        ("task_seed", "index"), [(-1, 0), (MAX_TASK_SEED + 1, 0), (0, -1), (0, 5_000_000)]
    )
    def test_a_seed_out_of_range_is_refused(self, task_seed: int, index: int) -> None:
        with pytest.raises(TaskError, match="out of range; allowed"):
            episode_seed("test", "seen", task_seed, index)

    @pytest.mark.parametrize("seed", [-1, MAX_TASK_SEED + 1])
    def test_a_task_seed_out_of_range_is_refused(self, seed: int) -> None:
        with pytest.raises(TaskError, match="allowed: 0 to"):
            Trip().evaluation_set("test", "seen", 4, seed)
        with pytest.raises(TaskError, match="allowed: 0 to"):
            Trip().training_batch(0, 4, seed)

    def test_training_never_sees_test_wordings_nor_held_out_names(self) -> None:
        episodes = training(Trip(), steps=120)
        texts = "\n".join(f"{e.before} {e.message} {e.after}" for e in episodes)
        words = set(texts.replace(".", " ").replace(",", " ").replace("!", " ").split())
        assert words.isdisjoint(NAMES["held out for test"])
        assert words.isdisjoint(NAMES["held out for validation"])
        for wording in TEST_WORDINGS:
            assert max(wording.split("{city}"), key=len) not in texts
        assert {e.wording for e in episodes} == set(TRAIN_WORDINGS)
        assert len({e.right for e in episodes}) > 500

    def test_validation_has_none_of_the_tests_wordings(self) -> None:
        wordings = {e.wording for e in Trip().evaluation_set("validation", "seen", 100, 0)}
        assert wordings.isdisjoint(TEST_WORDINGS)

    @pytest.mark.parametrize("stratum", STRATA)
    @pytest.mark.parametrize("seed", range(5))
    def test_test_messages_come_in_every_wording_about_equally_often(
        self, stratum: Stratum, seed: int
    ) -> None:
        episodes = Trip().evaluation_set("test", stratum, 130, seed)
        counts = Counter(e.wording for e in episodes)
        assert set(counts) == {*TRAIN_WORDINGS, *TEST_WORDINGS}
        assert max(counts.values()) - min(counts.values()) <= 2

    @pytest.mark.parametrize("answers", ["seen", "unseen", "all"])
    def test_gate_1_speaks_of_sixty_wordings_half_of_them_new(self, answers: Answers) -> None:
        episodes = Trip().evaluation_set("test", answers, 400, 20260122)
        for stratum in {e.stratum for e in episodes}:
            counts = Counter(e.group for e in episodes if e.stratum == stratum)
            trained = sum(counts[wording] for wording in TRAIN_WORDINGS)
            assert len(counts) == len({*TRAIN_WORDINGS, *TEST_WORDINGS}) >= 60
            assert len(TEST_WORDINGS) * 2 == len(counts)
            assert max(counts.values()) - min(counts.values()) <= 2
            assert abs(2 * trained - counts.total()) <= counts.total() / 10

    def test_every_wording_names_the_city_once_and_no_other(self) -> None:
        every = (*TRAIN_WORDINGS, *VALIDATION_WORDINGS, *TEST_WORDINGS)
        assert len(set(every)) == len(every)
        for wording in every:
            assert wording.count("{city}") == 1
            bare = wording.format(city="").lower()
            assert [n for names in NAMES.values() for n in names if n.lower() in bare] == []

    @pytest.mark.parametrize("split", ["validation", "test"])
    def test_no_message_is_shared_with_training(self, split: Split) -> None:
        trained = {e.message for e in training(Trip(), steps=400)}
        for seed in range(3):
            episodes = list(Trip().evaluation_set(split, "seen", 400, seed))
            assert trained.isdisjoint(e.message for e in episodes)
            assert trained.isdisjoint(e.paraphrase for e in episodes)

    def test_validation_and_test_share_no_message(self) -> None:
        groups = [
            {
                e.message
                for seed in range(5)
                for e in Trip().evaluation_set(split, "seen", 500, seed)
            }
            for split in ("validation", "test")
        ]
        assert groups[0].isdisjoint(groups[1])

    @pytest.mark.parametrize(("split", "stratum"), SETS)
    def test_a_paraphrase_names_the_same_answer_in_other_words(
        self, split: Split, stratum: Stratum
    ) -> None:
        for episode in Trip().evaluation_set(split, stratum, 60, 3):
            assert episode.paraphrase != episode.message
            named = [option for option in episode.options if option in episode.paraphrase]
            assert named == [episode.right]

    @pytest.mark.parametrize(("split", "stratum"), SETS)
    def test_answers_and_options_come_from_their_own_names(
        self, split: Split, stratum: Stratum
    ) -> None:
        names = set(city_names(split, stratum))
        for episode in Trip().evaluation_set(split, stratum, 60, 3):
            assert episode.stratum == stratum
            assert names.issuperset(episode.options)


class TestDonors:
    @pytest.mark.parametrize("options", [2, 3, 4, 16])
    @pytest.mark.parametrize("n", [2, 3, 4, 17, 400])
    @pytest.mark.parametrize("stratum", STRATA)
    def test_a_donor_names_a_wrong_option(self, stratum: Stratum, n: int, options: int) -> None:
        task = Trip(options)
        for seed in range(3):
            assert_sound(task.evaluation_set("test", stratum, n, seed), options)

    # One more than all names is where the first name could become its own neighbour.
    @pytest.mark.parametrize("extra", [-1, 0, 1, 2, 41])
    @pytest.mark.parametrize(("split", "stratum"), [("validation", "unseen"), ("test", "unseen")])
    def test_more_episodes_than_names(self, split: Split, stratum: Stratum, extra: int) -> None:
        n = len(city_names(split, stratum)) + extra
        for seed in range(40 if split == "validation" else 8):
            assert_sound(Trip().evaluation_set(split, stratum, n, seed), 4)

    def test_a_name_comes_again_only_after_all_have_come(self) -> None:
        n = len(NAMES["held out for test"])
        answers = Counter(e.right for e in Trip().evaluation_set("test", "unseen", n, 0))
        assert set(answers) == set(NAMES["held out for test"])
        assert set(answers.values()) == {1}

    @pytest.mark.parametrize(("split", "stratum"), SETS)
    @pytest.mark.parametrize("n", [2, 3, 64, 401])
    def test_a_donors_wording_is_another_one(self, split: Split, stratum: Stratum, n: int) -> None:
        episodes = Trip().evaluation_set(split, stratum, n, 0)
        assert not [i for i, e in enumerate(episodes) if e.wording == episodes.donor(i).wording]

    @pytest.mark.parametrize("n", [1, 0, -3])
    def test_too_few_episodes_for_a_derangement(self, n: int) -> None:
        with pytest.raises(TaskError, match="at least 2"):
            Trip().evaluation_set("test", "seen", n, 0)


class TestOptions:
    @pytest.mark.parametrize("options", [2, 3, 4, 5, 16])
    @pytest.mark.parametrize("n", [16, 50, 400])
    def test_the_right_position_is_balanced(self, n: int, options: int) -> None:
        counts = Counter(e.answer for e in Trip(options).evaluation_set("test", "seen", n, 1))
        shares = [counts[i] for i in range(options)]
        assert max(shares) - min(shares) <= 1

    def test_the_position_of_the_donors_answer_is_not_fixed(self) -> None:
        episodes = Trip().evaluation_set("test", "seen", 400, 0)
        offsets = Counter(
            (e.options.index(episodes.donor(i).right) - e.answer) % 4
            for i, e in enumerate(episodes)
        )
        assert min(offsets[1], offsets[2], offsets[3]) > 90

    @pytest.mark.parametrize("options", [2, 7, 16])
    def test_the_prompt_lists_the_options_and_nothing_else_names_them(self, options: int) -> None:
        task = Trip(options)
        for episode in task.evaluation_set("test", "seen", 20, 0):
            lead, tail, after = task.outside(episode)
            assert episode.before == lead + ", ".join(episode.options) + tail
            around = lead + tail + after
            assert not [option for option in episode.options if option in around]

    @pytest.mark.parametrize("options", [1, 0, -4, 17, True, 4.0, "4", None])
    def test_options_out_of_range_or_of_another_type_are_refused(self, options: object) -> None:
        with pytest.raises(TaskError, match=r"options is .*; allowed: "):
            Trip.from_settings({"options": options})  # type: ignore[dict-item]

    def test_an_unknown_setting_is_named(self) -> None:
        with pytest.raises(TaskError, match="unknown setting 'option'; allowed: options"):
            make_task("trip", {"option": 4})

    def test_an_unknown_task_is_named(self) -> None:
        with pytest.raises(TaskError, match="unknown task 'tripp'; did you mean 'trip'"):
            make_task("tripp", {})

    def test_settings_reach_the_task(self) -> None:
        episode = make_task("trip", {"options": 6}).training_batch(0, 1, 0)[0]
        assert len(episode.options) == 6


class TestDeterminism:
    @pytest.mark.parametrize("seed", [0, 1])
    def test_the_same_arguments_give_the_same_episodes(self, seed: int) -> None:
        sets = [Trip().evaluation_set("test", "seen", 30, seed) for _ in range(2)]
        assert sets[0] == sets[1]
        assert sets[0].hash() == sets[1].hash()
        assert Trip().training_batch(3, 8, seed) == Trip().training_batch(3, 8, seed)

    def test_seeds_and_steps_give_other_episodes(self) -> None:
        batches = [Trip().training_batch(step, 8, seed) for step in (0, 1) for seed in (0, 1)]
        assert len({tuple(e.right for e in batch) for batch in batches}) == 4
        hashes = {Trip().evaluation_set("test", "seen", 30, seed).hash() for seed in range(4)}
        assert len(hashes) == 4

    def test_another_process_with_another_hash_seed_makes_the_same(self) -> None:
        code = (
            "from lpca.tasks.kinds.trip import Trip; t = Trip();"
            "print(t.evaluation_set('test', 'unseen', 450, 5).hash(), t.training_hash(),"
            "hash(t.training_batch(2, 8, 1)[3].seed), t.training_batch(2, 8, 1)[3].message)"
        )
        said = {
            subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONHASHSEED": seed},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for seed in ("0", "12345")
        }
        assert len(said) == 1

    def test_the_training_hash_follows_what_training_uses(self) -> None:
        class AsksOtherwise(Trip):
            afters = MappingProxyType({"city": "\nWhere to?"})

        class TellsOtherwise(Trip):
            wordings = MappingProxyType({**Trip.wordings, "train": TRAIN_WORDINGS[1:]})

        tasks = (Trip(4), Trip(5), AsksOtherwise(4), TellsOtherwise(4))
        assert len({task.training_hash() for task in tasks}) == 4

    def test_the_episodes_hash_covers_every_field_and_the_donors(self) -> None:
        episodes = Trip().evaluation_set("test", "seen", 4, 0)
        first, *rest = episodes.episodes
        hashes = {episodes.hash(), replace(episodes, donors=(3, 0, 1, 2)).hash()}
        for field in fields(Episode):
            value = getattr(first, field.name)
            more = {int: 1, str: "x", tuple: ("x",)}[type(value)]
            changed = replace(first, **{field.name: value + more})
            hashes.add(EpisodeSet((changed, *rest), episodes.donors).hash())
        assert len(hashes) == 2 + len(fields(Episode))
