"""The ledger remembers looks, and notices when it was altered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lpca.validity.ledger import Ledger, LedgerError, Look, past_of

LOOK = Look("t" * 64, "receiver", 4, (1.0, -2.0, 0.5), "gate1", 100, "episodes", "criteria")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


def other(look: Look = LOOK, add: float = 1.0, **changes: object) -> Look:
    """Another codec's look."""
    shifted = tuple(value + add for value in look.fingerprint)
    return replace(look, fingerprint=shifted, **changes)


def path_of(ledger: Ledger) -> Path:
    [path] = ledger.folder.glob("*.jsonl")
    return path


def test_looks_come_back_in_order(ledger: Ledger) -> None:
    looks = [LOOK, other(), other(add=2.0, n=50, episodes="fewer", verdict="FAIL")]
    for look in looks:
        ledger.add(look)
    assert ledger.looks(LOOK.test_set) == looks
    assert ledger.looks("u" * 64) == []


def test_the_same_look_is_kept_once(ledger: Ledger) -> None:
    for run in ("first", "second"):
        ledger.add(replace(LOOK, run=run))
    nearly = tuple(value * 1.001 for value in LOOK.fingerprint)
    ledger.add(replace(LOOK, fingerprint=nearly))
    assert [look.run for look in ledger.looks(LOOK.test_set)] == ["first"]


@pytest.mark.parametrize("what", ["n", "verdict", "criteria"])
def test_an_edited_line_is_noticed(ledger: Ledger, what: str) -> None:
    for add in range(3):
        ledger.add(other(add=float(add), verdict="FAIL"))
    lines = path_of(ledger).read_text().splitlines()
    data = json.loads(lines[1])
    lines[1] = json.dumps({**data, what: 7 if what == "n" else "PASS"}, sort_keys=True)
    path_of(ledger).write_text("\n".join(lines) + "\n")
    with pytest.raises(LedgerError, match=r"\.jsonl:3: the line before it was altered"):
        ledger.looks(LOOK.test_set)


@pytest.mark.parametrize("gone", [0, 1])
def test_a_missing_line_is_noticed(ledger: Ledger, gone: int) -> None:
    for add in range(3):
        ledger.add(other(add=float(add)))
    lines = path_of(ledger).read_text().splitlines()
    del lines[gone]
    path_of(ledger).write_text("\n".join(lines) + "\n")
    with pytest.raises(LedgerError, match=rf"\.jsonl:{gone + 1}: "):
        ledger.looks(LOOK.test_set)


@pytest.mark.parametrize(
    "text", ["", "[1]", "{}", '{"previous": ""}', "nonsense", '{"fingerprint": 3, "previous": ""}']
)
def test_what_is_no_ledger_is_named_with_its_line(ledger: Ledger, text: str) -> None:
    ledger.add(LOOK)
    path_of(ledger).write_text(f"{text}\n")
    with pytest.raises(LedgerError, match=r"\.jsonl:1: no line of a ledger"):
        ledger.looks(LOOK.test_set)
    assert ":1: " in past_of(ledger, LOOK, 3).altered


def test_bytes_that_are_no_text(ledger: Ledger) -> None:
    ledger.add(LOOK)
    path_of(ledger).write_bytes(b"\xff\xfe")
    assert "cannot be read" in past_of(ledger, LOOK, 3).altered


class TestPast:
    def test_other_codecs_count_once_each(self, ledger: Ledger) -> None:
        for look in (LOOK, other(), replace(other(), n=50, episodes="fewer"), other(add=3.0)):
            ledger.add(look)
        assert len(past_of(ledger, LOOK, 3).channels()) == 3
        assert len(past_of(ledger, other(add=9.0), 3).channels()) == 4

    def test_another_receiver_or_k_is_another_matter(self, ledger: Ledger) -> None:
        ledger.add(other(receiver="another"))
        ledger.add(other(k=8))
        assert past_of(ledger, LOOK, 3).channels() == [LOOK]

    def test_readings_of_one_codec_by_one_gate(self, ledger: Ledger) -> None:
        ledger.add(replace(LOOK, n=50, episodes="fewer"))
        ledger.add(replace(LOOK, criteria="looser"))
        ledger.add(replace(LOOK, gate="another", n=70, episodes="some"))
        ledger.add(other(n=60, episodes="others"))
        ledger.add(LOOK)
        found = past_of(ledger, LOOK, 3).readings()
        assert [(one.n, one.criteria) for one in found] == [
            *[(100, "criteria"), (50, "criteria"), (100, "looser")]
        ]

    @pytest.mark.parametrize("scale", [0.5, 0.9, 1.5, 30.0])
    def test_another_scale_is_seen(self, scale: float) -> None:
        scaled = replace(LOOK, fingerprint=tuple(value * scale for value in LOOK.fingerprint))
        assert LOOK.rescaled(scaled)
        assert scaled.rescaled(LOOK)
        assert not LOOK.rescaled(LOOK)
        assert not LOOK.rescaled(other())

    def test_latents_of_zero_are_no_scale_of_anything(self) -> None:
        nothing = replace(LOOK, fingerprint=(0.0, 0.0, 0.0))
        assert not LOOK.rescaled(nothing)
        assert not nothing.rescaled(LOOK)
