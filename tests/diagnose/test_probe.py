from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import replace

import pytest
from known_codecs import SEED, K, Noise
from torch import Tensor

from lpca.codec.channel import Channel
from lpca.diagnose import probe as module
from lpca.diagnose.probe import ProbeError, probe
from lpca.receivers.model import Receiver
from lpca.tasks import EpisodeSet
from lpca.tasks.kinds.trip import Trip


@pytest.fixture(scope="module")
def many() -> EpisodeSet:
    return Trip().evaluation_set("validation", "seen", 120, SEED)


@pytest.fixture(scope="module")
def few_answers(many: EpisodeSet) -> EpisodeSet:
    """120 different messages, of four cities."""
    cities = ("Lima", "Oslo", "Cairo", "Quito")
    rows = tuple(
        replace(
            e,
            message=e.message.replace(e.right, cities[i % 4]) + f" That is {i}.",
            options=cities,
            answer=i % 4,
        )
        for i, e in enumerate(many)
    )
    return EpisodeSet(rows, many.donors)


def test_a_trained_codec_is_read_on_answers_held_out(trained: Channel, many: EpisodeSet) -> None:
    found = probe(trained, many, 0.95)
    assert found["method"].startswith("ridge")
    assert found["classes"] == found["groups"] == 120
    assert found["interval"][0] > found["chance"] == 0.25
    assert found["p"] == 1 / 40
    assert found["control"]["highest"] < found["successes"] / 120


def test_a_static_prefix_is_at_chance(static: Channel, many: EpisodeSet) -> None:
    found = probe(static, many, 0.95)
    assert found["interval"][0] < 0.25 < found["interval"][1]
    assert found["p"] == 1.0


def test_latents_that_could_only_be_memorised_are_at_chance(
    noise: Channel, many: EpisodeSet, few_answers: EpisodeSet
) -> None:
    """More numbers per prefix than episodes: within the fit every message is told apart."""
    for episodes in (many, few_answers):
        found = probe(noise, episodes, 0.95)
        assert found["interval"][0] < 0.25 < found["interval"][1]
        assert found["p"] > 0.05


def test_no_answer_is_learned_by_heart_from_its_other_messages(
    stub: Receiver, many: EpisodeSet
) -> None:
    """Each answer comes four times, its latents all the same noise."""
    rows = tuple(
        replace(e, message=f"{e.message} ({turn})", seed=e.seed + 3000 * turn)
        for turn in range(4)
        for e in many.episodes[:30]
    )
    episodes = EpisodeSet(rows, tuple((i + 1) % 30 for i in range(120)))

    class OfAnswer(Noise):
        def encode(self, messages: Sequence[str]) -> Tensor:
            return super().encode([message.split(" (")[0] for message in messages])

    found = probe(Channel(stub, OfAnswer(stub.d_model), K), episodes, 0.95)
    assert (found["grouped_by"], found["groups"]) == ("answer", 30)
    assert found["p"] > 0.05
    assert found["successes"] / 120 < 0.5


def test_few_answers_are_classes(
    trained: Channel, static: Channel, few_answers: EpisodeSet
) -> None:
    found = probe(trained, few_answers, 0.95)
    assert found["method"].startswith("logistic")
    assert (found["classes"], found["grouped_by"], found["chance"]) == (4, "message", 0.25)
    assert found["interval"][0] > 0.8
    magic = probe(static, few_answers, 0.95)
    assert magic["p"] > 0.05
    assert magic["interval"][0] < 0.25


def test_too_few_contents_and_a_missing_package_are_said(
    trained: Channel, many: EpisodeSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ProbeError, match="4 different contents; a probe needs 5"):
        probe(trained, many.part(0, 4), 0.95)
    real = builtins.__import__

    def without(name, *rest, **named):  # type: ignore[no-untyped-def]
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ProbeError, match="lpca\\[diagnose\\]"):
        probe(trained, many, 0.95)


def test_the_same_twice(
    trained: Channel, many: EpisodeSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PERMUTATIONS", 2)
    assert probe(trained, many, 0.95) == probe(trained, many, 0.95)
