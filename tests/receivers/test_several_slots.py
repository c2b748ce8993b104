"""Prompts of several slots, against one plain forward pass of a prompt put together by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from lpca.evaluation.outcome import (
    INJECTED,
    InputRecorder,
    Outcome,
    ReceivedPrompt,
    as_text,
    vectors_hash,
)
from lpca.evaluation.slow_path import option_score
from lpca.receivers.forward import Context, Slot, read_batch
from lpca.receivers.model import Receiver
from lpca.receivers.plain import PlainContext

BEFORES = ([11, 12, 13], [14], [15, 16, 17, 18, 19])
BETWEEN = ([61], [62, 63, 64], [])
AFTERS = ([21, 22], [23, 24, 25], [26])
OPTIONS = ([[41, 42, 43], [44, 45]], [[46]], [[47, 48]])
TEXTS = (((31, 32), (33,)), ((), (34, 35)), ((36,), (37, 38, 39)))
"""By row what stands in its two slots; one of them holds nothing."""


def vectors(receiver: Receiver) -> list[list[Tensor]]:
    torch.manual_seed(2)
    return [[torch.randn(len(own), receiver.d_model) for own in row] for row in TEXTS]


def slots(rows: Sequence[Sequence[Slot]]) -> list[Slot]:
    return [Slot.of_several(row, [text]) for row, text in zip(rows, BETWEEN, strict=True)]


def of_kind(receiver: Receiver, kind: str) -> list[list[Slot]]:
    if kind == "tokens":
        return [[Slot(ids=own) for own in row] for row in TEXTS]
    if kind == "embeddings":
        return [[Slot(vectors=receiver.embed(own)) for own in row] for row in TEXTS]
    return [[Slot(vectors=own) for own in row] for row in vectors(receiver)]


def by_hand(receiver: Receiver, row: int, packets: Sequence[Slot]) -> Tensor:
    """The embeddings [length, d_model] of a whole prompt."""
    first, last = (
        receiver.embed(one.ids) if one.vectors is None else one.vectors for one in packets
    )
    texts = (BEFORES[row], BETWEEN[row], AFTERS[row])
    before, between, after = (receiver.embed(ids) for ids in texts)
    return torch.cat([before, first, between, last, after])


@torch.no_grad()
def plain_score(receiver: Receiver, prompt: Tensor, option: Sequence[int]) -> float:
    whole = torch.cat([prompt, receiver.embed(option)])
    logits = receiver.model(inputs_embeds=whole[None], use_cache=False).logits[0].float()
    steps = logits[len(prompt) - 1 : -1].log_softmax(-1)
    return float(sum(steps[i, token] for i, token in enumerate(option)))


@pytest.mark.parametrize("kind", ["tokens", "embeddings", "vectors"])
@pytest.mark.parametrize("way", ["in batches", "row by row"])
def test_a_batch_with_two_slots_is_read_as_each_row_by_itself(
    llama: Receiver, kind: str, way: str
) -> None:
    packets = of_kind(llama, kind)
    context: Context = (
        read_batch(llama, BEFORES) if way == "in batches" else PlainContext(llama, BEFORES)
    )
    found = context.read(slots(packets), AFTERS, OPTIONS).option_scores(OPTIONS)
    for row, scores in enumerate(found):
        prompt = by_hand(llama, row, packets[row])
        wanted = [plain_score(llama, prompt, option) for option in OPTIONS[row]]
        assert scores == pytest.approx(wanted, abs=1e-4)


def given(receiver: Receiver, several: list[Slot]) -> list[ReceivedPrompt]:
    with InputRecorder(receiver) as recorder:
        read_batch(receiver, BEFORES).read(several, AFTERS)
    return recorder.prompts([slot.spans for slot in several])


def test_what_b_received_tells_each_packet_from_the_text_between(llama: Receiver) -> None:
    packets = vectors(llama)
    rows = given(llama, slots(of_kind(llama, "vectors")))
    for row, (first, last), texts in zip(rows, packets, TEXTS, strict=True):
        assert row.in_packets == tuple((INJECTED,) * len(own) for own in texts)
        assert row.norms == pytest.approx(torch.cat([first, last]).norm(dim=1).tolist(), abs=1e-5)
        assert row.sha256 == vectors_hash(torch.cat([first, last]))
        assert row.positions == len(first) + len(last)
    start, stop = rows[0].start, rows[0].stop
    assert rows[0].ids[start:stop] == (INJECTED, INJECTED, *BETWEEN[0], INJECTED)
    assert [row.in_packets for row in given(llama, slots(of_kind(llama, "tokens")))] == [*TEXTS]


def test_packets_in_each_others_slots_are_another_prompt(llama: Receiver) -> None:
    sound = given(llama, slots(of_kind(llama, "vectors")))
    turned = given(llama, slots([row[::-1] for row in of_kind(llama, "vectors")]))
    for a, b in zip(sound, turned, strict=True):
        # of two packets one of which is empty only their places tell
        assert (a.sha256, a.packets) != (b.sha256, b.packets)


def test_the_slow_path_finds_each_packets_vectors(llama: Receiver) -> None:
    packets = of_kind(llama, "vectors")
    for row, prompt in enumerate(given(llama, slots(packets))):
        own = slots(packets)[row].vectors
        wanted = plain_score(llama, by_hand(llama, row, packets[row]), OPTIONS[row][0])
        assert option_score(llama, prompt, own, OPTIONS[row][0]) == pytest.approx(wanted, abs=1e-4)


def test_an_outcome_with_several_packets_is_kept_as_it_is(llama: Receiver) -> None:
    for prompt in given(llama, slots(of_kind(llama, "vectors"))):
        outcome = Outcome(1, 0, (0.0, -1.0), (), "", None, prompt)
        assert Outcome.from_json(json.loads(json.dumps(outcome.to_json()))) == outcome
    alone = Outcome(1, 0, (0.0, -1.0), (), "", None, ReceivedPrompt((1, 2), 1, 2))
    # what was kept before there were several is kept in the same words
    assert set(alone.to_json()["given"]) == {"ids", "start", "stop", "norms", "sha256"}


def test_a_prompt_shows_each_packet_in_its_place(llama: Receiver) -> None:
    shown = as_text(llama, given(llama, slots(of_kind(llama, "vectors")))[0])
    parts = [llama.text(ids) for ids in (BEFORES[0], BETWEEN[0], AFTERS[0])]
    places = [shown.index(parts[0]), shown.index(parts[1]), shown.rindex(parts[2])]
    assert places == sorted(places)
    assert shown.count("vector") == 3
    first, rest = shown.split(parts[1])
    assert first.count("vector 1 of 2") == 1
    assert rest.count("vector 1 of 1") == 1


def test_slots_of_tokens_and_of_vectors_in_one_prompt_are_refused(llama: Receiver) -> None:
    with pytest.raises(ValueError, match="not both"):
        Slot.of_several([Slot(ids=(1,)), Slot(vectors=torch.zeros(1, llama.d_model))], [[2]])
