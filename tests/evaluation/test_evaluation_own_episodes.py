"""The validity checks on a user's own episodes: what they accuse, and what they leave alone."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lpca.base.errors import RequestError
from lpca.codec.architectures.baselines import StaticPrefix
from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.channel import Channel
from lpca.codec.checkpoint import identify
from lpca.codec.recipe import Recipe, Stage
from lpca.evaluation.condition_numbers import condition_numbers
from lpca.evaluation.conditions import CONDITIONS, Setting
from lpca.evaluation.evaluate import evaluate
from lpca.receivers.model import Receiver, refuse_too_long
from lpca.tasks import split_by_hash
from lpca.tasks.kinds.episodes import Episodes
from lpca.tasks.kinds.trip import city_names
from lpca.validity.audit import Audit
from lpca.validity.catalogue import CHECKS, CheckFailed, run_checks
from lpca.validity.checks.episodes import donors_deranged, position_balanced
from lpca.validity.checks.form import form_gives_no_answer
from lpca.validity.checks.giveaways import no_answer_outside_options

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "own_episodes"
CITIES = city_names("train", "seen")[:40]
K = 3
STATIC = (position_balanced, no_answer_outside_options, form_gives_no_answer, donors_deranged)
Row = dict[str, Any]


def mcq(count: int = 400, listed: str = "Choose among {}.{{message}}\nWhich is it?") -> list[Row]:
    """Rows whose context lists the options in one way or another."""
    rng = random.Random(0)
    rows = []
    for i in range(count):
        options = rng.sample(CITIES, 4)
        answer = rng.choice(options)
        rows.append(
            {
                "message": f"Traveller {i} has a ticket to {answer}.",
                "context": listed.format(rng.choice((", ", "/", "; ", " or ")).join(options)),
                "answer": answer,
                "options": options,
            }
        )
    return rows


def audit_of(receiver: Receiver, folder: Path, rows: list[Row], n: int = 80) -> Audit:
    (folder / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = Episodes.from_settings({"file": "own.jsonl"}, folder)
    episodes = task.evaluation_set("test", "all", n, 0)
    return Audit(Setting(receiver, None, episodes), task, {}, "")


def found(audit: Audit) -> dict[str, str]:
    """What the checks that need no model accuse."""
    accused = {}
    for check in STATIC:
        try:
            check(audit)
        except CheckFailed as leak:
            accused[check.id] = str(leak)
    return accused


def changed(rows: list[Row], change: Callable[[Row], Row]) -> list[Row]:
    return [{**row, **change(row)} for row in rows]


SOUND = {
    "options listed before the message": mcq(),
    "options listed behind it": mcq(listed="Read.{{message}}\nNow pick one of {}:"),
    "options listed twice": mcq(listed="Of {0}?{{message}}\nSay it ({0}):"),
    "options not listed": mcq(listed="Read.{{message}}\nWhich?"),
    "rows without options": [
        {key: value for key, value in row.items() if key != "options"}
        for row in mcq(listed="Read.{{message}}\nWhich?")
    ],
    "a short word shared with the question": changed(
        mcq(), lambda r: {"context": r["context"] + " Traveller 3 has one."}
    ),
}


@pytest.mark.parametrize("what", SOUND)
def test_sound_episodes_are_not_accused(llama: Receiver, tmp_path: Path, what: str) -> None:
    assert found(audit_of(llama, tmp_path, SOUND[what])) == {}


@pytest.mark.parametrize("file", ["trips.jsonl", "countries.jsonl"])
@pytest.mark.parametrize("seed", range(3))
def test_the_examples_are_not_accused(llama: Receiver, file: str, seed: int) -> None:
    task = Episodes.from_settings({"file": file}, EXAMPLES)
    episodes = task.evaluation_set("test", "all", 132, seed)
    assert found(Audit(Setting(llama, None, episodes), task, {}, "")) == {}


def test_yes_and_no_may_stand_anywhere_alike(llama: Receiver, tmp_path: Path) -> None:
    rng = random.Random(1)
    rows = [
        {
            "message": f"Ticket {i} is {rng.choice(('paid', 'open'))}.",
            "context": "Answer yes or no."
            f"{{message}}\nIs there {rng.choice(('no', 'a'))} debt? {rng.choice(('Yes', 'So'))}?",
            "answer": rng.choice(("yes", "no")),
            "options": ["yes", "no"],
        }
        for i in range(500)
    ]
    assert found(audit_of(llama, tmp_path, rows, n=100)) == {}


def test_that_one_answer_is_common_is_no_leak(llama: Receiver, tmp_path: Path) -> None:
    rng = random.Random(1)
    words = ["seventeen", "three", "four", "six"]
    rows = [
        {
            "message": f"Note {i}.",
            "context": "Read.{message}\nHow many?",
            "answer": words[0] if rng.random() < 0.5 else rng.choice(words[1:]),
            "options": rng.sample(words, 4),
        }
        for i in range(900)
    ]
    assert found(audit_of(llama, tmp_path, rows, n=200)) == {}


def in_one_row(change: Callable[[Row], Row]) -> list[Row]:
    """All rows are sound but those of one answer."""
    return [{**row, **change(row)} if row["answer"] == CITIES[0] else row for row in mcq(800)]


def with_options_in_order(row: Row) -> Row:
    options = [row["answer"], *(one for one in row["options"] if one != row["answer"])]
    return {"context": f"Of {', '.join(options)}?{{message}} Say it:", "options": options}


CYRILLIC = str.maketrans("AaEeOo", "\u0410\u0430\u0415\u0435\u041e\u043e")

LEAKS: dict[str, tuple[list[Row], str, str]] = {
    "the question holds the answer": (
        in_one_row(lambda r: {"context": f"{r['context']} Is it {r['answer'].upper()}?"}),
        "no_answer_outside_options",
        f"the right answer '{CITIES[0]}' stands in B's prompt outside of a list of all options:",
    ),
    "the question holds the answer in Cyrillic letters": (
        in_one_row(
            lambda r: {"context": f"{r['context']} Is it {r['answer'].translate(CYRILLIC)}?"}
        ),
        "no_answer_outside_options",
        "stands in B's prompt outside of a list of all options:",
    ),
    "only the right option is named": (
        in_one_row(lambda r: {"context": f"Perhaps {r['answer']}?{{message}}\nWhich?"}),
        "no_answer_outside_options",
        f"'Perhaps {CITIES[0]}?'; take it out, or list the row's `options` in its context",
    ),
    "the message stands in the context": (
        in_one_row(lambda r: {"context": f"{r['context']} {r['message'].replace('.', '')}"}),
        "no_answer_outside_options",
        "the right answer",
    ),
    "a sentence of the message stands in the context": (
        in_one_row(
            lambda r: {
                "message": f"The bus is late today. {r['message']}",
                "context": f"{r['context']} (the bus is late today)",
            }
        ),
        "no_answer_outside_options",
        "a sentence of the message is in B's prompt: 'The bus is late today.'",
    ),
    "the right option is listed first": (
        changed(mcq(), with_options_in_order),
        "position_balanced",
        "one place in the options is right far too often, by place: [80, 0, 0, 0]",
    ),
    "the right option has a mark": (
        changed(
            mcq(), lambda r: {"context": r["context"].replace(r["answer"], f"*{r['answer']}*")}
        ),
        "form_gives_no_answer",
        "the answer can be guessed from",
    ),
    "the answer stands there backwards": (
        changed(mcq(), lambda r: {"context": f"{r['context']} {r['answer'][::-1]}"}),
        "form_gives_no_answer",
        "from an option's presence in disguise",
    ),
}


@pytest.mark.parametrize("what", LEAKS)
def test_a_leak_is_found_and_named(llama: Receiver, tmp_path: Path, what: str) -> None:
    rows, check, says = LEAKS[what]
    accused = found(audit_of(llama, tmp_path, rows, n=120 if len(rows) > 400 else 80))
    assert check in accused
    assert says in accused[check]


def test_labels_named_where_they_are_right_are_found(llama: Receiver, tmp_path: Path) -> None:
    rng = random.Random(1)
    rows = []
    for i in range(500):
        answer = rng.choice(("yes", "no"))
        context = f"Yes or no?{{message}} {i}, {i * 7}: {answer}."
        rows.append({"message": f"Ticket {i}.", "context": context, "answer": answer})
        rows[-1]["options"] = ["yes", "no"]
    assert set(found(audit_of(llama, tmp_path, rows, n=100))) == {"form_gives_no_answer"}


def test_every_check_passes_on_passages_and_questions(llama: Receiver, tmp_path: Path) -> None:
    task = Episodes.from_settings({"file": "countries.jsonl"}, EXAMPLES)
    episodes = task.evaluation_set("test", "all", 24, 0)
    channel = Channel(llama, TokenPooler(llama, K), K)
    static = Channel(llama, StaticPrefix(llama, K), K)
    training_messages = tuple(e.message for e in task.training_batch(0, 20, 0))
    setting = Setting(llama, channel, episodes, static, training_messages)
    conditions = [name for name in CONDITIONS if name not in ("same_answer", "p5", "alone")]
    records = evaluate(setting, conditions, tmp_path).outcomes
    trained = identify(llama, task, K, 0, Recipe(stages=(Stage(20),)))
    numbers = {name: condition_numbers(name, rs, 0.95, setting) for name, rs in records.items()}
    audit = Audit(setting, task, records, llama.state_hash(), trained=trained, numbers=numbers)
    results = run_checks(audit)
    assert len(results) == len(CHECKS)
    assert [(r.id, r.detail) for r in results if r.passed is False] == []
    assert [r.id for r in results if r.passed is None] == [
        *("normal_names_no_place", "lengths_say_nothing", "same_answer_agrees"),
        *("remembers_nothing", "bits_as_declared", "packets_within_limit"),
    ]


class TestWindow:
    def test_what_fits_is_taken_and_what_does_not_is_refused(
        self, llama: Receiver, tmp_path: Path
    ) -> None:
        window = llama.model.config.max_position_embeddings
        around = len("Where?\nAnswer: Oslo") + 1
        rows = [
            {"message": f"{i}" + "x" * length, "context": "Where?{message}\nAnswer:", "answer": a}
            for length in (window - around - 1,)
            for i, a in enumerate(("Oslo", "Rome", "Lima", "Bonn"))
        ]
        episodes = self._all(tmp_path, rows)
        refuse_too_long(llama, episodes, K)
        with pytest.raises(RequestError, match=f"takes {window + 1} positions"):
            refuse_too_long(llama, self._all(tmp_path, self._longer(rows)), K)
        with pytest.raises(RequestError, match=f"allowed: at most {window}; shorten it"):
            refuse_too_long(llama, episodes, window - around + 2)

    def _longer(self, rows: list[Row]) -> list[Row]:
        return [*rows[:-1], {**rows[-1], "message": rows[-1]["message"] + "x"}]

    def _all(self, folder: Path, rows: list[Row]) -> Any:
        named = [{**row, "group": "g0"} for row in rows]
        (folder / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in named))
        task = Episodes.from_settings({"file": "own.jsonl"}, folder)
        split = split_by_hash("g0")
        if split == "train":
            return task.training_batch(0, 4, 0)
        return task.evaluation_set(split, "all", 4, 0)
