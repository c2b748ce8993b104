"""Families of free answers: what each puzzle promises, and what the verifiers say of answers."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpca.base.hashing import named_rng
from lpca.tasks import SPLITS, TaskError, make_task
from lpca.tasks.family import OPTIONS, Family, FreeEpisode, family_named, split_of_message
from lpca.tasks.kinds import s1 as constraints
from lpca.tasks.kinds import s2 as arithmetic
from lpca.tasks.kinds import s3 as programs

SEEDS = range(300)
NAMES = ["s1", "s2", "s3"]


@pytest.fixture(params=NAMES)
def family(request: pytest.FixtureRequest) -> Family:
    return family_named(request.param)


def drawn(family: Family, seed: int) -> FreeEpisode:
    episode = family.training_batch(seed, 1, 0)[0]
    assert isinstance(episode, FreeEpisode)
    return episode


def meets(text: str, values: Sequence[int]) -> bool:
    """A constraint read by Python itself, with the operators that Python has."""
    places = dict(zip("wxyz", values, strict=True))
    for op, python in (("!=", "!="), ("=", "=="), ("<", "<"), (">", ">")):
        left, found, right = text.partition(op)
        if found:
            other = places[right] if right in places else int(right)
            compare: dict[str, Callable[[int, int], bool]] = {
                "!=": lambda a, b: a != b,
                "==": lambda a, b: a == b,
                "<": lambda a, b: a < b,
                ">": lambda a, b: a > b,
            }
            return compare[python](places[left], other)
    raise AssertionError(text)


def solutions(texts: Sequence[str]) -> list[tuple[int, ...]]:
    every = itertools.product(range(3), repeat=4)
    return [values for values in every if all(meets(text, values) for text in texts)]


def said(values: Sequence[int]) -> str:
    return " ".join(f"{name}={value}" for name, value in zip("wxyz", values, strict=True))


class TestConstraints:
    @pytest.mark.parametrize("split", SPLITS)
    def test_each_half_is_ambiguous_and_both_have_one_solution(self, split: str) -> None:
        family = constraints.Constraints()
        puzzles = family.puzzles(split, named_rng("test", split))  # type: ignore[arg-type]
        for puzzle in itertools.islice(puzzles, len(SEEDS)):
            assert len(puzzle.told) == len(puzzle.own) == 4
            assert len({*puzzle.told, *puzzle.own}) == 8
            assert min(len(solutions(puzzle.told)), len(solutions(puzzle.own))) >= 8
            assert list(map(said, solutions((*puzzle.told, *puzzle.own)))) == [puzzle.right]
            mine = set(map(said, solutions(puzzle.own)))
            assert mine - {puzzle.right} >= set(puzzle.wrong)

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 10**6), st.tuples(*[st.integers(0, 2)] * 4))
    def test_credit_is_the_share_of_constraints_met(
        self, seed: int, values: tuple[int, ...]
    ) -> None:
        puzzle = constraints.Constraints().draw(random.Random(seed))
        both = (*puzzle.told, *puzzle.own)
        share = sum(meets(text, values) for text in both) / 8
        credit = constraints.Constraints().credit(puzzle.told, puzzle.own, said(values))
        assert credit == share
        assert (credit == 1.0) == (said(values) == puzzle.right)

    @pytest.mark.parametrize(
        ("text", "credit"),
        [
            ("w=0 x=1 y=2 z=0", 1.0),
            ("z = 0, y = 2, x = 1, w = 0.", 1.0),
            ("w=0 x=1 y=2", 0.5),
            ("w=0 x=1 y=2 z=3", 0.0),
            ("w=0 w=1 x=1 y=2 z=0", 0.0),
            ("I do not know", 0.0),
            ("", 0.0),
        ],
    )
    def test_partial_and_malformed_answers(self, text: str, credit: float) -> None:
        told, own = ("w<x", "z=w"), ("x<y", "z<y")
        assert constraints.Constraints().credit(told, own, text) == credit


class TestArithmetic:
    @pytest.mark.parametrize("formula", arithmetic.FORMULAS)
    def test_the_value_is_pythons(self, formula: str) -> None:
        rng = random.Random(formula)
        for _ in range(50):
            numbers = {name: rng.randint(1, 9) for name in "abcd"}
            assert arithmetic.value_of(formula, numbers) == eval(formula, {}, dict(numbers))

    def test_a_half_alone_is_ambiguous_and_both_give_the_result(self) -> None:
        family = arithmetic.Arithmetic()
        for seed in SEEDS:
            episode = drawn(family, seed)
            formula, mine = episode.own
            assert sorted(one[0] for one in (*episode.told, mine)) == list("abcd")
            assert episode.credit(episode.right) == 1.0
            # with another of A's numbers, which B cannot exclude, each wrong option is right
            others = [
                {**dict(pair.split("=") for pair in (*episode.told, mine)), name: str(value)}
                for name in "abcd"
                if name != mine[0]
                for value in range(1, 10)
            ]
            open_to_b = {
                str(arithmetic.value_of(formula, {k: int(v) for k, v in one.items()}))
                for one in others
            }
            assert set(episode.options) <= open_to_b
            # and with another formula A's numbers give another result
            numbers = {one[0]: int(one[2:]) for one in (*episode.told, mine)}
            assert len({arithmetic.value_of(f, numbers) for f in arithmetic.FORMULAS}) > 1

    @pytest.mark.parametrize(
        ("text", "credit"),
        [
            ("6", 1.0),
            (" 6\n7", 1.0),
            ("6 is the result", 1.0),
            ("7", 0.5),
            ("2", 0.2),
            ("-6", 1 / 13),
            ("6.5", 0.0),
            ("six", 0.0),
            ("6abc", 0.0),
            ("9" * 30, 0.0),
            ("", 0.0),
        ],
    )
    def test_credit_is_closeness(self, text: str, credit: float) -> None:
        drawn_one = drawn(arithmetic.Arithmetic(), 0)
        episode = replace(drawn_one, told=("c=3", "a=1", "b=2"), own=("a+b*c-d", "d=1"))
        assert episode.credit(text) == pytest.approx(credit)


class TestPrograms:
    def test_each_half_is_ambiguous_and_both_give_one_function(self) -> None:
        every = {
            f"({start}*{factor}+{shift})%5": [
                eval(f"({start}*{factor}+{shift})%5", {"max": max, "min": min}, {"x": x})
                for x in range(10)
            ]
            for start in programs.STARTS
            for factor in programs.FACTORS
            for shift in programs.SHIFTS
        }

        def giving(cases: Sequence[str]) -> set[str]:
            pairs = [tuple(map(int, case[2:].split(")="))) for case in cases]
            return {text for text, ys in every.items() if all(ys[x] == y for x, y in pairs)}

        for seed in SEEDS:
            episode = drawn(programs.Programs(), seed)
            both = giving((*episode.told, *episode.own))
            assert episode.right in both
            assert len({tuple(every[text]) for text in both}) == 1
            for half in (episode.told, episode.own):
                assert len({tuple(every[text]) for text in giving(half)}) >= 4
            assert both.isdisjoint(set(episode.options) - {episode.right})

    @pytest.mark.parametrize(
        ("text", "credit"),
        [
            ("(x*2+1)%5", 1.0),
            ("(2 * x + 1) % 5", 1.0),
            ("x*2+1", 0.5),
            ("1", 0.25),
            ("x//0", 0.0),
            ("lambda x: x", 0.0),
            ("", 0.0),
        ],
    )
    def test_credit_is_the_share_of_cases_that_pass(self, text: str, credit: float) -> None:
        told, own = ("f(0)=1", "f(1)=3"), ("f(2)=0", "f(3)=2")
        assert programs.Programs().credit(told, own, text) == credit


class TestEpisodes:
    def test_the_right_answer_solves_and_no_other_option_does(self, family: Family) -> None:
        # each of S3's answers is run in a process of its own
        for episode in family.evaluation_set("test", "seen", 8, 3):
            assert isinstance(episode, FreeEpisode)
            assert len(set(episode.options)) == OPTIONS
            solving = [option for option in episode.options if episode.credit(option) == 1.0]
            assert solving == [episode.right]

    def test_b_reads_neither_the_message_nor_an_option(self, family: Family) -> None:
        for episode in family.evaluation_set("test", "seen", 100, 4):
            text = episode.before + episode.after
            assert isinstance(episode, FreeEpisode)
            assert not [word for word in episode.told if f" {word} " in f"{text} "]
            assert f" {episode.right} " not in text.replace("=", " ").replace("\n", " ") + " "

    def test_donors_are_a_derangement_whose_messages_contradict(self, family: Family) -> None:
        episodes = family.evaluation_set("test", "seen", 200, 5)
        assert sorted(episodes.donors) == list(range(200))
        for index, episode in enumerate(episodes):
            donor = episodes.donor(index)
            assert episodes.donors[index] != index
            assert isinstance(episode, FreeEpisode)
            assert isinstance(donor, FreeEpisode)
            assert family.contradicts(donor.told, episode.own, episode.right)
            if index < 8:
                assert family.credit(donor.told, episode.own, episode.right) < 1.0

    def test_an_own_message_contradicts_nothing(self, family: Family) -> None:
        episode = family.evaluation_set("test", "seen", 20, 5).episodes[0]
        assert not episode.contradicted_by(episode)

    def test_messages_of_the_splits_are_apart_and_told_once(self, family: Family) -> None:
        test = family.evaluation_set("test", "seen", 200, 6).episodes
        validation = family.evaluation_set("validation", "seen", 24, 6).episodes
        train = [e for step in range(20) for e in family.training_batch(step, 24, 6)]
        facts = {}
        for split, episodes in (("test", test), ("validation", validation), ("train", train)):
            facts[split] = [tuple(sorted(e.told)) for e in episodes if isinstance(e, FreeEpisode)]
            assert {split_of_message(told) for told in facts[split]} == {split}
        assert len(set(facts["test"])) == 200
        assert len({episode.group for episode in test}) == 200
        assert set(facts["test"]).isdisjoint(facts["train"])

    def test_a_paraphrase_tells_the_same_in_other_words(self, family: Family) -> None:
        for episode in family.evaluation_set("test", "seen", 40, 7):
            assert episode.paraphrase != episode.message
            assert sorted(episode.paraphrase.split()) == sorted(episode.message.split())

    def test_places_are_balanced_and_draws_repeat(self, family: Family) -> None:
        one = family.evaluation_set("test", "seen", 80, 8)
        assert set(Counter(e.answer for e in one).values()) == {80 // OPTIONS}
        assert one == family_named(family.name).evaluation_set("test", "seen", 80, 8)
        assert one != family.evaluation_set("test", "seen", 80, 9)
        assert list(family.training_batch(3, 5, 1)) == list(family.training_batch(3, 5, 1))

    def test_more_messages_than_there_are_are_refused(
        self, family: Family, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lpca.tasks.family.MAX_REPEATED", 2)
        with pytest.raises(TaskError, match="different messages were drawn, 5000 are asked for"):
            family.evaluation_set("validation", "seen", 5000, 0)

    def test_unseen_answers_and_settings_are_refused(self, family: Family) -> None:
        with pytest.raises(TaskError, match="allowed: seen, all"):
            family.evaluation_set("test", "unseen", 20, 0)
        with pytest.raises(TaskError, match="unknown setting 'options'; allowed: none"):
            make_task(family.name, {"options": 4})
        with pytest.raises(TaskError, match="derangement needs at least 2"):
            family.evaluation_set("test", "seen", 1, 0)
        assert make_task(family.name, {}).name == family.name
