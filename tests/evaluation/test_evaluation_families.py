"""Free answers through the whole evaluation: any receiver, every check, the slow path too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lpca.codec.architectures.baselines import StaticPrefix
from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.channel import Channel
from lpca.codec.checkpoint import identify
from lpca.codec.recipe import Recipe
from lpca.evaluation.block import make_job
from lpca.evaluation.condition_numbers import condition_numbers
from lpca.evaluation.conditions import CONDITIONS, Setting, build_slots
from lpca.evaluation.evaluate import evaluate
from lpca.evaluation.outcome import Outcome
from lpca.receivers.model import Receiver
from lpca.receivers.self_test import FREE_FACTOR, FREE_TOKENS
from lpca.tasks import EpisodeSet
from lpca.tasks.family import Family, FreeEpisode, family_named
from lpca.validity.audit import Audit
from lpca.validity.catalogue import CHECKS, run_checks

K, N = 3, 12


def audit_of(receiver: Receiver, family: Family, episodes: EpisodeSet, cache: Path) -> Audit:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        channel = Channel(receiver, TokenPooler(receiver, K), K)
        static = Channel(receiver, StaticPrefix(receiver, K), K)
    training_messages = tuple(e.message for e in family.training_batch(0, 20, 0))
    setting = Setting(receiver, channel, episodes, static, training_messages)
    # no facts to tell by name, and no channel of caches
    conditions = [name for name in CONDITIONS if name not in ("p5", "alone")]
    records = evaluate(setting, conditions, cache).outcomes
    trained = identify(receiver, family, K, 0, Recipe())
    return Audit(
        setting,
        family,
        records,
        receiver.state_hash(),
        "greedy",
        trained=trained,
        numbers={c: condition_numbers(c, rs, 0.95, setting) for c, rs in records.items()},
    )


def found(audit: Audit) -> dict[str, str]:
    return {r.id: r.detail for r in run_checks(audit) if r.passed is not True}


@pytest.mark.parametrize(
    "name", ["s2", *(pytest.param(one, marks=pytest.mark.slow) for one in ("s1", "s3"))]
)
def test_every_check_passes_on_a_foreign_model_with_its_own_tokenizer(
    tiny_receivers: dict[str, Receiver], name: str, tmp_path: Path
) -> None:
    family = family_named(name)
    episodes = family.evaluation_set("test", "seen", N, 0)
    audit = audit_of(tiny_receivers["qwen2"], family, episodes, tmp_path)
    # no prompt lists options, packets are of one length, nothing is declared or limited
    assert set(found(audit)) == {
        *("normal_names_no_place", "lengths_say_nothing"),
        *("remembers_nothing", "bits_as_declared", "packets_within_limit"),
    }
    assert len(run_checks(audit)) == len(CHECKS)


@pytest.fixture(scope="module")
def s1() -> Receiver:
    from lpca.receivers.load import load_receiver

    return load_receiver("s1", "cpu", "float32")


@pytest.fixture
def records(s1: Receiver, tmp_path: Path) -> tuple[EpisodeSet, tuple[Outcome, ...]]:
    episodes = family_named("s1").evaluation_set("test", "seen", N, 0)
    return episodes, evaluate(Setting(s1, None, episodes), ("p1",), tmp_path).outcomes["p1"]


class TestRecords:
    def test_success_is_the_verifiers(
        self, records: tuple[EpisodeSet, tuple[Outcome, ...]]
    ) -> None:
        for episode, record in zip(*records, strict=True):
            assert record.credit == episode.credit(record.said)
            assert record.greedy_success == (record.said.strip() == episode.right)
        assert sum(r.greedy_success for r in records[1]) > 0.8 * N

    def test_it_survives_json(self, records: tuple[EpisodeSet, tuple[Outcome, ...]]) -> None:
        record = records[1][0]
        assert Outcome.from_json(json.loads(json.dumps(record.to_json()))) == record

    def test_batches_change_nothing(self, s1: Receiver, tmp_path: Path) -> None:
        episodes = family_named("s1").evaluation_set("test", "seen", N, 0)
        setting = Setting(s1, None, episodes)
        one = evaluate(setting, ("p0", "p1"), tmp_path / "one", batch_size=1).outcomes
        many = evaluate(setting, ("p0", "p1"), tmp_path / "many", batch_size=24).outcomes
        for name, rows in one.items():
            pairs = zip(rows, many[name], strict=True)
            assert all((a.said, a.credit) == (b.said, b.credit) for a, b in pairs)

    def test_a_rambling_receiver_is_stopped_alone_as_in_a_batch(
        self, llama: Receiver, tmp_path: Path
    ) -> None:
        episodes = family_named("s3").evaluation_set("test", "seen", 8, 0)
        setting = Setting(llama, None, episodes)
        batch = evaluate(setting, ("p0",), tmp_path / "a").outcomes["p0"]
        alone = evaluate(setting, ("p0",), tmp_path / "b", batch_size=1).outcomes["p0"]
        assert [r.said_ids for r in batch] == [r.said_ids for r in alone]
        for episode, record in zip(episodes, batch, strict=True):
            longest = max(len(llama.option_ids(option)) for option in episode.options)
            most = FREE_FACTOR * longest + FREE_TOKENS
            assert len(record.said_ids) <= most

    def test_what_the_verifier_reads_is_part_of_the_caches_key(self, s1: Receiver) -> None:
        episodes = family_named("s1").evaluation_set("test", "seen", N, 0).episodes
        other = (replace(episodes[0], own=episodes[1].own), *episodes[1:])  # type: ignore[call-arg]
        slots = [build_slots("p0", Setting(s1, None, EpisodeSet(e, ()))) for e in (episodes, other)]
        keys = [make_job(s1, "p0", e, s).key for e, s in zip((episodes, other), slots, strict=True)]
        assert keys[0] != keys[1]


class TestFaults:
    def test_credit_that_is_not_the_verifiers(self, s1: Receiver, tmp_path: Path) -> None:
        family = family_named("s1")
        episodes = family.evaluation_set("test", "seen", N, 0)
        audit = audit_of(s1, family, episodes, tmp_path)
        forged = [replace(r, credit=1.0) for r in audit.outcomes["p0"]]
        assert "outcomes_traced" in found(replace(audit, outcomes={**audit.outcomes, "p0": forged}))

    def test_a_donor_that_contradicts_nothing(self, s1: Receiver, tmp_path: Path) -> None:
        family = family_named("s1")
        sound = family.evaluation_set("test", "seen", N, 0)
        first, second = sound.episodes[0], sound.episodes[sound.donors[0]]
        assert isinstance(first, FreeEpisode)
        agreeing = replace(second, told=first.told)  # type: ignore[call-arg]
        changed = tuple(agreeing if e is second else e for e in sound.episodes)
        audit = audit_of(s1, family, replace(sound, episodes=changed), tmp_path)
        assert "leaves the right answer right" in found(audit)["donors_deranged"]

    def test_the_answer_in_bs_text(self, s1: Receiver, tmp_path: Path) -> None:
        family = family_named("s1")
        sound = family.evaluation_set("test", "seen", N, 0)
        told = tuple(replace(e, before=f"{e.before} {e.right}") for e in sound.episodes)
        audit = audit_of(s1, family, replace(sound, episodes=told), tmp_path)
        assert "no_answer_outside_options" in found(audit)

    def test_one_fact_of_the_message_in_bs_text(self, s1: Receiver, tmp_path: Path) -> None:
        family = family_named("s1")
        sound = family.evaluation_set("test", "seen", N, 0)
        fact = sound.episodes[0].message.split()[2]
        told = (
            replace(sound.episodes[0], before=f"{sound.episodes[0].before} {fact}"),
            *sound.episodes[1:],
        )
        audit = audit_of(s1, family, replace(sound, episodes=told), tmp_path)
        assert "no_answer_outside_options" in found(audit)
