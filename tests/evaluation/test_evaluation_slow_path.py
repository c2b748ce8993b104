"""The slow path is the definition; the fast one must give it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.channel import Channel
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.evaluate import evaluate
from lpca.evaluation.slow_path import next_token_scores, option_score
from lpca.receivers.model import Receiver
from lpca.tasks.kinds.trip import Trip

CONDITIONS = ("p0", "p1", "embed", "normal", "null", "random", "shuffle")


@pytest.fixture
def setting(receiver: Receiver) -> Setting:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        channel = Channel(receiver, TokenPooler(receiver, 3), 3)
    return Setting(receiver, channel, Trip().evaluation_set("test", "seen", 9, 0))


@pytest.mark.parametrize("condition", CONDITIONS)
def test_evaluation_gives_what_one_episode_alone_gives(
    setting: Setting, tmp_path: Path, condition: str
) -> None:
    receiver = setting.receiver
    records = evaluate(setting, [condition], tmp_path).outcomes[condition]
    slots = build_slots(condition, setting)
    assert len({len(r.given.ids) for r in records}) > 3, "rows differ in length"
    for episode, slot, record in zip(setting.episodes, slots, records, strict=True):
        alone = [
            option_score(receiver, record.given, slot.vectors, receiver.option_ids(option))
            for option in episode.options
        ]
        assert record.scores == pytest.approx(alone, abs=1e-4)
        scores = next_token_scores(receiver, record.given, slot.vectors, record.said_ids)
        greedy = scores.argmax(-1)[: len(record.said_ids)].tolist()
        assert tuple(greedy) == record.said_ids


def test_injected_vectors_count(setting: Setting, tmp_path: Path) -> None:
    record = evaluate(setting, ["normal"], tmp_path).outcomes["normal"][0]
    vectors = build_slots("normal", setting)[0].vectors
    assert vectors is not None
    one = next_token_scores(setting.receiver, record.given, vectors, [])
    other = next_token_scores(setting.receiver, record.given, vectors + 0.1, [])
    assert not torch.allclose(one, other)
    assert one.shape == (1, setting.receiver.embedding.num_embeddings)
    assert float(one.exp().sum()) == pytest.approx(1.0, abs=1e-5)
