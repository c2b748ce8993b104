"""Whether lengths explain what is gained: channels of content and of length, and a B for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zlib import crc32

import pytest
import torch
from torch import Tensor

from lpca.channel.packets import Packet, Port, View
from lpca.codec.base import CodecError
from lpca.codec.channel import Channel
from lpca.evaluation.block import Computed, Job, make_job
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.outcome import Outcome, ReceivedPrompt
from lpca.receivers.forward import Slot
from lpca.receivers.model import Receiver
from lpca.tasks import Episode
from lpca.tasks.kinds.trip import Trip
from lpca.validity.audit import Audit
from lpca.validity.catalogue import CannotTell, CheckFailed, DoesNotApply
from lpca.validity.checks.lengths import explain, lengths_say_nothing, resized

N, MOST = 80, 8
EPISODES = Trip(4).evaluation_set("test", "seen", N, 7)
OPTIONS = sorted({option for episode in EPISODES for option in episode.options}, key=len)


def number(option: str) -> int:
    return 1 + crc32(option.encode()) % MOST


def place(option: str) -> int:
    return 1 + OPTIONS.index(option)


class Sends:
    """Vectors whose first number names the answer, or whose number does; none asks B's side."""

    name, receives, number = "sends", False, staticmethod(number)

    def __init__(self, by_length: bool, width: int, refuses: bool = False) -> None:
        self.port = Port("vectors", MOST)
        self.by_length, self.width, self.refuses = by_length, width, refuses
        self.receives, self.seen = refuses, 0

    def send(self, views: Sequence[View]) -> list[Packet]:
        return [self.packet(view.message) for view in views]

    def packet(self, message: str) -> Packet:
        told = self.number(next(one for one in reversed(OPTIONS) if one in message))
        n = told if self.by_length else 1 + len(message) % 5
        return Packet(vectors=torch.full((n, self.width), 1.0 if self.by_length else float(told)))

    def receive(self, packets: Sequence[Packet]) -> list[Packet]:
        self.seen += len(packets)
        if self.seen > N:
            raise CodecError("it wants more of a packet")
        return list(packets)


def of_length(vectors: Tensor) -> int:
    return len(vectors)


def of_content(vectors: Tensor) -> int:
    return int(vectors[0, 0])


def read_by(
    reads: Callable[[Tensor], int], number: Callable[[str], int]
) -> Callable[[Receiver, Sequence[Job], int], Computed]:
    """A B that takes the option which it finds in the slot, or the first."""

    def chosen(slot: Slot, episode: Episode) -> int:
        if not len(slot) or slot.vectors is None:
            return 0
        told = reads(slot.vectors)
        named = [number(option) == told for option in episode.options]
        return named.index(True) if any(named) else 0

    def run(receiver: Receiver, jobs: Sequence[Job], batch_size: int) -> Computed:
        for job in jobs:
            places = map(chosen, job.slots, job.episodes)
            yield (
                job,
                tuple(
                    Outcome(
                        episode.seed,
                        episode.answer,
                        tuple(0.0 if i == place else -1.0 for i in range(len(episode.options))),
                        *((), "", place, ReceivedPrompt((), 0, 0)),
                    )
                    for episode, place in zip(job.episodes, places, strict=True)
                ),
            )

    return run


def audit(receiver: Receiver, codec: Sends, reads: Callable[[Tensor], int]) -> Audit:
    setting = Setting(receiver, Channel(receiver, codec, codec.port.positions), EPISODES)
    run = read_by(reads, codec.number)
    outcomes = {}
    for condition in ("p0", "normal", "shuffle"):
        slots = build_slots(condition, setting)
        job = make_job(receiver, condition, EPISODES.episodes, slots)
        [(_, outcomes[condition])] = run(receiver, [job], N)
    return Audit(setting, Trip(4), outcomes, "", run_block=run)


def test_a_channel_that_tells_the_answer_by_its_length_is_found(llama: Receiver) -> None:
    with pytest.raises(CheckFailed, match="told by the number of positions"):
        lengths_say_nothing(audit(llama, Sends(True, llama.d_model), of_length))


def test_a_channel_of_content_whose_length_differs_is_sound(llama: Receiver) -> None:
    told = lengths_say_nothing(audit(llama, Sends(False, llama.d_model), of_content))
    assert f"{N} episodes: right with another's content at the same n " in told


def test_where_every_packet_is_as_long_nothing_is_asked(llama: Receiver) -> None:
    class Same(Sends):
        def packet(self, message: str) -> Packet:
            return Packet(vectors=torch.ones(3, self.width))

    with pytest.raises(DoesNotApply, match="every packet has 3 positions"):
        lengths_say_nothing(audit(llama, Same(True, llama.d_model), of_length))


def test_an_other_side_that_takes_no_other_packet_hides_what_n_tells(llama: Receiver) -> None:
    with pytest.raises(CheckFailed, match=r"refuses another's content.* it wants more of a packet"):
        lengths_say_nothing(audit(llama, Sends(True, llama.d_model, refuses=True), of_length))


class Marked(Sends):
    """A packet's number names the answer alone; its content tells a little of that, or all."""

    number = staticmethod(place)

    def __init__(self, width: int, mark: Callable[[int], float]) -> None:
        super().__init__(True, width)
        self.port = Port("vectors", len(OPTIONS))
        self.mark = mark

    def packet(self, message: str) -> Packet:
        n = len(super().packet(message))
        return Packet(vectors=torch.full((n, self.width), self.mark(n)))


@pytest.mark.parametrize(
    "mark", [lambda n: 1.0 + n % 2, lambda n: 1.0 + n % 3, lambda n: 1.0 + n * 7 % 5]
)
def test_a_mark_by_which_another_length_is_known_hides_nothing(
    llama: Receiver, mark: Callable[[int], float]
) -> None:
    def reads(vectors: Tensor) -> int:
        n = len(vectors)
        return n if float(vectors[0, 0]) == mark(n) else -1

    with pytest.raises(CheckFailed, match=r"guessed by n alone, .* content alone does not tell it"):
        lengths_say_nothing(audit(llama, Marked(llama.d_model, mark), reads))


def test_content_that_tells_what_length_tells_is_no_fault(llama: Receiver) -> None:
    """B takes no other content at a length: by content alone as many are guessed."""

    def reads(vectors: Tensor) -> int:
        return len(vectors) if int(vectors[0, 0]) == len(vectors) else -1

    told = lengths_say_nothing(audit(llama, Marked(llama.d_model, float), reads))
    assert "by content alone" in told
    assert "at another n" not in told


def test_content_that_b_reads_at_any_length_is_no_fault(llama: Receiver) -> None:
    """Noise of the message keeps one from guessing by it; B reads it behind that all the same."""

    class Noisy(Marked):
        def packet(self, message: str) -> Packet:
            rows = super().packet(message).vectors
            generator = torch.Generator().manual_seed(crc32(message.encode()))
            rows[:, 1:] = 50 * torch.randn(self.width - 1, generator=generator)
            return Packet(vectors=rows)

    told = lengths_say_nothing(audit(llama, Noisy(llama.d_model, float), of_content))
    assert "with their content at another n" in told


def told_twice(views: Sequence[View]) -> bool:
    """Whether two messages differ in nothing but a city."""
    bare = list[str]()
    for view in views:
        city = next(one for one in reversed(OPTIONS) if one in view.message)
        bare.append(view.message.replace(city, ""))
    return len({*bare}) < len(bare)


class Sees(Marked):
    """Once it sees messages told otherwise, A refuses all, or says other lengths."""

    def __init__(self, width: int, lies: bool) -> None:
        super().__init__(width, lambda n: 1.0 + n % 2)
        self.lies, self.heard = lies, dict[str, View]()

    def send(self, views: Sequence[View]) -> list[Packet]:
        self.heard.update((view.message, view) for view in views)
        if len(self.heard) <= N + 8:
            return super().send(views)
        if not self.lies:
            raise CodecError("too many are alike")
        rows = [len(one) % MOST + 1 for one in super().send(views)]
        return [Packet(vectors=torch.full((n, self.width), self.mark(n))) for n in rows]


@pytest.mark.parametrize(
    ("lies", "told"),
    [
        (False, "A refuses messages that differ in their answer alone: .* too many are alike"),
        (True, "A sends other packets than in the run: "),
    ],
)
def test_who_refuses_or_lies_where_messages_are_told_otherwise_is_found(
    llama: Receiver, lies: bool, told: str
) -> None:
    def reads(vectors: Tensor) -> int:
        n = len(vectors)
        return n if float(vectors[0, 0]) == 1.0 + n % 2 else -1

    with pytest.raises(CheckFailed, match=told):
        lengths_say_nothing(audit(llama, Sees(llama.d_model, lies), reads))


def test_no_batch_holds_two_messages_that_differ_in_their_answer(llama: Receiver) -> None:
    batches = list[bool]()

    class Looks(Marked):
        def send(self, views: Sequence[View]) -> list[Packet]:
            if len(views) > 1:
                batches.append(told_twice(views))
            return super().send(views)

    codec = Looks(llama.d_model, float)
    asked = audit(llama, codec, of_content)
    batches.clear()
    lengths_say_nothing(asked)
    # a teller's own message may stand beside one that is told otherwise
    assert sum(batches) <= 2 + len(batches) // 10


@pytest.mark.parametrize("mark", [lambda n: 1.0 + n % 2, float])
def test_where_no_message_can_be_told_otherwise_n_may_tell_all(
    llama: Receiver, monkeypatch: pytest.MonkeyPatch, mark: Callable[[int], float]
) -> None:
    def reads(vectors: Tensor) -> int:
        if mark is float:
            return int(vectors[0, 0])
        return len(vectors) if float(vectors[0, 0]) == mark(len(vectors)) else -1

    monkeypatch.setattr("lpca.validity.retold.retold", lambda *_: None)
    codec = Marked(llama.d_model, mark)
    asked = audit(llama, codec, reads)
    codec.receives, codec.seen = True, -10 * N
    if mark is float:
        assert "with their content at another n" in lengths_say_nothing(asked)
    else:
        with pytest.raises(CannotTell, match="n may tell all: "):
            lengths_say_nothing(asked)


def outcomes(right: int, n: int = 60) -> list[bool]:
    return [i < right for i in range(n)]


@pytest.mark.parametrize(
    ("found", "normal", "shuffle", "explains"),
    [
        (55, 55, 2, True),
        (2, 55, 2, False),
        (22, 55, 2, False),  # a fifth of the gain
        (35, 55, 2, False),  # half of it
        (50, 55, 50, False),  # a prompt that helps whatever it holds
        (15, 15, 2, False),  # nothing is gained
    ],
)
def test_lengths_explain_where_they_keep_the_gain_and_shuffle_does_not(
    found: int, normal: int, shuffle: int, explains: bool
) -> None:
    p0 = [i % 4 == 0 for i in range(60)]
    assert explain(outcomes(found), outcomes(normal), outcomes(shuffle), p0) is explains


@pytest.mark.parametrize(
    ("held", "n", "wanted"),
    [
        (4, 4, [0, 1, 2, 3]),
        (4, 2, [0, 3]),
        (2, 3, [0, 0, 1]),
        (3, 1, [0]),
        (3, 0, []),
        (1, 3, [0] * 3),
    ],
)
def test_content_is_brought_to_a_length(held: int, n: int, wanted: list[int]) -> None:
    line = torch.arange(held)
    assert resized(Packet(ids=line), n).ids.tolist() == wanted
    vectors = resized(Packet(vectors=line[:, None].float()), n).vectors
    assert vectors.shape == (n, 1)
    layer = line[None, :, None].float()
    cached = resized(Packet(cache={2: (layer, layer + 1)}), n).cache[2]
    assert [one.shape for one in cached] == [(1, n, 1)] * 2
    assert vectors.flatten().tolist() == wanted == cached[0].flatten().tolist()


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "uint8", "int8", "float8_e5m2"])
def test_a_narrow_type_counts_positions_as_others_do(kind: str) -> None:
    rows = (torch.arange(600) % 2)[:, None].float().to(getattr(torch, kind))
    found = resized(Packet(vectors=rows), 300).vectors
    places = [round(i * 599 / 299) for i in range(300)]
    assert found.dtype == rows.dtype
    assert found.float().flatten().tolist() == [place % 2 for place in places]
