"""Text cut to a number of bytes and structured text, against their definitions; what each costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.base import CodecError
from lpca.codec.channel import Channel
from lpca.evaluation.condition_numbers import COSTS, condition_numbers
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.conditions.builtin import beginning, structured
from lpca.evaluation.evaluate import evaluate
from lpca.evaluation.outcome import Outcome
from lpca.evidence.model import CheckResult, ConditionNumbers
from lpca.gatespec.model import CONDITIONS, TEXTS, TRUNCATED
from lpca.receivers.forward import Slot
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.stats.tables import Interval
from lpca.tasks import TaskError
from lpca.tasks.kinds.relay import Relay
from lpca.tasks.kinds.trip import Trip
from lpca.validity.audit import Audit
from lpca.validity.catalogue import run_checks

K, N = 3, 6
READ = ("p0", "p1", *TRUNCATED, "p5", "embed", "normal", "null", "random", "shuffle")
Numbers = dict[str, ConditionNumbers]


class Coded(TokenPooler):
    """A codec that says how many bits a message takes."""

    bits: object = 30


def setting_of(receiver: Receiver, codec: type[TokenPooler] = TokenPooler) -> Setting:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        channel = Channel(receiver, codec(receiver, K), K)
    return Setting(receiver, channel, Relay().evaluation_set("test", "seen", N, 0))


@pytest.fixture(scope="module")
def setting(llama: Receiver) -> Setting:
    return setting_of(llama)


@pytest.fixture(scope="module")
def records(setting: Setting, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return evaluate(setting, READ, tmp_path_factory.mktemp("cache")).outcomes


def numbers_of(setting: Setting, records: dict[str, Any]) -> Numbers:
    return {name: condition_numbers(name, own, 0.95, setting) for name, own in records.items()}


def audit_of(setting: Setting, records: dict[str, Any], numbers: Any) -> Audit:
    receiver = setting.receiver
    return Audit(setting, Relay(), records, receiver.state_hash(), numbers=numbers)


def found(audit: Audit, name: str) -> CheckResult:
    """One check alone: what it rests on asks the model again, and holds in every run here."""
    [result] = run_checks(audit, [name])
    return result


def texts_of(setting: Setting, condition: str) -> list[str]:
    return [setting.receiver.text(slot.ids) for slot in build_slots(condition, setting)]


class TestBeginning:
    @given(st.text(max_size=80), st.integers(0, 90))
    def test_the_longest_beginning_that_fits(self, message: str, size: int) -> None:
        if any("\ud800" <= character <= "\udfff" for character in message):
            return
        fitting = [i for i in range(len(message) + 1) if len(message[:i].encode()) <= size]
        assert beginning(message, size) == message[: max(fitting)]

    @pytest.mark.parametrize(
        ("message", "size", "kept"),
        [
            ("naïve", 2, "na"),
            ("naïve", 3, "na"),
            ("naïve", 4, "naï"),
            ("北京市", 8, "北京"),
            ("a😀b", 4, "a"),
            ("a😀b", 5, "a😀"),
            ("北京", 2, ""),
            ("short", 16, "short"),
        ],
    )
    def test_no_character_is_split(self, message: str, size: int, kept: str) -> None:
        assert beginning(message, size) == kept


class TestConditions:
    @pytest.mark.parametrize(
        ("condition", "size"), [*TRUNCATED.items(), ("p2_1", 1), ("p2_37", 37), ("p2_4096", 4096)]
    )
    def test_p2_is_the_messages_first_bytes(
        self, setting: Setting, condition: str, size: int
    ) -> None:
        wanted = [" " + e.message.encode()[:size].decode() for e in setting.episodes]
        assert texts_of(setting, condition) == wanted
        assert condition == f"p2_{TRUNCATED[condition]}"

    def test_messages_are_long_enough_to_be_cut(self, setting: Setting) -> None:
        cut = {name: texts_of(setting, name) for name in ("p1", *TRUNCATED)}
        assert all(len({cut[name][i] for name in cut}) == 3 for i in range(N))

    def test_p5_is_the_facts_by_name(self, setting: Setting) -> None:
        for episode, text in zip(setting.episodes, texts_of(setting, "p5"), strict=True):
            who, where, when = (value for _, value in episode.facts)  # type: ignore[attr-defined]
            assert text == f" who: {who}, where: {where}, when: {when}"

    def test_a_task_without_facts_refuses_p5_in_one_line(self, llama: Receiver) -> None:
        setting = Setting(llama, None, Trip().evaluation_set("test", "seen", 4, 0))
        with pytest.raises(
            TaskError, match=r"p5: episode \d+ has no facts .*; allowed: "
        ) as caught:
            build_slots("p5", setting)
        assert "\n" not in str(caught.value)
        empty = replace(Relay().training_batch(0, 1, 0)[0], facts=())
        with pytest.raises(TaskError, match="no facts"):
            structured(empty)

    def test_every_condition_of_text_is_known_as_one(self) -> None:
        few = {"first_k", "random_k", "keywords_k"}
        cut = {c for c in CONDITIONS if c.startswith("p2_")}
        assert set(TEXTS) == {"p1", "embed", "alone", "p5", *few, *cut}


class TestChecks:
    def test_all_pass_on_a_sound_run(self, setting: Setting, records: dict[str, Any]) -> None:
        results = run_checks(audit_of(setting, records, numbers_of(setting, records)))
        assert [(r.id, r.detail) for r in results if r.passed is False] == []
        by_id = {r.id: r.passed for r in results}
        assert by_id["text_is_message"] is by_id["numbers_reported"] is True

    @pytest.mark.parametrize(
        ("condition", "text"),
        [
            ("p1", lambda e: e.message[:-1]),
            ("p2_16", lambda e: e.message[:17]),
            ("p2_16", lambda e: e.message[:15]),
            ("p2_16", lambda e: e.right),
            ("p5", lambda e: f"where: {e.right}"),
            ("p5", lambda e: e.message),
        ],
    )
    def test_another_text_in_the_slot_is_found(
        self,
        setting: Setting,
        tmp_path: Path,
        condition: str,
        text: Callable[[Any], str],
    ) -> None:
        def planted(setting: Setting) -> list[Slot]:
            ids = [setting.receiver.message_ids(text(e)) for e in setting.episodes]
            return [Slot(ids=tuple(row)) for row in ids]

        spoilt = replace(setting, exchanged={condition: planted})
        records = evaluate(spoilt, ["p0", condition], tmp_path).outcomes
        result = found(audit_of(spoilt, records, None), "text_is_message")
        assert result.passed is False
        assert condition in result.detail

    def test_a_fact_that_the_message_does_not_tell_is_found(
        self, setting: Setting, tmp_path: Path
    ) -> None:
        first, *rest = setting.episodes.episodes
        wrong = replace(first, facts=(("who", "Nobody"),))
        episodes = replace(setting.episodes, episodes=(wrong, *rest))
        changed = replace(setting, episodes=episodes)
        records = evaluate(changed, ["p5"], tmp_path).outcomes
        result = found(audit_of(changed, records, None), "text_is_message")
        assert result.passed is False
        assert "who 'Nobody' is not in the message" in result.detail


class TestCosts:
    def test_bits_of_text_are_eight_for_each_byte_in_the_slot(
        self, setting: Setting, records: dict[str, Any]
    ) -> None:
        numbers = numbers_of(setting, records)
        for condition in ("p1", "p2_16", "p2_64", "p2_256", "p5"):
            sizes = [len(text[1:].encode()) for text in texts_of(setting, condition)]
            assert numbers[condition].bits == pytest.approx(8 * sum(sizes) / N, rel=1e-12)
            # the tiny receiver has one token for each byte, and a space stands before the text
            assert numbers[condition].tokens == pytest.approx(sum(sizes) / N + 1, rel=1e-12)
        assert numbers["embed"].bits == numbers["p1"].bits
        assert numbers["p0"].bits == numbers["p0"].tokens == 0

    def test_characters_of_several_bytes_count_each_byte(self, llama: Receiver) -> None:
        episodes = Relay().evaluation_set("test", "seen", 4, 0)
        accented = [replace(e, message="Žofie — 北京") for e in episodes]
        setting = Setting(llama, None, replace(episodes, episodes=tuple(accented)))
        [slot] = {slot.ids for slot in build_slots("p1", setting)}
        record = replace(record_with(slot), seconds=0.5)
        told = condition_numbers("p1", [record], 0.95, setting)
        assert told.bits == 8 * len("Žofie — 北京".encode()) == 8 * 17

    @pytest.mark.parametrize(("dtype", "bits"), [("float32", 32), ("bfloat16", 16)])
    def test_bits_of_latents_are_the_capacity_of_what_crossed_or_stands_in_the_slot(
        self, tiny_folders: dict[str, Path], tmp_path: Path, dtype: str, bits: int
    ) -> None:
        setting = setting_of(load_receiver(str(tiny_folders["llama"]), "cpu", dtype))
        records = evaluate(setting, ("normal", "null", "random", "shuffle"), tmp_path).outcomes
        for condition, numbers in numbers_of(setting, records).items():
            crossed = condition in ("normal", "shuffle")
            # the codec sends float32, whatever the receiver then reads
            assert numbers.bits == K * 32 * (32 if crossed else bits)
            assert numbers.tokens == K

    def test_a_codec_may_say_how_many_bits_a_message_takes(
        self, llama: Receiver, tmp_path: Path
    ) -> None:
        setting = setting_of(llama, Coded)
        records = evaluate(setting, ("normal", "null", "random", "shuffle"), tmp_path).outcomes
        told = {name: numbers.bits for name, numbers in numbers_of(setting, records).items()}
        assert told == {"normal": 30, "null": K * 32 * 32, "random": K * 32 * 32, "shuffle": 30}

    @pytest.mark.parametrize("bits", [-1, math.nan, math.inf, True, "30"])
    def test_bits_that_are_no_number_from_0_on_are_refused(
        self, llama: Receiver, bits: object
    ) -> None:
        setting = setting_of(llama, type("Wrong", (Coded,), {"bits": bits}))
        with pytest.raises(CodecError, match=r"its bits are .*; allowed: a finite number"):
            condition_numbers("normal", [record_with((1,))], 0.95, setting)

    def test_seconds_are_kept_with_the_outcomes(self, setting: Setting, tmp_path: Path) -> None:
        computed = numbers_of(setting, evaluate(setting, READ, tmp_path).outcomes)
        cached = evaluate(setting, READ, tmp_path)
        assert cached.cached == {key for keys in cached.keys.values() for key in keys}
        assert numbers_of(setting, cached.outcomes) == computed
        assert all(0 < one.seconds < 60 for one in computed.values())


class TestNumbersReported:
    @pytest.mark.parametrize("condition", ["p1", "normal"])
    @pytest.mark.parametrize("number", COSTS)
    def test_a_missing_number_fails(
        self, setting: Setting, records: dict[str, Any], condition: str, number: str
    ) -> None:
        numbers = numbers_of(setting, records)
        numbers[condition] = replace(numbers[condition], **{number: None})
        result = found(audit_of(setting, records, numbers), "numbers_reported")
        assert result.passed is False
        assert result.detail.startswith(f"{condition} reports no ")

    @pytest.mark.parametrize("condition", READ)
    def test_a_missing_condition_fails(
        self, setting: Setting, records: dict[str, Any], condition: str
    ) -> None:
        numbers = numbers_of(setting, records)
        del numbers[condition]
        result = found(audit_of(setting, records, numbers), "numbers_reported")
        assert result.passed is False

    @pytest.mark.parametrize("wrong", [None, math.nan, math.inf, -1.0])
    @pytest.mark.parametrize("number", COSTS)
    def test_what_is_no_amount_is_missing(
        self, setting: Setting, records: dict[str, Any], number: str, wrong: object
    ) -> None:
        numbers = numbers_of(setting, records)
        numbers["normal"] = replace(numbers["normal"], **{number: wrong})
        result = found(audit_of(setting, records, numbers), "numbers_reported")
        assert result.passed is False
        assert result.detail == f"normal reports no {number}"

    @pytest.mark.parametrize("interval", [(0.5, 0.4), (math.nan, 1.0), (0.0, 1.5), (-0.1, 1.0)])
    def test_a_success_without_its_interval_is_missing(
        self, setting: Setting, records: dict[str, Any], interval: tuple[float, float]
    ) -> None:
        numbers = numbers_of(setting, records)
        greedy = replace(numbers["p1"].greedy, interval=Interval(*interval))
        numbers["p1"] = replace(numbers["p1"], greedy=greedy)
        result = found(audit_of(setting, records, numbers), "numbers_reported")
        assert result.passed is False

    @pytest.mark.parametrize(
        ("condition", "number", "change"),
        [
            ("p1", "bits", -8.0),
            ("p2_16", "bits", 8.0),
            ("p5", "tokens", 1.0),
            ("normal", "tokens", -1.0),
            ("embed", "bits", 1.0),
        ],
    )
    def test_a_number_that_is_not_what_was_in_the_slot_fails(
        self,
        setting: Setting,
        records: dict[str, Any],
        condition: str,
        number: str,
        change: float,
    ) -> None:
        numbers = numbers_of(setting, records)
        changed = getattr(numbers[condition], number) + change
        numbers[condition] = replace(numbers[condition], **{number: changed})
        result = found(audit_of(setting, records, numbers), "numbers_reported")
        assert result.passed is False
        assert f"{condition}: {number} are reported as" in result.detail

    def test_vectors_are_not_for_nothing(self, setting: Setting, records: dict[str, Any]) -> None:
        numbers = numbers_of(setting, records)
        numbers["shuffle"] = replace(numbers["shuffle"], bits=0.0)
        result = found(audit_of(setting, records, numbers), "numbers_reported")
        assert "shuffle: bits are reported as 0, and 3072 were counted" in result.detail

    def test_what_a_codec_says_is_believed_of_its_own_messages_only(
        self, llama: Receiver, tmp_path: Path
    ) -> None:
        setting = setting_of(llama, Coded)
        records = evaluate(setting, ("normal", "null", "shuffle"), tmp_path).outcomes
        numbers = numbers_of(setting, records)
        assert found(audit_of(setting, records, numbers), "numbers_reported").passed
        numbers["null"] = replace(numbers["null"], bits=30.0)
        assert not found(audit_of(setting, records, numbers), "numbers_reported").passed

    def test_without_numbers_it_does_not_claim_to_have_looked(
        self, setting: Setting, records: dict[str, Any]
    ) -> None:
        assert found(audit_of(setting, records, None), "numbers_reported").passed is None


def record_with(ids: tuple[int, ...]) -> Outcome:
    from lpca.evaluation.outcome import ReceivedPrompt

    return Outcome(0, 0, (0.0, -1.0), (), "", 0, ReceivedPrompt((7, *ids, 9), 1, 1 + len(ids)))
