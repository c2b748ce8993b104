"""A user's channel with a port: packets of any length, behind the wall as in this process."""

from __future__ import annotations

import math
import sys
import textwrap

import pytest
import torch
from gate_project import BASE, ROOT
from own_codec import OPEN

from lpca.base.errors import RequestError
from lpca.channel import Packet, Port, View
from lpca.channel.confine import ISOLATED
from lpca.channel.side import SideError, Wall
from lpca.codec.base import CodecError
from lpca.codec.channel import Channel, as_view
from lpca.codec.shelf import Shelf
from lpca.codec.user_codec import codec_given, codec_named, obtain_own
from lpca.evaluation.conditions import Setting, build_slots, encode_messages
from lpca.receivers.caches import rotation_of, turned
from lpca.receivers.load import load_receiver
from lpca.tasks.kinds.trip import Trip

K = 5
CHANNELS = '''
import numpy as np
from lpca.channel import Packet, Port, View

class Numbers:
    """Letters as numbers, a vector for each three of them; numpy is all it knows."""
    def __init__(self, receiver, k):
        self.port, self.width = Port("vectors", k), receiver.d_model
    def send(self, views):
        return [self.of(view) for view in views]
    def of(self, view):
        assert isinstance(view, View)
        found = np.zeros((min(5, len(view.message) // 3), self.width), np.float32)
        for i, row in enumerate(found):
            row[:3] = [ord(letter) for letter in view.message[3 * i : 3 * i + 3]]
        return Packet(vectors=found)

class Words:
    """The first ids of the message that are even."""
    def __init__(self, receiver, k):
        self.receiver, self.port = receiver, Port("ids", k - 1, vocabulary=1280)
    def send(self, views):
        ids = [self.receiver.message_ids(view.message) for view in views]
        return [Packet(ids=[one for one in row if not one % 2][:4]) for row in ids]

class Codes:
    """Two letters in three, as ids of an alphabet of its own, which B's side has vectors of."""
    def __init__(self, receiver, k):
        import torch
        self.port = Port("ids", k, vocabulary=128)
        self.table = torch.randn(128, receiver.d_model)
    def send(self, views):
        return [Packet(ids=[ord(x) for x in one.message[-4:]]) for one in views]
    def receive(self, packet):
        return Packet(vectors=self.table[packet.ids])

class Narrow:
    """Vectors of width 2, which B's side widens; it does what a message says."""
    def __init__(self, receiver, k):
        self.port, self.width = Port("vectors", 3), receiver.d_model
    def send(self, views):
        return [self.of(view) for view in views]
    def of(self, view):
        if view.message.startswith("do "):
            own = {"Packet": Packet, "np": np, "view": view}
            exec(view.message[3:], own)
            return own["found"]
        n = len(view.message.split()) % 3
        return Packet(vectors=[[len(view.message), 1 + i] for i in range(n)])
    def receive(self, packet):
        number = float(np.asarray(packet.vectors)[0, 0])
        if number < 0:
            return [None, packet, Packet(ids=[1]), Packet(vectors=np.zeros((1, self.width)))][
                int(-number) - 1]
        found = np.zeros((len(packet), self.width))
        found[:, :2] = packet.vectors
        return Packet(vectors=found)
'''
MESSAGES = ["", "Hi", "To Oslo at nine.", "I leave for Rome tomorrow.", "Ufa it is, then, at ten"]


@pytest.fixture(scope="module")
def stub():
    return load_receiver("stub", device="cpu")


@pytest.fixture(scope="module")
def own(tmp_path_factory, stub):
    """Gives a channel of the module's by its name, behind the wall or here, made once."""
    folder, kept, before = tmp_path_factory.mktemp("channels"), {}, [*sys.path]
    (folder / "own_channels.py").write_text(CHANNELS)

    def get(name, wall):
        if (name, wall) not in kept:
            source = codec_named(f"own_channels:{name}", [folder])
            kept[name, wall] = obtain_own(source, stub, K, Wall((), 60.0) if wall else None)
        return kept[name, wall]

    yield get
    for one in kept.values():
        one.close()
    sys.path[:] = before
    sys.modules.pop("own_channels", None)


def same(one, other):
    mine, theirs = one.tensors("packet"), other.tensors("packet")
    return mine.keys() == theirs.keys() and all(torch.equal(mine[n], theirs[n]) for n in mine)


@pytest.mark.parametrize(
    ("name", "lengths", "bits", "sides"),
    [
        ("Numbers", [0, 0, 5, 5, 5], 5 * 128 * 32, 1),
        pytest.param("Words", [0, 0, 4, 4, 4], 4 * math.log2(1280), 1, marks=pytest.mark.slow),
        pytest.param("Codes", [0, 2, 4, 4, 4], 4 * 7, 2, marks=pytest.mark.slow),
        ("Narrow", [0, 1, 1, 2, 0], 128, 2),
    ],
)
def test_what_crosses_is_what_the_channel_makes_here(own, stub, name, lengths, bits, sides):
    walled, here = own(name, True), own(name, False)
    channels = [Channel(stub, one.codec, K) for one in (walled, here)]
    found, wanted = (one.packets(MESSAGES) for one in channels)
    assert all(map(same, found, wanted))
    assert all(map(same, found, channels[0].packets(MESSAGES)))
    assert len(walled.codec._sides) == sides
    capacity, length = channels[0].capacity(MESSAGES), channels[0].port.bits_of_length
    assert capacity == channels[1].capacity(MESSAGES)
    assert list(map(channels[0].sizes.positions, map(as_view, MESSAGES))) == lengths
    assert max(capacity) == pytest.approx(bits + length)
    assert capacity[0] == length
    assert channels[0].fingerprint(MESSAGES) == channels[1].fingerprint(MESSAGES)
    assert channels[0].fingerprint(MESSAGES) != channels[0].fingerprint(MESSAGES[:-1])
    assert (walled.isolation, here.isolation) == (ISOLATED, "trusted")
    assert walled.to_dict() == {**here.to_dict(), "isolation": ISOLATED}
    assert walled.to_dict()["port"]["positions"] == walled.codec.port.positions
    for channel in channels:
        assert all(map(same, channel.encode_afresh(MESSAGES[:3]), wanted))
        assert all(map(same, channel.decode_afresh(MESSAGES), wanted))


def test_a_reads_views_and_nothing_else(own, stub):
    told = Packet(vectors=torch.tensor([[7.0, 2.0]]))
    [packet] = own("Narrow", True).codec.send(
        [View(("do found = Packet(vectors=[[len(view.public), len(view.messages)]])",), "shown to")]
    )
    assert torch.equal(packet.vectors, told.vectors + torch.tensor([[1.0, -1.0]]))


SEND = [
    ("found = 7", "send gives a packet of type int; allowed: Packet"),
    ("found = view", "send gives a packet of type View; allowed: Packet"),
    ("found = Packet(ids=[1])", "send gives a packet of ids; allowed: vectors, its port's kind"),
    ("found = Packet(vectors=np.ones((4, 2)))", "a packet of 4 positions; allowed: at most 3"),
    ("found = Packet(vectors=[[np.nan, 1]])", "send gives NaN or infinity; allowed: finite"),
    ("found = Packet(vectors=np.ones((1, 2), complex))", "complex128 of layout .*; allowed: real"),
    ("found = Packet(vectors=np.ones((1, 2), bool))", "values of type torch.bool; allowed: num"),
    ("found = Packet(vectors=np.array([['a']]))", "send gives numpy's <U1; allowed: numbers of a"),
    (
        "found = Packet(vectors='abc')",
        r"PacketError: packet.vectors is of type str; allowed: .*\(own_channels\.py:\d+\)$",
    ),
    (
        "found = Packet(vectors=[[1], [2, 3]])",
        r"lists that are no numbers .* \(own_channels\.py:",
    ),
    ("found = Packet(vectors=[1, 2])", r"PacketError: packet.vectors has shape \(2,\); allowed"),
    ("found = Packet()", r"PacketError: a packet is one of ids, .*\(own_channels\.py:\d+\)$"),
    ("found = Packet(cache={0: (np.ones((1, 1, 2)),) * 2})", "a packet of cache; allowed: vectors"),
    ("1 / 0", r"send raised ZeroDivisionError: .*\(own_channels\.py:\d+\)$"),
]


@pytest.mark.parametrize("wall", [True, False])
@pytest.mark.parametrize(("does", "told"), SEND)
def test_what_a_sends_wrongly_is_one_line(own, stub, does, told, wall):
    channel = Channel(stub, own("Narrow", wall).codec, K)
    with pytest.raises(CodecError, match=told) as caught:
        channel.packets([f"do {does}"])
    assert "\n" not in str(caught.value)


RECEIVE = [
    "receive gives a packet None; allowed: Packet",
    "receive gives vectors of 2 numbers; allowed: 128, the receiver's d_model",
    "receive gives ids for some packets and vectors for others; allowed: one of them",
    "receive gives zeros as its last vector; allowed: fewer vectors, for nothing is padded",
]


@pytest.mark.parametrize("wall", [True, False])
@pytest.mark.parametrize("number", range(len(RECEIVE)))
def test_what_b_gets_wrongly_is_one_line(own, stub, number, wall):
    channel = Channel(stub, own("Narrow", wall).codec, K)
    numbers = (-1 - number, 9)
    asked = [f"do found = Packet(vectors=[[{number}, 1]])" for number in numbers]
    with pytest.raises(CodecError, match=RECEIVE[number]) as caught:
        channel.packets(asked)
    assert "\n" not in str(caught.value)


class Plain:
    """A channel whose parts a test chooses."""

    def __init__(self, port=None, send=None, receive=None):
        self.port = port
        self._send = send
        if receive is not None:
            self.receive = receive

    def send(self, views):
        return self._send(views)


def obtained(stub, *parts):
    return obtain_own(codec_given(lambda receiver, k: Plain(*parts)), stub, K)


@pytest.mark.parametrize(
    ("port", "told"),
    [
        (None, "what it made is of type Plain, without port; allowed: .* a channel with a port"),
        ("vectors", "its port is of type str; allowed: lpca.channel.Port"),
        (Port("vectors", K + 1), "its port has 6 positions; allowed: at most k, 5"),
    ],
)
def test_a_port_that_cannot_be_is_refused(stub, port, told):
    with pytest.raises(RequestError, match=told):
        obtained(stub, port)


def test_a_connector_that_cannot_be_called_is_refused(stub):
    told = r"its receive is of type int; allowed: a method receive\(packet\), or none"
    with pytest.raises(RequestError, match=told):
        obtained(stub, Port("vectors", 3), list, 5)
    assert not obtained(stub, Port("vectors", 3), list, None).codec.receives


@pytest.mark.parametrize(
    ("port", "packets", "told"),
    [
        (Port("ids", 3, 10), [Packet(ids=[3, 10])], "send gives id 10; allowed: 0 to 9"),
        (Port("ids", 3, 10), [Packet(ids=[-1])], "send gives id -1; allowed: 0 to 9"),
        (
            Port("ids", 3, 10),
            [Packet(ids=torch.tensor([1, 2**64 - 1], dtype=torch.uint64))],
            "send gives id 18446744073709551615; allowed: 0 to 9",
        ),
        (Port("ids", 3, 10), [Packet(ids=[1.5])], "ids of type torch.float.*; allowed: whole"),
        (Port("ids", 3, 2**20), [Packet(ids=[2**19])], "send gives id 524288; allowed: 0 to 1279"),
        (Port("vectors", 3), [Packet(vectors=[[1.0]])], "vectors of 1 .* 128.*or a `receive`"),
        (
            Port("vectors", 3),
            [Packet(vectors=torch.full((1, 128), 1e300, dtype=torch.float64))],
            "NaN or infinity",
        ),
        (
            Port("vectors", 3),
            [Packet(vectors=torch.zeros(1, 64, dtype=torch.uint8).view(torch.float4_e2m1fn_x2))],
            "values of type torch.float4.*; allowed: numbers",
        ),
        (Port("vectors", 3), [], "send gives 0 packets; allowed: 1, one for each view"),
        (Port("vectors", 3), torch.zeros(1, 1, 128), "of type Tensor; allowed: a list of Packets"),
        (Port("vectors", 3), [torch.zeros(1, 128)], "a packet of type Tensor; allowed: Packet"),
        (Port("vectors", 3), None, "send gives None; allowed: a list of Packets"),
    ],
)
def test_what_does_not_go_through_the_port_is_refused(stub, port, packets, told):
    own = obtained(stub, port, lambda views: packets)
    with pytest.raises(CodecError, match=told):
        Channel(stub, own.codec, K).packets(["Hi"])


@pytest.mark.parametrize(
    ("port", "send", "told"),
    [
        # the type, the width, the layer or the heads of it would tell what no bits count
        (
            Port("vectors", 3),
            lambda i: Packet(vectors=torch.ones(2, 4, dtype=(torch.uint8, torch.int8)[i])),
            r"forms \(vectors of uint8 \[4\] and vectors of int8 \[4\]\)",
        ),
        (Port("vectors", 3), lambda i: Packet(vectors=torch.ones(1, i)), r"float32 \[1\]"),
        (
            Port("cache", 3),
            lambda i: Packet(cache={i: (torch.ones(1, 1, 0), torch.ones(1, 1, 0))}),
            r"cache.0.keys of float32 \[1, 0\] and cache.1.keys",
        ),
        (
            Port("cache", 3),
            lambda i: Packet(cache={0: (torch.ones(1 + i, 1, 2), torch.ones(1 + i, 1, 2))}),
            r"keys of float32 \[1, 2\] and cache.0.keys of float32 \[2, 2\]",
        ),
        (
            Port("cache", 3),
            lambda i: Packet(
                cache={n: (torch.ones(1, 1 + n, 2), torch.ones(1, 1 + n, 2)) for n in range(2)}
            ),
            "layers of 1 and of 2 positions; allowed: one number",
        ),
    ],
)
def test_packets_of_several_forms_are_refused(stub, port, send, told):
    def both(views):
        return [send(i) for i, _ in enumerate(views)]

    own = obtained(stub, port, both, lambda packet: packet)
    with pytest.raises(CodecError, match=told):
        Channel(stub, own.codec, K).packets(["Hi", "Ho"])


def test_more_positions_at_bs_than_k_are_refused(stub):
    wide = Packet(vectors=torch.ones(K + 1, stub.d_model))
    own = obtained(stub, Port("ids", 1, 9), lambda v: [Packet(ids=[1])] * len(v), lambda p: wide)
    with pytest.raises(CodecError, match=r"receive gives a packet of 6 .* at most k, 5"):
        Channel(stub, own.codec, K).packets(["Hi"])


def test_an_empty_packet_is_an_empty_slot_whatever_b_makes_of_none(stub):
    full = Packet(vectors=torch.ones(1, stub.d_model))
    own = obtained(stub, Port("ids", 2, 9), lambda v: [Packet(ids=[])] * len(v), lambda p: full)
    [packet] = Channel(stub, own.codec, K).packets(["Hi"])
    assert len(packet) == 0


def test_no_live_object_comes_out_of_a_channel_in_this_process(stub):
    class Tells(torch.Tensor):
        """Numbers that know where they are used."""

    class Own(Packet):
        """A packet with a memory."""

    buffer = torch.ones(1, stub.d_model)
    sent = Own(vectors=buffer.as_subclass(Tells))
    channel = Channel(stub, obtained(stub, Port("vectors", 2), lambda views: [sent]).codec, K)
    [packet] = channel.packets(["Hi"])
    buffer.zero_()
    assert (type(packet), type(packet.vectors)) == (Packet, torch.Tensor)
    assert packet.vectors.all()


class TestConditions:
    """What stands in B's slot where packets differ in length."""

    @pytest.fixture
    def of(self, stub, own):
        episodes = Trip().evaluation_set("test", "seen", 12, 0)

        def make(name, wall=False):
            channel = Channel(stub, own(name, wall).codec, K)
            return Setting(stub, channel, episodes, None, ("I go to Oslo.", "To Rome"))

        return make

    def test_each_slot_is_as_long_as_its_packet(self, of):
        setting = of("Narrow")
        packets = setting.coded().packets([episode.message for episode in setting.episodes])
        lengths = list(map(len, packets))
        assert len({*lengths}) == 3
        slots = {name: build_slots(name, setting) for name in ("normal", "null", "random")}
        for own in slots.values():
            assert list(map(len, own)) == lengths
            assert all(slot.vectors is not None for slot in own)
        assert not any(slot.vectors.any() for slot in slots["null"])
        for noise, own in zip(slots["random"], slots["normal"], strict=True):
            assert torch.allclose(noise.vectors.norm(dim=1), own.vectors.norm(dim=1))
        donors = [lengths[donor] for donor in setting.episodes.donors]
        assert list(map(len, build_slots("shuffle", setting))) == donors
        assert not any(map(len, build_slots("empty", setting)))
        for name in ("first_k", "random_k", "keywords_k"):
            texts = build_slots(name, setting)
            assert all(len(text) <= n for text, n in zip(texts, lengths, strict=True))
        assert list(map(len, build_slots("first_k", setting))) == lengths

    def test_of_ids_null_is_nothing_and_random_other_ids(self, of, stub):
        setting = of("Words")
        normal, null, noise = (build_slots(c, setting) for c in ("normal", "null", "random"))
        assert all(slot.vectors is None for slot in (*normal, *null, *noise))
        assert not any(map(len, null))
        assert list(map(len, noise)) == list(map(len, normal))
        assert build_slots("random", setting)[0].ids == noise[0].ids != normal[0].ids
        assert max(token for slot in noise for token in slot.ids) < 1280

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("Words", "packets are of ids; allowed: vectors, or caches, of one shape"),
            ("Narrow", "of several shapes"),
        ],
    )
    @pytest.mark.parametrize("condition", ["mean", "shaped"])
    def test_what_needs_vectors_of_one_shape_is_refused_before_a_measurement(
        self, of, name, told, condition
    ):
        with pytest.raises(CodecError, match=f"condition {condition}: .*{told}"):
            encode_messages(["normal", condition], of(name))

    def test_vectors_of_one_shape_have_a_mean(self, of, stub):
        setting = of("Numbers")
        setting = Setting(stub, setting.channel, setting.episodes, None, ("abcdef", "cdefgh"))
        [mean, *_] = build_slots("mean", setting)
        assert mean.vectors[:, :3].tolist() == [[98.0, 99.0, 100.0], [101.0, 102.0, 103.0]]


def test_what_is_kept_is_what_was_made_whatever_is_done_with_it(stub, own):
    channel = Channel(stub, own("Numbers", False).codec, K)
    packets = channel.packets(MESSAGES)
    wanted = packets[2].vectors.clone()
    packets[2].vectors.zero_()
    assert torch.equal(packets[2].vectors, wanted)
    assert len(packets[1:3]) == 2
    assert torch.equal(packets[1:3][1].vectors, wanted)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.float8_e4m3fn, torch.int8])
@pytest.mark.parametrize("shape", [(0, 3), (2, 3)])
def test_a_shelf_gives_back_what_it_keeps(dtype, shape):
    shelf, views = Shelf(), [View(("one",)), View(("one",), "public")]
    tensors = [torch.full(shape, value).to(dtype) for value in (1.5, -3)]
    shelf.keep(views, [Packet(vectors=one) for one in tensors])
    for view, tensor in zip(views, tensors, strict=True):
        found = shelf[view].vectors
        assert (found.dtype, found.shape) == (dtype, shape)
        assert torch.equal(found.double(), tensor.double())
    assert View(("two",)) not in shelf


def documented(name):
    """What the page's code with a port names so."""
    page = (ROOT / "docs" / "own-codec.md").read_text()
    named = {}
    for text in page.split("```python")[1:]:
        code = text.partition("```")[0]
        if "Port(" in code:
            assert len(code.strip().splitlines()) <= 25
            exec(code, named)
    return named[name]


def test_the_documented_channel_sends_what_it_says(stub):
    own = obtain_own(codec_given(documented("Words")), stub, K)
    [told] = Channel(stub, own.codec, K).packets(["We go to Oslo now."])
    assert stub.text(told.ids.tolist()).split() == ["We", "Oslo"]


def test_the_documented_channel_of_caches_numbers_its_columns_from_0(stub):
    """Whatever the last tokens stand behind, their keys are turned as if they came first."""
    text, make = "Ida goes to Oslo and writes.", documented("LastTokens")
    ids = stub.message_ids(text)
    [whole], [last] = (make(stub, k).send([View((text,))]) for k in (len(ids), 3))
    alone, rotation = (
        stub.model(input_ids=torch.tensor([ids])).past_key_values.layers,
        rotation_of(stub),
    )
    for layer, (keys, values) in whole.cache.items():
        assert torch.equal(keys, alone[layer].keys[0])
        assert torch.equal(values, alone[layer].values[0])
    # each token sees what it saw, so its values are the same; keys are those of other places
    for layer, (keys, values) in last.cache.items():
        torch.testing.assert_close(values, whole.cache[layer][1][:, -3:], rtol=0, atol=1e-5)
        back = rotation.turns([3 - len(ids)])[rotation.kinds[layer]]
        wanted = turned(whole.cache[layer][0][None, :, -3:], back)[0]
        torch.testing.assert_close(keys, wanted, rtol=0, atol=1e-5)


def test_other_sides_words_are_no_packets(own, stub, monkeypatch):
    remote = own("Numbers", True).codec
    monkeypatch.setattr(remote._sides["A"], "ask", lambda *_: ({}, {"1.ids": torch.ones(1)}))
    with pytest.raises(SideError, match=r"side A: send: tensor '1.ids' belongs to no packet"):
        remote.send([View(("Hi",))])


WIDE = OPEN.replace("normal, null, shuffle]", "normal, null, random, shuffle, empty, first_k]")
HEAD = "from lpca.channel import Packet, Port\n\nclass Own:\n"
GATES = {
    # each message's own tokens, or their embeddings: as many as it has
    "ids": (
        """
        def __init__(self, receiver, k):
            self.receiver, self.port = receiver, Port("ids", k, vocabulary=1280)
        def send(self, views):
            ids = [self.receiver.message_ids(view.message)[:16] for view in views]
            return [Packet(ids=one) for one in ids]
        """,
        {0},
    ),
    "vectors": (
        """
        def __init__(self, receiver, k):
            self.receiver, self.port = receiver, Port("vectors", k)
        def send(self, views):
            ids = [self.receiver.message_ids(view.message)[:16] for view in views]
            return [Packet(vectors=self.receiver.embed(one)) for one in ids]
        """,
        {0},
    ),
    # what it remembers of the packets before decides what B gets
    "remembers": (
        """
        def __init__(self, receiver, k):
            self.receiver, self.port = receiver, Port("ids", k, vocabulary=1280)
            self.last = None
        def send(self, views):
            ids = [self.receiver.message_ids(view.message)[:16] for view in views]
            return [Packet(ids=one) for one in ids]
        def receive(self, packet):
            vectors = self.receiver.embed(packet.ids.tolist())
            self.last, last = vectors, self.last
            return Packet(vectors=vectors if last is None else last)
        """,
        {7},
    ),
    "depends on its batch": (
        """
        def __init__(self, receiver, k):
            self.receiver, self.port = receiver, Port("ids", k, vocabulary=1280)
        def send(self, views):
            ids = [self.receiver.message_ids(view.message)[:16] for view in views]
            return [Packet(ids=one if len(ids) > 30 else one[1:]) for one in ids]
        """,
        {7},
    ),
    "pads": (
        """
        def __init__(self, receiver, k):
            self.receiver, self.port = receiver, Port("ids", k, vocabulary=1280)
        def send(self, views):
            return [Packet(ids=[7]) for view in views]
        def receive(self, packet):
            import torch
            return Packet(vectors=torch.zeros(16, 128))
        """,
        {4},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", [(), ("--in-process",)], ids=["walled", "here"])
@pytest.mark.parametrize("name", GATES)
def test_whole_gates(project, name, how):
    body, codes = GATES[name]
    (project.path / "my_codec.py").write_text(HEAD + textwrap.indent(textwrap.dedent(body), "    "))
    project.write(BASE + WIDE)
    result = project.run("-m", "open", "--k", "16", "--codec", "my_codec:Own", *how)
    assert result.ret in codes
    if 0 in codes:
        evidence = project.evidence("open-k16")
        assert evidence["codec"]["port"]["positions"] == 16
        assert evidence["conditions"]["normal"]["tokens"] < 16
