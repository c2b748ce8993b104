"""Conditions that a channel is held against at its own size: a few tokens, no message, noise."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.channel import Channel
from lpca.evaluation.condition_numbers import condition_numbers
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.conditions.few_tokens import document_frequencies, keywords
from lpca.evaluation.conditions.shaped import drawn, shape_of
from lpca.evaluation.evaluate import evaluate
from lpca.gate.plan import needs_codec
from lpca.gatespec.load import parse_spec
from lpca.receivers.model import Receiver
from lpca.tasks import EpisodeSet
from lpca.tasks.kinds.trip import Trip

K = 3
TRAINING = tuple(episode.message for episode in Trip().training_batch(0, 70, 0))
FEW = ("first_k", "random_k", "keywords_k")


@pytest.fixture(scope="module")
def setting(llama: Receiver) -> Setting:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        channel = Channel(llama, TokenPooler(llama, K), K)
    episodes = Trip().evaluation_set("test", "seen", 12, 0)
    return Setting(llama, channel, episodes, None, TRAINING)


def with_message(setting: Setting, message: str) -> Setting:
    episodes = tuple(replace(episode, message=message) for episode in setting.episodes)
    return replace(setting, episodes=EpisodeSet(episodes, setting.episodes.donors))


def ids(condition: str, setting: Setting) -> list[tuple[int, ...]]:
    return [slot.ids for slot in build_slots(condition, setting)]


def vectors(condition: str, setting: Setting) -> list[Tensor]:
    return [slot.vectors for slot in build_slots(condition, setting) if slot.vectors is not None]


@pytest.mark.parametrize("condition", FEW)
class TestFewTokens:
    def test_k_tokens_of_the_message_stand_there_in_its_order(
        self, condition: str, setting: Setting
    ) -> None:
        for episode, slot in zip(setting.episodes, ids(condition, setting), strict=True):
            whole = setting.receiver.message_ids(episode.message)
            rest = iter(whole)
            assert len(slot) == K < len(whole)
            assert condition == "keywords_k" or all(token in rest for token in slot)

    def test_a_message_of_no_more_than_k_is_whole(self, condition: str, setting: Setting) -> None:
        text = next(t for t in ("Go.", "a.", "a") if len(setting.receiver.message_ids(t)) <= K)
        wanted = tuple(setting.receiver.message_ids(text))
        assert set(ids(condition, with_message(setting, text))) == {wanted}

    def test_the_same_message_gives_the_same_tokens(self, condition: str, setting: Setting) -> None:
        message = setting.episodes.episodes[0].message
        assert set(ids(condition, with_message(setting, message))) == {ids(condition, setting)[0]}

    def test_without_a_codec_nobody_knows_k(self, condition: str, setting: Setting) -> None:
        with pytest.raises(ValueError, match="needs a codec"):
            build_slots(condition, replace(setting, channel=None))


def test_the_first_are_the_first(setting: Setting) -> None:
    for cut, whole in zip(ids("first_k", setting), ids("p1", setting), strict=True):
        assert cut == whole[:K]


def test_those_drawn_are_not_the_first(setting: Setting) -> None:
    assert ids("random_k", setting) != ids("first_k", setting)


class TestKeywords:
    def test_rare_words_come_before_common_ones_and_stand_in_order(self, llama: Receiver) -> None:
        held = document_frequencies(("we go to Oslo", "we go to Rome by train", "We go to Rome"))
        size = len(llama.message_ids("Rome Oslo"))
        found = keywords(llama, "We go to Rome, to Oslo", size, held)
        assert llama.text(found) == " Rome Oslo"

    def test_the_word_that_no_longer_fits_is_cut(self, llama: Receiver) -> None:
        held = document_frequencies(("we go to Oslo", "we go to Rome"))
        size = len(llama.message_ids("Kathmandu")) - 1
        found = keywords(llama, "We go to Kathmandu", size, held)
        assert found == llama.message_ids("Kathmandu")[:size]

    def test_of_equally_rare_words_the_first_is_taken(self, llama: Receiver) -> None:
        held = document_frequencies(("anything",))
        found = keywords(llama, "Oslo Rome", len(llama.message_ids("Oslo")), held)
        assert llama.text(found) == " Oslo"

    def test_a_word_counts_once_in_a_document_whatever_its_case(self) -> None:
        held = document_frequencies(("Go, go, GO!", "no"))
        assert (held["go"], held["no"], held["Go"]) == (1, 1, 0)

    def test_without_documents_no_word_is_rare(self, setting: Setting) -> None:
        with pytest.raises(ValueError, match="keywords_k needs messages of training"):
            build_slots("keywords_k", replace(setting, training_messages=()))


def test_empty_is_the_codecs_prefix_of_no_message(setting: Setting) -> None:
    [wanted] = setting.coded().encode_afresh([""])
    wanted = wanted.vectors
    for found in vectors("empty", setting):
        assert torch.equal(found, wanted)


class TestShaped:
    def test_it_has_the_mean_and_the_covariance_of_training_prefixes(
        self, setting: Setting
    ) -> None:
        prefixes = torch.stack(setting.coded().prefixes(TRAINING)).double()
        shape = shape_of(setting)
        many = torch.stack([drawn(shape, seed) for seed in range(3000)]).double()
        for place in range(K):
            own, noise = prefixes[:, place], many[:, place]
            size = own.T.cov().trace()
            # the mean square error of a mean of n draws is the trace of the covariance over n
            assert (noise.mean(0) - own.mean(0)).square().sum() < 3 * size / len(many)
            off = (noise.T.cov() - own.T.cov()).norm() / own.T.cov().norm()
            assert off < 0.15
        apart = many - many.mean(0)
        across = (apart[:, 0].T @ apart[:, 1]).norm() / len(many)
        assert across < 0.15 * prefixes[:, 0].T.cov().norm()

    def test_an_episodes_seed_alone_decides_it(self, setting: Setting) -> None:
        whole = vectors("shaped", setting)
        torch.manual_seed(5)
        part = vectors("shaped", replace(setting, episodes=setting.episodes.part(3, 5)))
        assert all(torch.equal(a, b) for a, b in zip(whole[3:5], part, strict=True))
        assert not torch.equal(whole[0], whole[1])

    def test_it_does_not_depend_on_the_messages_that_are_tested(self, setting: Setting) -> None:
        before = vectors("shaped", setting)
        after = vectors("shaped", with_message(setting, "Go to Oslo."))
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))

    def test_without_training_messages_it_has_no_shape(self, setting: Setting) -> None:
        with pytest.raises(ValueError, match="shaped needs messages of training"):
            build_slots("shaped", replace(setting, training_messages=()))


def test_what_they_cost_is_what_stood_there(setting: Setting, tmp_path) -> None:  # type: ignore[no-untyped-def]
    conditions = (*FEW, "p1", "empty", "normal", "shaped")
    found = evaluate(setting, conditions, tmp_path).outcomes
    numbers = {name: condition_numbers(name, found[name], 0.95, setting) for name in conditions}
    for name in FEW:
        assert numbers[name].tokens == K
        assert 0 < (numbers[name].bits or 0) < (numbers["p1"].bits or 0)
    for name in ("empty", "shaped"):
        assert (numbers[name].tokens, numbers[name].bits) == (K, numbers["normal"].bits)


def test_a_gate_that_cuts_the_message_at_k_depends_on_k() -> None:
    spec = parse_spec(
        "version: 1\ntask: {name: trip, seed: 1}\nevaluation: {n: 400}\ngates:\n  g:\n"
        "    conditions: [p0, p1, first_k]\n    criteria: [{id: a, claim: p1 - first_k > 0}]\n"
        "  h:\n    conditions: [p0, p1, p2_16]\n    criteria: [{id: a, claim: p1 - p2_16 > 0}]\n"
    )
    assert (needs_codec(spec, "g"), needs_codec(spec, "h")) == (True, False)
