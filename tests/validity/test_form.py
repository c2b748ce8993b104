"""Guessers that see the form of prompts: never right by more than luck on sound episodes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lpca.evaluation.conditions import Setting
from lpca.receivers.model import Receiver
from lpca.sabotage.spoilt import reordered
from lpca.tasks import Episode, EpisodeSet
from lpca.tasks.kinds.trip import Trip
from lpca.validity.audit import Audit
from lpca.validity.catalogue import CheckFailed
from lpca.validity.checks.form import form_gives_no_answer
from lpca.validity.checks.giveaways import hidden_option

N = 200


def audit(receiver: Receiver, episodes: EpisodeSet, options: int = 4) -> Audit:
    return Audit(Setting(receiver, None, episodes), Trip(options), {}, "")


def ascending_where_even(e: Episode) -> Episode:
    """The wrong options rise where the answer's index is even, else they fall."""
    wrong = sorted((o for o in e.options if o != e.right), reverse=bool(e.answer % 2))
    return reordered(e, [*wrong[: e.answer], e.right, *wrong[e.answer :]])


LEAKS: dict[str, Callable[[Episode], Episode]] = {
    "blanks before the question": lambda e: replace(e, after=" " * e.answer + e.after),
    "blanks before the list": lambda e: replace(e, before=e.before + " " * e.answer),
    "another word for each place": lambda e: replace(
        e, after=f" {('Well', 'So', 'Now', 'Then')[e.answer]},{e.after}"
    ),
    "a length whose remainder is the place": lambda e: replace(
        e, before=e.before + "." * ((e.answer - len(e.before + e.after)) % 4)
    ),
    "a full stop behind the right one": lambda e: replace(
        e, before=e.before.replace(f"{e.right}, ", f"{e.right}., ").replace("..", ".")
    ),
    "the right one twice": lambda e: replace(e, before=f"{e.before} ({e.right})"),
    "the others in order": ascending_where_even,
    "the wrong ones in small letters": lambda e: replace(
        e,
        before=e.before.lower().replace(e.right.lower(), e.right),
        options=tuple(o if o == e.right else o.lower() for o in e.options),
    ),
}


class TestSound:
    @pytest.mark.parametrize("answers", ["seen", "unseen", "all"])
    @pytest.mark.parametrize(("options", "n"), [(2, 120), (4, 400), (7, 150), (4, 24)])
    def test_no_guesser_beats_luck(
        self, llama: Receiver, answers: str, options: int, n: int
    ) -> None:
        for seed in range(5):
            episodes = Trip(options).evaluation_set("test", answers, n, seed)  # type: ignore[arg-type]
            assert form_gives_no_answer(audit(llama, episodes, options))

    def test_lists_in_alphabetical_order_say_nothing(self, llama: Receiver) -> None:
        sound = Trip().evaluation_set("test", "seen", N, 1)
        ordered = tuple(reordered(e, sorted(e.options)) for e in sound)
        assert form_gives_no_answer(audit(llama, replace(sound, episodes=ordered)))

    def test_text_that_varies_with_nothing_says_nothing(self, llama: Receiver) -> None:
        sound = Trip().evaluation_set("test", "seen", N, 1)
        rng = random.Random(0)
        words = ("Well", "So", "Now", "Then")
        varied = tuple(replace(e, after=f" {rng.choice(words)},{e.after}") for e in sound)
        assert form_gives_no_answer(audit(llama, replace(sound, episodes=varied)))


class TestLeaks:
    @pytest.mark.parametrize("name", LEAKS)
    @pytest.mark.parametrize("stratum", ["seen", "unseen"])
    def test_a_form_that_goes_with_the_answer(
        self, llama: Receiver, name: str, stratum: str
    ) -> None:
        sound = Trip().evaluation_set("test", stratum, N, 2)  # type: ignore[arg-type]
        spoilt = replace(sound, episodes=tuple(map(LEAKS[name], sound)))
        with pytest.raises(CheckFailed, match=r"can be guessed from .*: \d+ of 200, by luck about"):
            form_gives_no_answer(audit(llama, spoilt))

    def test_an_answer_alone_before_the_slot_is_found_by_standing_there(
        self, llama: Receiver
    ) -> None:
        """Nothing stands beside it, and nothing beside the options that are not there."""
        sound = Trip().evaluation_set("test", "seen", N, 2)
        spoilt = replace(sound, episodes=tuple(replace(e, before=e.right) for e in sound))
        with pytest.raises(CheckFailed, match="from an option's number of times in the prompt"):
            form_gives_no_answer(audit(llama, spoilt))

    def test_half_of_the_episodes_suffice(self, llama: Receiver) -> None:
        sound = Trip().evaluation_set("test", "seen", N, 2)
        leak = LEAKS["blanks before the question"]
        spoilt = tuple(leak(e) if i % 2 else e for i, e in enumerate(sound))
        with pytest.raises(CheckFailed, match="can be guessed"):
            form_gives_no_answer(audit(llama, replace(sound, episodes=spoilt)))


class TestDisguises:
    OPTIONS = ("Springfield", "São Paulo", "Oslo", "Kraków")

    @pytest.mark.parametrize(
        "text",
        [
            "SPRINGFIELD",
            "S p r i n g f i e l d",
            "s-p-r-i-n-g-f-i-e-l-d!",
            "dleifgnirps",
            "Fcevatsvryq",
            "Go to Tqsjohgjfme now",
            "U3ByaW5nZmllbGQ=",
            "SSBmbHkgdG8gU3ByaW5nZmllbGQu",
            "(U3ByaW5nZmllbGQ)",
            "537072696e676669656c64",
            "KNYHE2LOM5TGSZLMMQ======",
            "%53%70%72%69%6E%67%66%69%65%6C%64",
            "sao paulo",
            "Krakow",
            "Spr\u0456ngf\u0456\u0435ld",
            "Spring\u200bfield",
            "\uff33\uff50\uff52\uff49\uff4e\uff47\uff46\uff49\uff45\uff4c\uff44",
            "\U0001d412pringfield",
            "a trip to springfield's centre",
        ],
    )
    def test_a_disguise_is_seen_through(self, text: str) -> None:
        found = hidden_option(f"Answer below. {text} Thanks.", self.OPTIONS)
        assert found is not None
        assert found[0] in self.OPTIONS

    @pytest.mark.parametrize(
        "text",
        [
            "\nQuestion: Where does the trip go?\nAnswer: The trip goes to",
            "The quick brown fox jumps over the lazy dog.",
            "Slow motion, lots of it",
            "",
            "QUJDREVGR0hJSktMTU5P",
        ],
    )
    def test_other_text_is_left_alone(self, text: str) -> None:
        assert hidden_option(text, self.OPTIONS) is None

    def test_no_sound_prompt_hides_any_city(self) -> None:
        for stratum in ("seen", "unseen"):
            for e in Trip().evaluation_set("test", stratum, 400, 0):  # type: ignore[arg-type]
                assert hidden_option(f"Candidate cities: {e.after}", e.options) is None


def test_the_files_of_the_room_import_no_sabotage() -> None:
    import lpca.validity

    for path in Path(lpca.validity.__file__).parent.rglob("*.py"):
        assert "sabotage" not in path.read_text(encoding="utf-8")
