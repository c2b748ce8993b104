"""The ledger remembers looks, and notices when it was altered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lpca.validity.ledger import GateLedger, LedgerEntry, LedgerError, add_entry, read_entries

NOW = LedgerEntry("t" * 64, "receiver", 4, (1.0, -2.0, 0.5), "gate1", 100, "episodes", "criteria")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


def other(entry: LedgerEntry = NOW, add: float = 1.0, **changes: object) -> LedgerEntry:
    """Another codec's entry."""
    shifted = tuple(value + add for value in entry.fingerprint)
    return replace(entry, fingerprint=shifted, **changes)


def path_of(folder: Path) -> Path:
    [path] = folder.glob("*.jsonl")
    return path


def test_looks_come_back_in_order(folder: Path) -> None:
    looks = [NOW, other(), other(add=2.0, n=50, episodes="fewer", verdict="FAIL")]
    for look in looks:
        add_entry(folder, look)
    assert read_entries(folder, NOW.test_set) == looks
    assert read_entries(folder, "u" * 64) == []


def test_the_same_look_is_kept_once(folder: Path) -> None:
    for run in ("first", "second"):
        add_entry(folder, replace(NOW, run=run))
    nearly = tuple(value * 1.001 for value in NOW.fingerprint)
    add_entry(folder, replace(NOW, fingerprint=nearly))
    assert [look.run for look in read_entries(folder, NOW.test_set)] == ["first"]


@pytest.mark.parametrize("what", ["n", "verdict", "criteria"])
def test_an_edited_line_is_noticed(folder: Path, what: str) -> None:
    for add in range(3):
        add_entry(folder, other(add=float(add), verdict="FAIL"))
    lines = path_of(folder).read_text().splitlines()
    data = json.loads(lines[1])
    lines[1] = json.dumps({**data, what: 7 if what == "n" else "PASS"}, sort_keys=True)
    path_of(folder).write_text("\n".join(lines) + "\n")
    with pytest.raises(LedgerError, match=r"\.jsonl:3: the line before it was altered"):
        read_entries(folder, NOW.test_set)


@pytest.mark.parametrize("gone", [0, 1])
def test_a_missing_line_is_noticed(folder: Path, gone: int) -> None:
    for add in range(3):
        add_entry(folder, other(add=float(add)))
    lines = path_of(folder).read_text().splitlines()
    del lines[gone]
    path_of(folder).write_text("\n".join(lines) + "\n")
    with pytest.raises(LedgerError, match=rf"\.jsonl:{gone + 1}: "):
        read_entries(folder, NOW.test_set)


@pytest.mark.parametrize(
    "text", ["", "[1]", "{}", '{"previous": ""}', "nonsense", '{"fingerprint": 3, "previous": ""}']
)
def test_what_is_no_ledger_is_named_with_its_line(folder: Path, text: str) -> None:
    add_entry(folder, NOW)
    path_of(folder).write_text(f"{text}\n")
    with pytest.raises(LedgerError, match=r"\.jsonl:1: no line of a ledger"):
        read_entries(folder, NOW.test_set)
    assert ":1: " in GateLedger.read(folder, NOW, 3).altered


def test_bytes_that_are_no_text(folder: Path) -> None:
    add_entry(folder, NOW)
    path_of(folder).write_bytes(b"\xff\xfe")
    assert "cannot be read" in GateLedger.read(folder, NOW, 3).altered


class TestPast:
    def test_nobody_has_announced_anything_unless_told(self, folder: Path) -> None:
        assert GateLedger(folder, NOW, [], 3).announced == 1
        assert GateLedger.read(folder, NOW, 3) == GateLedger(folder, NOW, [], 3)

    def test_other_codecs_count_once_each(self, folder: Path) -> None:
        for look in (NOW, other(), replace(other(), n=50, episodes="fewer"), other(add=3.0)):
            add_entry(folder, look)
        assert len(GateLedger.read(folder, NOW, 3).codecs()) == 3
        assert len(GateLedger.read(folder, other(add=9.0), 3).codecs()) == 4

    def test_another_receiver_or_k_is_another_matter(self, folder: Path) -> None:
        add_entry(folder, other(receiver="another"))
        add_entry(folder, other(k=8))
        assert GateLedger.read(folder, NOW, 3).codecs() == [NOW]

    def test_readings_of_one_codec_by_one_gate(self, folder: Path) -> None:
        add_entry(folder, replace(NOW, n=50, episodes="fewer"))
        add_entry(folder, replace(NOW, criteria="looser"))
        add_entry(folder, replace(NOW, gate="another", n=70, episodes="some"))
        add_entry(folder, other(n=60, episodes="others"))
        add_entry(folder, NOW)
        found = GateLedger.read(folder, NOW, 3).readings()
        assert [(one.n, one.criteria) for one in found] == [
            *[(100, "criteria"), (50, "criteria"), (100, "looser")]
        ]

    @pytest.mark.parametrize("scale", [0.5, 0.9, 1.5, 30.0])
    def test_another_scale_is_seen(self, scale: float) -> None:
        scaled = replace(NOW, fingerprint=tuple(value * scale for value in NOW.fingerprint))
        assert NOW.rescaled(scaled)
        assert scaled.rescaled(NOW)
        assert not NOW.rescaled(NOW)
        assert not NOW.rescaled(other())

    def test_latents_of_zero_are_no_scale_of_anything(self) -> None:
        nothing = replace(NOW, fingerprint=(0.0, 0.0, 0.0))
        assert not NOW.rescaled(nothing)
        assert not nothing.rescaled(NOW)
