from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from lpca.codec.base import CodecError
from lpca.codec.channel import ENCODING_BATCH, Channel
from lpca.receivers.model import Receiver

K = 3


class Spelling:
    """Each message's first bytes, repeated; counts what it is asked to encode."""

    def __init__(self, spoil: Callable[[Tensor], Tensor] = lambda prefix: prefix) -> None:
        self.spoil = spoil
        self.asked: list[str] = []

    def encode(self, messages: Sequence[str]) -> Tensor:
        self.asked += messages
        letters = [[float(ord(m[i % len(m)])) for i in range(K)] for m in messages]
        return torch.tensor(letters)[..., None]

    def decode(self, latents: Tensor) -> Tensor:
        return self.spoil(latents.expand(-1, -1, 32).clone())


def test_prefixes_come_in_the_order_of_the_messages(llama: Receiver) -> None:
    channel = Channel(llama, Spelling(), K)
    first = channel.prefixes(["ab", "b"])
    again = channel.prefixes(["b", "ab", "b", "c"])
    assert [p[:, 0].tolist() for p in again] == [[98] * 3, [97, 98, 97], [98] * 3, [99] * 3]
    assert first[0].dtype == torch.float32


def test_each_message_is_encoded_once(llama: Receiver) -> None:
    codec = Spelling()
    channel = Channel(llama, codec, K)
    channel.prefixes(["a", "b", "a"])
    channel.prefixes(["b", "c"])
    assert codec.asked == ["a", "b", "c"]


def test_more_messages_than_one_batch_holds(llama: Receiver) -> None:
    codec = Spelling()
    messages = [f"{i:05}" for i in range(2 * ENCODING_BATCH + 1)]
    prefixes = Channel(llama, codec, K).prefixes(messages)
    assert codec.asked == messages
    assert [p[0, 0].item() for p in prefixes] == [ord(m[0]) for m in messages]


def put(value: float) -> Callable[[Tensor], Tensor]:
    def spoil(prefix: Tensor) -> Tensor:
        prefix[-1, 0, 0] = value
        return prefix

    return spoil


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda p: p[:, :2], r"shape \(2, 2, 32\); allowed: \(2, 3, 32\)"),
        (lambda p: p[..., :31], r"shape \(2, 3, 31\); allowed: \(2, 3, 32\)"),
        (lambda p: p[:1], r"shape \(1, 3, 32\); allowed"),
        (lambda p: p[0], r"shape \(3, 32\); allowed"),
        (put(torch.nan), "NaN or infinity"),
        (put(torch.inf), "NaN or infinity"),
        (put(-torch.inf), "NaN or infinity"),
        (lambda p: p.double() * 0 + 1e300, "NaN or infinity"),
    ],
)
def test_what_breaks_the_protocol_is_refused(
    llama: Receiver, spoil: Callable[[Tensor], Tensor], complaint: str
) -> None:
    channel = Channel(llama, Spelling(spoil), K)
    with pytest.raises(CodecError, match=complaint):
        channel.prefixes(["ab", "cd"])
    with pytest.raises(CodecError, match=complaint):
        channel.prefixes(["ab", "cd"])


def test_eight_bits_a_number_are_numbers(llama: Receiver) -> None:
    channel = Channel(llama, Spelling(lambda p: p.to(torch.float8_e4m3fn)), K)
    assert channel.prefixes(["ab"])[0].dtype == torch.float32


class Dropping(nn.Module):
    """A codec with dropout in its decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.codec = Spelling()

    def encode(self, messages: Sequence[str]) -> Tensor:
        return self.codec.encode(messages).requires_grad_(True)

    def decode(self, latents: Tensor) -> Tensor:
        return torch.as_tensor(self.dropout(self.codec.decode(latents)))


def test_a_codec_is_used_in_evaluation_mode_and_without_gradient(llama: Receiver) -> None:
    codec = Dropping().train()
    channel = Channel(llama, codec, K)
    prefix = channel.prefixes(["abc"])[0]
    assert prefix[:, 5].tolist() == [97, 98, 99]
    assert not prefix.requires_grad
    codec.train()
    assert torch.equal(channel.encode_afresh(["abc"])[0].vectors, prefix)


def test_a_fingerprint_is_of_all_messages_in_any_order_and_of_a_change_in_one(
    llama: Receiver,
) -> None:
    messages = [f"{i:04d}" for i in range(ENCODING_BATCH + 5)]
    found = Channel(llama, Spelling(), K).fingerprint(messages)
    assert found == Channel(llama, Spelling(), K).fingerprint(messages[::-1])
    others = [*messages[:-1], "another one"]
    assert found != Channel(llama, Spelling(), K).fingerprint(others)
    twice = Channel(llama, Spelling(lambda prefix: 2 * prefix), K).fingerprint(messages)
    assert math.dist(twice, found) > 0.01 * math.hypot(*found)


def test_a_long_vector_hides_no_other_from_the_fingerprint():
    """Codecs that differ in all but one vector are two, however long that one is."""

    def fingerprint(seed: int) -> tuple[float, ...]:
        drawn = torch.Generator().manual_seed(seed)
        made = {f"m{i}": torch.randn(4, 64, generator=drawn) for i in range(40)}
        for prefix in made.values():
            prefix[0] = 1e4
        channel = Channel(SimpleNamespace(d_model=64), None, 4)
        channel.prefixes = lambda views: [made[one.message] for one in views]
        return channel.fingerprint(list(made))

    first, second = fingerprint(1), fingerprint(2)
    assert math.dist(first, second) > 0.05 * math.hypot(*first)
    assert fingerprint(1) == first
