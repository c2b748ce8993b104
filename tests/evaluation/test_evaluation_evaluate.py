from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import save_tiny

import lpca.evaluation.evaluate
from lpca.base.hashing import hash_data
from lpca.codec.architectures.baselines import StaticPrefix
from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.channel import Channel
from lpca.evaluation.block import Computed, Job, run_block
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.evaluate import Evaluated, evaluate, store_block
from lpca.evaluation.outcome import InputRecorder
from lpca.gatespec import model as gatespec
from lpca.receivers import ReceiverError
from lpca.receivers.forward import read_context
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.tasks import EpisodeSet
from lpca.tasks.kinds.trip import Trip

K, N = 3, 10
CONDITIONS = tuple(c for c in gatespec.CONDITIONS if c not in (*gatespec.TRUNCATED, "p5", "alone"))
"""Those that differ on the task `trip`, whose messages are short and have no facts."""


def pooler(receiver: Receiver, k: int = K, seed: int = 0) -> TokenPooler:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return TokenPooler(receiver, k)


def setting_of(receiver: Receiver, k: int = K, codec_seed: int = 0) -> Setting:
    channel = Channel(receiver, pooler(receiver, k, codec_seed), k)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        static = Channel(receiver, StaticPrefix(receiver, k), k)
    training_messages = tuple(e.message for e in Trip().training_batch(0, 5, 0))
    episodes = Trip().evaluation_set("test", "seen", N, 0)
    return Setting(receiver, channel, episodes, static, training_messages)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lpca.evaluation.evaluate, "BLOCK", 4)


@pytest.fixture
def setting(llama: Receiver) -> Setting:
    return setting_of(llama)


def calls(setting: Setting, cache: Path, conditions: Sequence[str] = CONDITIONS) -> int:
    """How often the model is asked; nothing is encoded anew for it."""
    for condition in conditions:
        build_slots(condition, setting)
    asked = 0

    def counted(receiver: Receiver, jobs: Sequence[Job], batch_size: int) -> Computed:
        # a hook that stays would make it another receiver, whose outcomes are kept apart
        nonlocal asked
        with InputRecorder(receiver) as tap:
            made = list(run_block(receiver, jobs, batch_size))
        asked += len(tap.calls)
        return iter(made)

    evaluate(setting, conditions, cache, run_block=counted)
    return asked


def all_keys(evaluated: Evaluated) -> set[str]:
    return {key for keys in evaluated.keys.values() for key in keys}


def blocks(cache: Path) -> list[Path]:
    return sorted((cache / "outcomes").rglob("*.json"))


class TestRecords:
    def test_one_for_every_episode_and_condition_in_order(
        self, setting: Setting, tmp_path: Path
    ) -> None:
        evaluated = evaluate(setting, CONDITIONS, tmp_path)
        assert tuple(evaluated.outcomes) == CONDITIONS
        for records in evaluated.outcomes.values():
            assert [r.seed for r in records] == [e.seed for e in setting.episodes]
            assert [r.answer for r in records] == [e.answer for e in setting.episodes]
            assert [len(r.scores) for r in records] == [4] * N

    def test_they_are_what_reading_gives(self, setting: Setting, tmp_path: Path) -> None:
        receiver = setting.receiver
        found = evaluate(setting, ("p1", "normal"), tmp_path).outcomes
        for condition, records in found.items():
            slots = build_slots(condition, setting)
            for episode, slot, record in zip(setting.episodes, slots, records, strict=True):
                context = read_context(receiver, [receiver.prompt_start_ids(episode.before)])
                options = [receiver.option_ids(option) for option in episode.options]
                after = receiver.segment_ids(episode.after)
                reading = context.read([slot], [after], [options])
                assert record.scores == pytest.approx(reading.option_scores([options])[0], abs=1e-4)
                longest = reading.continuations(20)[0]
                assert list(record.said_ids) == longest[: len(record.said_ids)]
                assert record.said == receiver.text(record.said_ids)

    def test_conditions_differ_in_what_b_was_given(self, setting: Setting, tmp_path: Path) -> None:
        records = evaluate(setting, CONDITIONS, tmp_path).outcomes
        scores = {c: tuple(r.scores for r in rs) for c, rs in records.items() if c != "embed"}
        assert len(set(scores.values())) == len(CONDITIONS) - 1
        for text, injected in zip(records["p1"], records["embed"], strict=True):
            assert injected.scores == pytest.approx(text.scores, abs=1e-4)

    @pytest.mark.parametrize("batch_size", [1, 3, 100])
    def test_they_do_not_depend_on_the_batch_size(
        self, setting: Setting, tmp_path: Path, batch_size: int
    ) -> None:
        wanted = evaluate(setting, CONDITIONS, tmp_path / "a", batch_size=4)
        found = evaluate(setting, CONDITIONS, tmp_path / "b", batch_size=batch_size)
        assert found.keys == wanted.keys
        for condition, records in wanted.outcomes.items():
            for one, other in zip(records, found.outcomes[condition], strict=True):
                assert replace(one, scores=(), slack=0) == replace(other, scores=(), slack=0)
                assert one.scores == pytest.approx(other.scores, abs=1e-4)
                assert one.slack == pytest.approx(other.slack, abs=1e-4)
                assert one.likelihood_success == other.likelihood_success

    def test_they_do_not_depend_on_what_else_is_evaluated(
        self, setting: Setting, tmp_path: Path
    ) -> None:
        whole = evaluate(setting, CONDITIONS, tmp_path / "a").outcomes
        alone = evaluate(setting, ("normal",), tmp_path / "b").outcomes
        assert alone["normal"] == whole["normal"]


class TestCache:
    def test_what_was_measured_is_not_measured_again(
        self, setting: Setting, tmp_path: Path
    ) -> None:
        assert calls(setting, tmp_path) > 20
        assert calls(setting, tmp_path) == 0
        first = evaluate(setting, CONDITIONS, tmp_path)
        assert first.cached == all_keys(first)

    def test_cached_records_are_the_computed_ones(self, setting: Setting, tmp_path: Path) -> None:
        computed = evaluate(setting, CONDITIONS, tmp_path)
        cached = evaluate(setting, CONDITIONS, tmp_path)
        assert computed.cached == frozenset()
        assert cached.outcomes == computed.outcomes
        assert cached.keys == computed.keys

    def test_a_further_condition_costs_only_itself(self, setting: Setting, tmp_path: Path) -> None:
        evaluate(setting, ("p0", "p1"), tmp_path)
        more = evaluate(setting, ("p0", "p1", "normal"), tmp_path)
        assert more.cached == {*more.keys["p0"], *more.keys["p1"]}

    def test_another_codec_changes_what_depends_on_it(
        self, setting: Setting, tmp_path: Path, llama: Receiver
    ) -> None:
        first = evaluate(setting, CONDITIONS, tmp_path)
        other = evaluate(setting_of(llama, codec_seed=1), CONDITIONS, tmp_path)
        changed = {c for c in CONDITIONS if first.keys[c] != other.keys[c]}
        # of an empty message's one token every pooler makes the same
        assert changed == {"normal", "random", "shuffle", "mean", "same_answer", "shaped"}
        assert not set(first.keys["normal"]) & set(other.keys["normal"])

    def test_another_k_changes_what_depends_on_it(
        self, setting: Setting, tmp_path: Path, llama: Receiver
    ) -> None:
        first = evaluate(setting, CONDITIONS, tmp_path)
        other = evaluate(setting_of(llama, k=K + 1), CONDITIONS, tmp_path)
        changed = {c for c in CONDITIONS if first.keys[c] != other.keys[c]}
        assert changed == set(CONDITIONS) - {"p0", "p1", "embed"}

    @pytest.mark.parametrize(
        "change",
        [
            {"message": "I am off to nowhere."},
            {"before": "Cities: a, b, c, d."},
            {"after": "\nWhere?"},
            {"seed": 4},
            {"options": ("a", "b", "c", "d")},
        ],
    )
    def test_another_episode_changes_its_block_alone(
        self, setting: Setting, tmp_path: Path, change: dict[str, Any]
    ) -> None:
        first = evaluate(setting, ("p1",), tmp_path)
        episodes = list(setting.episodes)
        episodes[5] = replace(episodes[5], **change)
        changed = replace(setting, episodes=EpisodeSet(tuple(episodes), setting.episodes.donors))
        other = evaluate(changed, ("p1",), tmp_path)
        differs = [a != b for a, b in zip(first.keys["p1"], other.keys["p1"], strict=True)]
        assert differs == [False, True, False]

    def test_another_message_leaves_p0_as_it_is(self, setting: Setting, tmp_path: Path) -> None:
        first = evaluate(setting, ("p0",), tmp_path)
        episodes = tuple(replace(e, message="Something else.") for e in setting.episodes)
        changed = replace(setting, episodes=EpisodeSet(episodes, setting.episodes.donors))
        assert evaluate(changed, ("p0",), tmp_path).keys == first.keys

    @pytest.mark.parametrize(("architecture", "seed"), [("llama", 1), ("qwen2", 0)])
    def test_another_receiver_changes_everything(
        self, setting: Setting, tmp_path: Path, architecture: str, seed: int
    ) -> None:
        other = load_receiver(str(save_tiny(tmp_path / "other", architecture, seed)), "cpu")
        # The same latents, so that nothing but the receiver differs.
        keys = [
            all_keys(evaluate(replace(setting, receiver=receiver), CONDITIONS, tmp_path))
            for receiver in (setting.receiver, other)
        ]
        assert not keys[0] & keys[1]

    def test_the_same_weights_under_another_configuration_are_another_receiver(
        self, setting: Setting, tmp_path: Path, fresh_llama: Receiver
    ) -> None:
        first = evaluate(setting, ("p0",), tmp_path)
        fresh_llama.model.config.rms_norm_eps = 0.5
        other = evaluate(replace(setting, receiver=fresh_llama), ("p0",), tmp_path)
        assert not all_keys(first) & all_keys(other)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))

    return edit


def rehash(data: dict[str, Any]) -> None:
    data["sha256"] = hash_data(data["outcomes"])


def other_seeds(data: dict[str, Any]) -> None:
    data["outcomes"][0]["seed"] += 3
    rehash(data)


def one_less(data: dict[str, Any]) -> None:
    data["outcomes"].pop()
    rehash(data)


CORRUPTIONS: dict[str, Callable[[Path], object]] = {
    "truncated": truncate,
    "empty": lambda p: p.write_text(""),
    "binary": lambda p: p.write_bytes(b"\xff\xfe"),
    "a list": lambda p: p.write_text("[]"),
    "a number": lambda p: p.write_text("5"),
    "null": lambda p: p.write_text("null"),
    "no records": edited(lambda d: d.pop("outcomes")),
    "records of another kind": edited(lambda d: d.update(outcomes="abc")),
    "a record without its prompt": edited(lambda d: d["outcomes"][0].pop("given")),
    "an edited outcome": edited(lambda d: d["outcomes"][0].update(scores=[0.0, -1.0, -2.0, -3.0])),
    "an edited name": edited(lambda d: d["outcomes"][0].update(named=d["outcomes"][0]["answer"])),
    "a score that is NaN": edited(lambda d: d["outcomes"][0].update(scores=[float("nan")] * 4)),
    "other seeds": edited(other_seeds),
    "a record less": edited(one_less),
    "another key": edited(lambda d: d.update(key="0" * 64)),
}


@pytest.mark.parametrize("what", CORRUPTIONS)
def test_a_corrupted_block_is_computed_again(setting: Setting, tmp_path: Path, what: str) -> None:
    first = evaluate(setting, ("p0",), tmp_path)
    [path] = [p for p in blocks(tmp_path) if p.stem == first.keys["p0"][1]]
    CORRUPTIONS[what](path)
    again = evaluate(setting, ("p0",), tmp_path)
    assert again.outcomes == first.outcomes
    assert again.cached == all_keys(first) - {path.stem}
    assert evaluate(setting, ("p0",), tmp_path).cached == all_keys(first)


def test_a_block_under_another_ones_name_is_computed_again(
    setting: Setting, tmp_path: Path
) -> None:
    first = evaluate(setting, ("p0", "p1"), tmp_path)
    by_name = {path.stem: path for path in blocks(tmp_path)}
    good, bad = first.keys["p1"][0], first.keys["p0"][0]
    by_name[bad].write_bytes(by_name[good].read_bytes())
    again = evaluate(setting, ("p0", "p1"), tmp_path)
    assert again.outcomes == first.outcomes
    assert bad not in again.cached


class TestInterruption:
    @pytest.mark.parametrize("after", [1, 2, 3, 5])
    def test_finished_blocks_are_kept_and_the_rest_is_done_next_time(
        self, setting: Setting, tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:

        def store_some(*given: Any) -> None:
            if len(blocks(tmp_path / "cut")) == after:
                raise KeyboardInterrupt
            store_block(*given)

        whole = evaluate(setting, ("p0", "normal"), tmp_path / "whole")
        with monkeypatch.context() as patch:
            patch.setattr(lpca.evaluation.evaluate, "store_block", store_some)
            with pytest.raises(KeyboardInterrupt):
                evaluate(setting, ("p0", "normal"), tmp_path / "cut")
        assert len(blocks(tmp_path / "cut")) == after
        rest = evaluate(setting, ("p0", "normal"), tmp_path / "cut")
        assert len(rest.cached) == after
        assert rest.outcomes == whole.outcomes
        assert rest.keys == whole.keys

    def test_progress_counts_outcomes_up_to_all(self, setting: Setting, tmp_path: Path) -> None:
        seen: list[tuple[int, int]] = []
        evaluate(setting, ("p0", "p1"), tmp_path, 2, lambda *counts: seen.append(counts))
        assert seen[0] == (0, 2 * N)
        assert seen[-1] == (2 * N, 2 * N)
        assert [done for done, _ in seen] == sorted({done for done, _ in seen})
        assert max(b - a for (a, _), (b, _) in pairwise(seen)) <= 2, "after every batch"
        seen.clear()
        evaluate(setting, ("p0", "p1"), tmp_path, report=lambda *counts: seen.append(counts))
        assert seen == [(2 * N, 2 * N)]


def test_scores_that_are_no_numbers_end_in_one_clear_error(
    fresh_llama: Receiver, tmp_path: Path
) -> None:
    with torch.no_grad():
        fresh_llama.embedding.weight.fill_(torch.nan)
    with pytest.raises(
        ReceiverError, match=r"NaN or infinite scores in torch\.float32; try --dtype"
    ):
        evaluate(setting_of(fresh_llama), ("p0",), tmp_path)
    assert blocks(tmp_path) == []
