"""The ledger remembers looks by their rows, notices when it was altered, and can be merged."""

from __future__ import annotations

import itertools
import json
import random
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import simulate_ledger as simulate

from lpca.judge.decide import judge
from lpca.tasks import EpisodeSet
from lpca.tasks.kinds.trip import Trip
from lpca.validity import ledger_file
from lpca.validity.catalogue import CheckFailed
from lpca.validity.checks.ledger import checkpoints_accounted, ledger_intact, looks_accounted
from lpca.validity.ledger import (
    Family,
    GateLedger,
    LedgerEntry,
    draw_seed,
    families,
    looks_of,
    readings_of,
    row_keys,
    unpaid,
)
from lpca.validity.ledger_file import HEAD, LINES, LedgerError, LedgerFile, merged

FLIPS = 3000
NOW = LedgerEntry(
    rows=("a", "b", "c"),
    receiver="receiver",
    k=4,
    codec="content",
    recipe="recipe",
    packets=(1.0, -2.0, 0.5),
    gate="gate1",
    n=100,
    criteria=("above p0", "above shuffle"),
    share=1 / 3,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


def other(entry: LedgerEntry = NOW, add: float = 1.0, **changes: object) -> LedgerEntry:
    """Another codec's entry."""
    shifted = tuple(value + add for value in entry.packets)
    return replace(entry, packets=shifted, **changes)


def taken(
    folder: Path, *entries: LedgerEntry, limit: int = 3, verdict: str = "", run: str = "run"
) -> GateLedger:
    """The last look, after those before it were taken; without a verdict the looks alone."""
    for entry in entries:
        with GateLedger.opened(folder, entry, limit) as found:
            if verdict:
                found.keep(verdict, run)
            elif not found.altered:
                found.file.write_new()
    return found


def verdict_of(ledger: GateLedger) -> list[str]:
    """Which checks find something."""
    failed = []
    for check in (ledger_intact, checkpoints_accounted, looks_accounted):
        try:
            check(SimpleNamespace(ledger=ledger))
        except CheckFailed:
            failed.append(check.id)
    return failed


class TestFile:
    def test_looks_come_back_in_order(self, folder: Path) -> None:
        looks = [NOW, other(), other(add=2.0, n=50, rows=("d",))]
        taken(folder, *looks)
        assert list(looks_of(LedgerFile.read(folder)).values()) == looks

    def test_the_same_look_is_kept_once(self, folder: Path) -> None:
        for run in ("first", "second"):
            taken(folder, replace(NOW, run=run), verdict="FAIL", run=run)
        nearly = tuple(value * 1.001 for value in NOW.packets)
        taken(folder, replace(NOW, packets=nearly, gate="renamed"), verdict="FAIL", run="third")
        lines = LedgerFile.read(folder).lines
        assert [(line.kind, line.data["run"]) for line in lines] == [
            ("look", "first"),
            ("verdict", "first"),
            # under another name
            ("verdict", "third"),
        ]

    @pytest.mark.parametrize("place", [0, 1, 2])
    @pytest.mark.parametrize("what", ["edited", "gone"])
    def test_an_altered_line_is_noticed_wherever_it_stands(
        self, folder: Path, place: int, what: str
    ) -> None:
        taken(folder, *(other(add=float(add)) for add in range(3)))
        lines = (folder / LINES).read_text().splitlines()
        edited = json.dumps({**json.loads(lines[place]), "n": 7}, sort_keys=True)
        lines[place : place + 1] = [edited] if what == "edited" else []
        (folder / LINES).write_text("\n".join(lines) + "\n")
        with pytest.raises(LedgerError, match="altered or taken away"):
            LedgerFile.read(folder)
        before = (folder / LINES).read_text()
        ledger = taken(folder, NOW, verdict="PASS")
        assert verdict_of(ledger) == ["ledger_intact"]
        assert (folder / LINES).read_text() == before, "it is left as it is found"

    @pytest.mark.parametrize("name", [LINES, HEAD])
    def test_one_of_its_files_alone_is_no_ledger(self, folder: Path, name: str) -> None:
        taken(folder, NOW)
        (folder / name).unlink()
        with pytest.raises(LedgerError, match="it is gone"):
            LedgerFile.read(folder)

    @pytest.mark.parametrize("stop", range(3))
    @pytest.mark.parametrize("merge", [False, True])
    def test_a_ledger_whose_writing_was_stopped_holds_the_new_lines_or_the_old(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, stop: int, merge: bool
    ) -> None:
        """Also where lines come to stand before others, as in a merge; the next run ends it."""
        taken(folder, NOW, other())
        before = LedgerFile.read(folder)
        after = replace(before, lines=[*before.lines])
        if merge:
            taken(folder.with_name("other"), other(add=2.0))
            after.lines[:0] = LedgerFile.read(folder.with_name("other")).lines
        else:
            after.add("draw", {})
        writes = itertools.count()

        def write_text(path: Path, text: str) -> None:
            if next(writes) == stop:
                raise KeyboardInterrupt
            path.write_text(text)

        monkeypatch.setattr(ledger_file, "write_text", write_text)
        monkeypatch.setattr(
            ledger_file, "write_json", lambda path, data: write_text(path, json.dumps(data))
        )
        with pytest.raises(KeyboardInterrupt):
            after.write()
        monkeypatch.undo()
        found = LedgerFile.read(folder).lines
        assert found == (after.lines if stop == 2 else before.lines)
        with LedgerFile.opened(folder):
            pass
        assert LedgerFile.read(folder).lines == found
        assert "next" not in json.loads((folder / HEAD).read_text())

    def test_what_is_read_while_another_writes_is_a_ledger(self, folder: Path) -> None:
        taken(folder, NOW)
        read, seen = ledger_file.read_json, []

        def late(path: Path) -> object:
            if not seen:
                seen.append(None)
                taken(folder, other())
            return read(path)

        with mock.patch.object(ledger_file, "read_json", late):
            assert len(LedgerFile.read(folder).lines) == 2

    def test_what_another_look_has_paid_for_is_known_by_its_own_names(self, folder: Path) -> None:
        taken(folder, NOW, verdict="PASS")
        again = replace(NOW, codec="f" * 64, gate="renamed", spec="e" * 64)
        for _ in range(2):
            found = taken(folder, again, verdict="PASS")
        file = LedgerFile.read(folder)
        assert len(looks_of(file)) == 1
        assert [line.kind for line in file.lines] == ["look", "verdict", "verdict"]
        assert readings_of(file)[found.line] == {NOW.named, again.named}

    def test_a_look_that_is_not_judged_was_not_taken(self, folder: Path) -> None:
        with pytest.raises(KeyboardInterrupt), GateLedger.opened(folder, NOW, 3):
            raise KeyboardInterrupt
        assert LedgerFile.read(folder).lines == []

    def test_whoever_looks_at_the_same_time_waits_for_the_verdict(self, folder: Path) -> None:
        begun, seen = threading.Event(), []

        def second() -> None:
            begun.set()
            seen.append(taken(folder, other(), verdict="FAIL"))

        with GateLedger.opened(folder, NOW, 3) as first:
            waiting = threading.Thread(target=second)
            waiting.start()
            begun.wait()
            waiting.join(0.1)
            assert seen == []
            first.keep("PASS", "run")
        waiting.join()
        assert [len(one.family.entries) for one in (first, *seen)] == [1, 2]
        assert [line.kind for line in LedgerFile.read(folder).lines] == ["look", "verdict"] * 2

    def test_flips_of_its_files_are_refused_by_name_or_change_nothing(self, folder: Path) -> None:
        looks = (NOW, other(), other(add=2.0), replace(NOW, rows=("c", "d"), seeds=(0, 1), seed=0))
        taken(folder, *looks, verdict="FAIL")
        whole, rng = LedgerFile.read(folder), random.Random(17)
        texts = [line.text for line in whole.lines]
        contents = {name: (folder / name).read_bytes() for name in (LINES, HEAD)}
        refused = []
        for index in range(FLIPS):
            name = (LINES, LINES, HEAD)[index % 3]
            flipped = bytearray(contents[name])
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
            (folder / name).write_bytes(flipped)
            try:
                found = LedgerFile.read(folder)
                looks_of(found)
            except LedgerError as error:
                refused.append(str(error))
            else:
                assert [line.text for line in found.lines] == texts
            (folder / name).write_bytes(contents[name])
        assert len(refused) > FLIPS * 0.9
        assert all(LINES in text or HEAD in text for text in refused)

    def test_a_head_that_was_not_written_any_more_is_believed(self, folder: Path) -> None:
        taken(folder, NOW)
        head = (folder / HEAD).read_text()
        taken(folder, other())
        (folder / HEAD).write_text(head)
        assert len(looks_of(LedgerFile.read(folder))) == 2

    @pytest.mark.parametrize(
        "text", ["", "[1]", "{}", '{"previous": []}', "nonsense", '{"kind": 3, "previous": []}']
    )
    def test_what_is_no_ledger_is_named_with_its_line(self, folder: Path, text: str) -> None:
        taken(folder, NOW)
        (folder / LINES).write_text(f"{text}\n")
        assert ":1: no line of a ledger" in taken(folder, NOW).altered

    def test_a_line_that_is_no_look(self, folder: Path) -> None:
        with LedgerFile.opened(folder) as ledger:
            ledger.add("look", {"rows": []})
        assert "line 1 is no look" in taken(folder, NOW).altered

    def test_bytes_that_are_no_text(self, folder: Path) -> None:
        taken(folder, NOW)
        (folder / LINES).write_bytes(b"\xff\xfe")
        assert "cannot be read" in taken(folder, NOW).altered

    def test_a_ledger_of_before_says_what_to_do(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "0123456789abcdef.jsonl").write_text("{}\n")
        altered = taken(folder, NOW).altered
        assert "written by an earlier lpca" in altered
        assert f"move it out of {folder}" in altered


class TestFamilies:
    def test_any_row_connects(self) -> None:
        looks = [replace(NOW, rows=rows) for rows in (("a", "b"), ("c", "d"), ("e",), ("b", "c"))]
        assert [len(own) for own in families(looks)] == [1, 3]
        assert [len(own) for own in families(looks[:3])] == [1, 1, 1]

    def test_another_seed_of_a_task_shows_the_same_messages(self) -> None:
        sets = [Trip().evaluation_set("test", "seen", 400, seed) for seed in (1, 2)]
        first, second = map(row_keys, sets)
        assert set(first) & set(second)
        assert first == row_keys(Trip().evaluation_set("test", "seen", 400, 1))

    def test_rows_are_their_messages_and_what_stands_around_one_alone(self) -> None:
        whole = Trip().evaluation_set("test", "seen", 8, 1)

        def changed(**fields: str) -> set[str]:
            episodes = tuple(replace(one, **fields) for one in whole)
            return set(row_keys(EpisodeSet(episodes, whole.donors)))

        rows = changed()
        assert changed(message="always the same") & rows, "the lists of options are as they were"
        assert changed(before="x", after="y", options=("p", "q")) & rows, "so are the messages"
        alike = changed(message="always the same", before="x", after="y", options=("p", "q"))
        assert len(alike) == 1, "a question that all rows share is none of their own"

    def test_everything_that_was_shown_counts_with_everything_that_was_read(self) -> None:
        more = replace(NOW, criteria=("half of the gain",))
        assert Family([NOW]).spent == pytest.approx(1 / 3)
        assert Family([NOW, other()]).spent == pytest.approx(2 / 3)
        assert Family([NOW, more]).spent == pytest.approx(2 / 3)
        assert Family([NOW, other(more)]).spent == pytest.approx(4 / 3), "both codecs by both"
        assert Family([NOW, replace(NOW, share=1 / 2)]).spent == pytest.approx(1 / 2)

    def test_where_more_claims_pass_fewer_do_as_well(self) -> None:
        fewer = replace(NOW, criteria=NOW.criteria[:1])
        assert Family([NOW, fewer]).spent == pytest.approx(1 / 3)
        assert Family([fewer, replace(NOW, share=1 / 2)]).spent == pytest.approx(5 / 6)

    def test_no_claim_about_the_codec_spends_nothing(self) -> None:
        assert Family([NOW, other(criteria=(), share=0.0)]).spent == pytest.approx(2 / 3)
        assert Family([replace(NOW, criteria=(), share=0.0)]).is_paid


class TestLooks:
    @pytest.mark.parametrize(
        "variant",
        [
            {"k": 8},
            {"receiver": "another"},
            {"gate": "another", "k": 2},
            {"rows": ("c", "x"), "n": 60, "codec": "of another seed"},
        ],
        ids=str,
    )
    def test_whatever_shares_a_row_is_one_of_them(
        self, folder: Path, variant: dict[str, object]
    ) -> None:
        ledger = taken(folder, other(), other(add=2.0), NOW)
        assert verdict_of(ledger) == []
        assert verdict_of(taken(folder, replace(NOW, **variant))) == ["checkpoints_accounted"]
        assert verdict_of(taken(folder, NOW)) == [], "what was paid for may be looked at again"

    def test_other_rows_are_another_matter(self, folder: Path) -> None:
        taken(folder, NOW, other(), other(add=2.0))
        assert verdict_of(taken(folder, replace(NOW, rows=("x", "y")))) == []

    def test_readings_of_one_codec_are_told_apart_from_codecs(self, folder: Path) -> None:
        for index in range(3):
            read = replace(NOW, rows=("a", f"b{index}"), n=60 + index)
            assert verdict_of(taken(folder, read)) == []
        ledger = taken(folder, replace(NOW, rows=("a", "z"), n=70))
        assert verdict_of(ledger) == ["looks_accounted"]
        with pytest.raises(CheckFailed, match=r"read 4 times \(after 60, 61, 62, 70 episodes\)"):
            looks_accounted(SimpleNamespace(ledger=ledger))

    def test_margins_that_are_loosened_under_another_gates_name(self, folder: Path) -> None:
        reads = [replace(NOW, gate=f"g{i}", criteria=(f"margin {i}",)) for i in range(4)]
        assert verdict_of(taken(folder, *reads[:3])) == []
        assert verdict_of(taken(folder, reads[3])) == ["looks_accounted"]

    def test_two_that_look_at_once_know_of_each_other(self, folder: Path) -> None:
        first, second = (taken(folder, one, limit=1) for one in (NOW, other()))
        assert len(first.family.entries) == 1
        assert len(second.family.entries) == 2

    def test_a_looser_reading_takes_what_is_left(self, folder: Path) -> None:
        taken(folder, NOW)
        assert verdict_of(taken(folder, replace(NOW, share=1.0), limit=1)) == []
        assert verdict_of(taken(folder, other(share=1 / 100), limit=100)) != []

    def test_evidence_says_what_was_spent_and_on_how_many_test_sets(self, folder: Path) -> None:
        taken(folder, NOW, verdict="FAIL")
        taken(folder, other(rows=("x",), recipe="another"), verdict="FAIL")
        ledger = taken(folder, replace(NOW, rows=("y",)), verdict="PASS")
        facts = ledger.facts()
        assert facts is not None
        assert (facts.lines, facts.test_sets, facts.spent) == (6, 2, pytest.approx(1 / 3))
        assert LedgerFile.read(folder).holds([*facts.heads, facts.look])


class TestWhatIsSpent:
    @pytest.mark.parametrize("user", simulate.USERS, ids=lambda user: user.__name__)
    def test_whatever_a_user_does_passes_falsely_in_at_most_alpha(self, user: object) -> None:
        """At full size the shares are in docs/lab/ledger.md; 18 of 400 are .025 and 2.6 errors."""
        assert 400 * simulate.false_passes(user, 3, 400) <= 18

    def test_without_the_ledger_they_would_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Family, "is_paid", True)
        user = next(one for one in simulate.USERS if one.__name__ == "any_order")
        monkeypatch.setattr(
            simulate, "any_order", lambda world, rng: itertools.islice(user(world, rng), 30)
        )
        assert 40 * simulate.false_passes(simulate.any_order, 1, 40) >= 6

    def test_the_simulation_decides_as_the_judge(self) -> None:
        spec = simulate.spec_of(3)
        for repetition in range(1):
            world = simulate.World(spec, np.random.default_rng([7, repetition]), 0.5)
            for claim in range(len(simulate.CLAIMS)):
                look = (0, 4, "whole", claim)
                judged = judge(spec, f"g{claim}", world.table(look)).verdict
                assert (judged == "PASS") is world.holds(look)


class TestMerge:
    def test_ledgers_written_apart_become_one(self, tmp_path: Path) -> None:
        one, two = tmp_path / "one", tmp_path / "two"
        taken(one, NOW)
        two.mkdir()
        for name in (LINES, HEAD):
            (two / name).write_bytes((one / name).read_bytes())
        taken(one, other(), verdict="PASS")
        taken(two, other(add=2.0), other(add=3.0), verdict="PASS")
        ledgers = [LedgerFile.read(folder) for folder in (one, two)]
        lines = merged(ledgers)
        assert lines == merged(ledgers[::-1])
        both = LedgerFile(tmp_path / "both", lines)
        both.write()
        whole = LedgerFile.read(both.folder)
        assert len(looks_of(whole)) == 4
        assert len(unpaid(whole)) == 1, "three of four are paid for"
        assert len(whole.heads) == 2
        taken(both.folder, replace(NOW, rows=("x",)))
        assert len(LedgerFile.read(both.folder).heads) == 1

    def test_lines_of_no_copy_of_this_ledger_are_refused(self, folder: Path) -> None:
        taken(folder, NOW, other())
        last = LedgerFile.read(folder).lines[-1].text
        with pytest.raises(LedgerError, match="altered or taken away"):
            LedgerFile(folder).adopt([last])


class TestTrainingSeeds:
    """Codecs of several training seeds that must all hold are one look, until one is picked."""

    SEEDS = (0, 1, 2, 3)

    def together(self, seeds: tuple[int, ...] = SEEDS) -> list[LedgerEntry]:
        return [other(add=float(seed), seeds=seeds, seed=seed) for seed in seeds]

    def test_all_of_them_are_one_look(self, folder: Path) -> None:
        ledger = taken(folder, *self.together(), limit=3)
        assert ledger.family.spent == pytest.approx(1 / 3)
        assert verdict_of(ledger) == []
        assert "4 training seeds count as one" in checkpoints_accounted(
            SimpleNamespace(ledger=ledger)
        )

    def test_one_of_them_judged_alone_is_the_best_of_all(self, folder: Path) -> None:
        ledger = taken(folder, *self.together(), other(add=2.0))
        assert len(ledger.family.subjects) == len(self.SEEDS)
        assert verdict_of(ledger) == ["checkpoints_accounted"]

    def test_so_is_a_choice_among_them(self, folder: Path) -> None:
        chosen = [other(add=float(seed), seeds=(1, 3), seed=seed) for seed in (1, 3)]
        ledger = taken(folder, *self.together(), *chosen)
        assert verdict_of(ledger) == ["checkpoints_accounted"]

    def test_another_recipe_is_another_look(self, folder: Path) -> None:
        others = [other(one, 10.0, recipe="other") for one in self.together()]
        ledger = taken(folder, *self.together(), *others)
        assert ledger.family.spent == pytest.approx(2 / 3)

    def test_a_seed_trained_anew_until_it_pleases_is_counted(self, folder: Path) -> None:
        anew = [other(add=20.0 + i, seeds=self.SEEDS, seed=1) for i in range(3)]
        ledger = taken(folder, *self.together(), *anew)
        assert len(ledger.family.subjects) == 4
        assert verdict_of(ledger) == ["checkpoints_accounted"]


def test_other_prompts_answers_or_donors_of_the_same_rows_are_another_look(folder: Path) -> None:
    """Whoever words a question anew until a gate passes has looked each time."""
    same = taken(folder, replace(NOW, episodes="a"), replace(NOW, episodes="a"))
    assert same.family.spent == pytest.approx(1 / 3)
    ledger = taken(folder, *(replace(NOW, episodes=name) for name in "bcd"))
    assert ledger.family.spent == pytest.approx(4 / 3)
    assert verdict_of(ledger) == ["looks_accounted"]


@pytest.mark.parametrize(
    "changes",
    [{"share": "much"}, {"share": -5.0}, {"share": float("nan")}, {"k": "4"}, {"codec": None}],
)
def test_a_line_whose_values_are_of_another_kind_is_no_look(
    folder: Path, changes: dict[str, object]
) -> None:
    taken(folder, NOW)
    held = {**json.loads((folder / LINES).read_text()), **changes, "previous": []}
    with (folder / LINES).open("a") as lines:
        lines.write(json.dumps(held) + "\n")
    with pytest.raises(LedgerError, match="no look"):
        looks_of(LedgerFile.read(folder))


def test_a_line_that_is_nested_too_deeply_is_none(folder: Path) -> None:
    taken(folder, NOW)
    with (folder / LINES).open("a") as lines:
        lines.write("[" * 100_000 + "\n")
    with pytest.raises(LedgerError, match="no line of a ledger"):
        LedgerFile.read(folder)


@pytest.mark.parametrize("seed", [None, "q", -5, 1.5])
def test_a_drawn_seed_that_is_none_is_named(folder: Path, seed: object) -> None:
    with LedgerFile.opened(folder) as ledger:
        ledger.add("draw", {"codec": "c", "spec": "s", "seed": seed})
    with pytest.raises(LedgerError, match="drew a seed"):
        draw_seed(folder, "c", "s")
