from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lpca.codec.architectures.baselines import StaticPrefix
from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.channel import Channel
from lpca.evaluation.block import BLOCK
from lpca.evaluation.conditions import CONDITIONS, Setting, build_slots, slots_at
from lpca.gatespec import model as gatespec
from lpca.receivers.model import Receiver
from lpca.tasks import EpisodeSet, TaskError
from lpca.tasks.kinds.trip import Trip

K = 3
TYPICAL = tuple(e.message for e in Trip().training_batch(0, 70, 0))


@pytest.fixture(scope="module")
def episodes() -> EpisodeSet:
    return Trip().evaluation_set("test", "seen", 6, 0)


@pytest.fixture(scope="module")
def setting(llama: Receiver, episodes: EpisodeSet) -> Setting:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        static = Channel(llama, StaticPrefix(llama, K), K)
        return Setting(llama, Channel(llama, TokenPooler(llama, K), K), episodes, static, TYPICAL)


def vectors(condition: str, setting: Setting) -> list[Tensor]:
    found = [slot.vectors for slot in build_slots(condition, setting)]
    assert all(v is not None for v in found)
    return [v for v in found if v is not None]


def test_a_spec_may_name_what_there_is() -> None:
    assert tuple(CONDITIONS) == tuple(gatespec.CONDITIONS)
    assert CONDITIONS.forms == gatespec.CONDITIONS.forms


def test_p0_is_nothing(setting: Setting) -> None:
    assert [(s.ids, s.vectors) for s in build_slots("p0", setting)] == [((), None)] * 6


def test_p1_is_the_message_as_text(setting: Setting, episodes: EpisodeSet) -> None:
    for slot, episode in zip(build_slots("p1", setting), episodes, strict=True):
        assert setting.receiver.text(slot.ids) == f" {episode.message}"
        assert slot.vectors is None


def test_embed_is_the_messages_own_embeddings(setting: Setting) -> None:
    table = setting.receiver.embedding.weight
    for injected, text in zip(vectors("embed", setting), build_slots("p1", setting), strict=True):
        assert torch.equal(injected, table[list(text.ids)])


def test_normal_is_what_the_codec_makes_of_the_message(
    setting: Setting, episodes: EpisodeSet
) -> None:
    codec = setting.coded().codec
    with torch.no_grad():
        wanted = codec.decode(codec.encode([e.message for e in episodes]))
    assert torch.equal(torch.stack(vectors("normal", setting)), wanted)


def test_null_is_k_true_zeros(setting: Setting) -> None:
    for found in vectors("null", setting):
        assert torch.equal(found, torch.zeros(K, setting.receiver.d_model))


def test_null_is_zero_even_where_the_decoder_has_a_bias(
    llama: Receiver, episodes: EpisodeSet
) -> None:
    class Biased(TokenPooler):
        def decode(self, latents: Tensor) -> Tensor:
            return latents + 1

    setting = Setting(llama, Channel(llama, Biased(llama, K), K), episodes)
    assert all(float(v.abs().max()) == 0 for v in vectors("null", setting))


class TestRandom:
    def test_each_vector_has_its_own_latents_norm(self, setting: Setting) -> None:
        for noise, latent in zip(
            vectors("random", setting), vectors("normal", setting), strict=True
        ):
            torch.testing.assert_close(noise.norm(dim=1), latent.norm(dim=1))
            assert len({round(float(n), 4) for n in latent.norm(dim=1)}) == K

    def test_its_directions_have_nothing_to_do_with_the_latents(self, setting: Setting) -> None:
        noise = torch.cat(vectors("random", setting))
        latents = torch.cat(vectors("normal", setting))
        assert float(torch.cosine_similarity(noise, latents).mean().abs()) < 0.2
        flat = torch.nn.functional.normalize(noise)
        assert float((flat @ flat.T - torch.eye(len(flat))).max()) < 0.8

    def test_an_episodes_seed_alone_decides_it(self, setting: Setting) -> None:
        first = vectors("random", setting)
        torch.manual_seed(123)
        again = vectors("random", setting)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        episodes = setting.episodes.episodes
        alone = EpisodeSet(episodes[3:5], (1, 0))
        part = vectors("random", Setting(setting.receiver, setting.channel, alone))
        assert all(torch.equal(a, b) for a, b in zip(first[3:5], part, strict=True))


def test_shuffle_is_the_donors_normal(setting: Setting, episodes: EpisodeSet) -> None:
    normal = vectors("normal", setting)
    for index, found in enumerate(vectors("shuffle", setting)):
        assert torch.equal(found, normal[episodes.donors[index]])
        assert not torch.equal(found, normal[index])


def test_all_conditions_use_one_encoding_of_a_message(llama: Receiver) -> None:
    asked: list[str] = []

    class Counting(TokenPooler):
        def encode(self, messages):  # type: ignore[no-untyped-def]
            asked.extend(messages)
            return super().encode(messages)

    episodes = Trip().evaluation_set("test", "seen", 4, 0)
    static = Channel(llama, StaticPrefix(llama, K), K)
    setting = Setting(llama, Channel(llama, Counting(llama, K), K), episodes, static, TYPICAL)
    for _ in range(2):
        for condition in sorted({*CONDITIONS} - {"p5", "alone"}):
            build_slots(condition, setting)
    wanted = ["", *TYPICAL, *(text for e in episodes for text in (e.message, e.paraphrase))]
    assert sorted(asked) == sorted(wanted)


def test_static_is_one_prefix_whatever_the_message(setting: Setting) -> None:
    found = vectors("static", setting)
    assert setting.static is not None
    assert all(torch.equal(one, found[0]) for one in found)
    assert torch.equal(found[0], setting.static.codec.encode(["Anything."])[0])


def test_mean_is_the_prefix_of_the_mean_latent_of_training(setting: Setting) -> None:
    codec = setting.coded().codec
    with torch.no_grad():
        latents = [codec.encode([message])[0] for message in TYPICAL]
        wanted = codec.decode(torch.stack(latents).mean(0, keepdim=True))[0]
    for found in vectors("mean", setting):
        torch.testing.assert_close(found, wanted)


def test_same_answer_is_what_the_codec_makes_of_the_paraphrase(
    setting: Setting, episodes: EpisodeSet
) -> None:
    codec = setting.coded().codec
    with torch.no_grad():
        wanted = codec.decode(codec.encode([e.paraphrase for e in episodes]))
    assert torch.equal(torch.stack(vectors("same_answer", setting)), wanted)
    for one, other in zip(vectors("normal", setting), wanted, strict=True):
        assert not torch.equal(one, other)


def test_same_answer_without_a_paraphrase_is_refused(setting: Setting) -> None:
    bare = [replace(e, paraphrase="") for e in setting.episodes]
    changed = replace(setting, episodes=EpisodeSet(tuple(bare), setting.episodes.donors))
    with pytest.raises(TaskError, match=r"same_answer: episode \d+ has no .*; allowed: "):
        build_slots("same_answer", changed)


@pytest.mark.parametrize(("condition", "lacks"), [("static", "prefix"), ("mean", "messages")])
def test_a_control_without_what_it_needs_is_refused(
    setting: Setting, condition: str, lacks: str
) -> None:
    with pytest.raises(ValueError, match=f"{condition} needs .*{lacks}"):
        build_slots(condition, Setting(setting.receiver, setting.channel, setting.episodes))


@pytest.mark.parametrize("name", ["nul", "", "statics", "P0", "means"])
def test_an_unknown_condition_is_refused(setting: Setting, name: str) -> None:
    with pytest.raises(ValueError, match=r"unknown condition .*; allowed: p0, p1, p2_16, p2_64"):
        build_slots(name, setting)


@pytest.mark.parametrize("condition", ["normal", "null", "random", "shuffle"])
def test_a_latent_condition_without_a_codec_is_refused(
    llama: Receiver, episodes: EpisodeSet, condition: str
) -> None:
    with pytest.raises(ValueError, match="needs a codec"):
        build_slots(condition, Setting(llama, None, episodes))


def test_text_conditions_need_no_codec(llama: Receiver, episodes: EpisodeSet) -> None:
    for condition in ("p0", "p1", "embed"):
        assert len(build_slots(condition, Setting(llama, None, episodes))) == 6


@pytest.mark.parametrize("condition", ["p1", "embed", "random", "shuffle"])
def test_slots_of_some_episodes_are_those_of_all(setting: Setting, condition: str) -> None:
    episodes = Trip().evaluation_set("test", "seen", 2 * BLOCK + 5, 0)
    many, rows = replace(setting, episodes=episodes), [2 * BLOCK + 3, 0, BLOCK, BLOCK - 1, 7]
    whole = build_slots(condition, many)
    for row, slot in zip(rows, slots_at(condition, many, rows), strict=True):
        assert slot.ids == whole[row].ids
        if slot.vectors is not None:
            assert torch.equal(slot.vectors, torch.as_tensor(whole[row].vectors))
