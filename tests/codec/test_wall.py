"""A codec behind the wall: judged as what crosses; nothing that it does there decides a gate."""

from __future__ import annotations

import re
import sys
import tempfile
import textwrap

import pytest
import torch
from gate_project import BASE, HEAD
from own_codec import CUT

from lpca.base.errors import RequestError
from lpca.channel.confine import ISOLATED
from lpca.channel.packets import Packet
from lpca.channel.side import SideError, Wall
from lpca.codec.base import CodecError
from lpca.codec.channel import Channel
from lpca.codec.ends import ends_of
from lpca.codec.user_codec import codec_named, obtain_own
from lpca.gate.plan import files_of
from lpca.gatespec.load import load_spec
from lpca.receivers.load import load_receiver

K = 4
MESSAGES = [f"The train to {city} leaves at nine." for city in ("Oslo", "Ufa", "Rome", "Bonn")]
PLAIN = """
import os, signal, sys, threading, time
import torch

class Plain:
    '''Letters as numbers, in vectors of width 3: no receiver is loaded.'''
    def __init__(self, receiver, k):
        self.k, self.d_model = k, receiver.d_model
    def encode(self, messages):
        out = torch.zeros(len(messages), self.k, 3)
        for row, message in zip(out, messages):
            for i, letter in enumerate(message):
                row[i % self.k, i % 3] += ord(letter)
        return out
    def decode(self, latents):
        out = torch.zeros(len(latents), self.k, self.d_model)
        out[..., :3] = latents
        return out

class Learnt(torch.nn.Module):
    def __init__(self, receiver, k):
        super().__init__()
        self.receiver, self.table = receiver, torch.nn.Parameter(torch.randn(k, receiver.d_model))
        self.dropout = torch.nn.Dropout(0.5)
    def encode(self, messages):
        return self.dropout(self.table).expand(len(messages), -1, -1)
    def decode(self, latents):
        return latents
"""


@pytest.fixture(scope="module")
def stub():
    return load_receiver("stub", device="cpu")


@pytest.fixture
def made(tmp_path, monkeypatch, stub):
    """Makes a codec of a module's text behind the wall; all are closed with the test."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    kept = []

    def make(body="", factory="Codec", seconds=60.0, hidden=()):
        text = PLAIN + textwrap.dedent(body)
        (tmp_path / "code").mkdir(exist_ok=True)
        (tmp_path / "code" / "walled.py").write_text(text)
        source = codec_named(f"walled:{factory}", [tmp_path / "code"])
        wall = Wall((tmp_path / "hidden", *hidden), seconds)
        kept.append(obtain_own(source, stub, K, wall))
        return kept[-1]

    yield make
    for own in kept:
        own.close()


def test_what_crosses_is_what_the_codec_makes_here(made, stub, tmp_path):
    own = made(factory="Plain")
    here = obtain_own(codec_named("walled:Plain", [tmp_path / "code"]), stub, K)
    channel, same = Channel(stub, own.codec, K), Channel(stub, here.codec, K)
    assert torch.equal(*(torch.stack(one.prefixes(MESSAGES)) for one in (channel, same)))
    assert torch.equal(*(one.mean_prefix(MESSAGES) for one in (channel, same)))
    afresh = [[p.vectors for p in one.encode_afresh(MESSAGES[:2])] for one in (channel, same)]
    assert torch.equal(*map(torch.stack, afresh))
    assert channel.fingerprint(MESSAGES) == same.fingerprint(MESSAGES)
    assert own.content_hash == here.content_hash
    assert (own.isolation, here.isolation) == (ISOLATED, "trusted")
    assert own.to_dict() == {**here.to_dict(), "isolation": ISOLATED}


def test_a_side_is_told_of_a_receiver_and_loads_its_own_when_more_is_asked(made, stub):
    own = made(
        """
        class Codec(Plain):
            trained_on, bits = ("one", "two"), 12
            def __init__(self, receiver, k):
                super().__init__(receiver, k)
                assert not any(one.startswith("transformers") for one in sys.modules)
                assert (receiver.name, receiver.dtype) == ("stub", torch.float32)
                assert receiver.mean_embedding_norm > 0 and str(receiver.device) == "cpu"
                self.receiver = receiver
            def encode(self, messages):
                from lpca.receivers.model import Receiver
                assert isinstance(self.receiver, Receiver)
                ids = [self.receiver.message_ids(one)[:self.k] for one in messages]
                return torch.stack([self.receiver.embed(one) for one in ids])
            def decode(self, latents):
                assert "lpca.receivers.model" not in sys.modules
                return latents
        """
    )
    (prefix,) = Channel(stub, own.codec, K).prefixes(MESSAGES[:1])
    assert torch.equal(prefix, stub.embed(stub.message_ids(MESSAGES[0])[:K]))
    assert (own.trained_on, own.codec.bits) == (("one", "two"), 12.0)


@pytest.mark.slow
def test_both_sides_make_the_same_weights_or_are_refused(made):
    assert made(factory="Learnt").weights_hash == made(factory="Learnt").weights_hash
    with pytest.raises(RequestError, match=r"walled:Codec: its weights are not the same on both"):
        made(
            """
            class Codec(Learnt):
                def __init__(self, receiver, k):
                    super().__init__(receiver, k)
                    self.table.data.add_(os.getpid())
            """
        )


def test_a_sees_all_messages_in_an_order_that_tells_nothing(made, stub):
    own = made(
        """
        class Codec(Plain):
            seen = []
            def encode(self, messages):
                self.seen += messages
                out = super().encode(messages)
                if messages == ["what was seen?"]:
                    raise RuntimeError("|".join(self.seen[:-1]))
                return out
        """
    )
    channel = Channel(stub, own.codec, K)
    told = [*MESSAGES[:2], *MESSAGES, "a mean's", "another mean's"]
    channel.expect(told)
    channel.prefixes(MESSAGES)
    channel.mean_prefix(told[-2:])
    with pytest.raises(CodecError) as caught:
        own.codec.encode(["what was seen?"])
    seen = re.search("RuntimeError: (.*) \\(", str(caught.value))[1].split("|")
    assert sorted(seen) == sorted(set(told))
    assert seen not in (list(dict.fromkeys(told)), sorted(seen))


OBEDIENT = """
import socket
from contextlib import suppress
PLACES = ("/tmp", "/dev/shm", "/var/tmp")
ENDS = [((1, kind), "\\0lpca-tells") for kind in (1, 2, 5)] + [((2, 2), ("127.0.0.1", 51379))]

class Tells(torch.Tensor):
    def detach(self): return torch.ones(self.shape)
    def cpu(self): return torch.ones(self.shape)
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return torch.ones(1, 1, 1)

class Codec(Plain):
    # A does what its message says; so does B, whose latents say where in DO it stands
    last = None
    def do(self, what, given):
        own = {**globals(), "self": self, "n": len(given), "given": given, "Plain": Plain}
        exec(what, own)
        return own.get("found")
    def encode(self, messages):
        found = self.do(messages[0][3:], messages) if messages[0].startswith("do ") else None
        return super().encode(messages) if found is None else found
    def decode(self, latents):
        number = int(latents[0, 0, 0])
        found = None if number >= 0 else self.do(DO[-number - 1], latents)
        return super().decode(latents.clamp(min=0)) if found is None else found
"""
SAYS_MORE = """
import json
honest = json.dumps
json.dumps = lambda what, **how: honest({**what, "device": "Oslo"}, **how)
"""
READS_MORE = """
frame, got = sys._getframe(), 0
while frame:
  got += frame.f_locals.get("header", {}).get("device") == "Oslo"
  frame = frame.f_back
"""
NOTHING = "\nfound = torch.zeros(n, self.k, 3)"
COUNTED = "\nfound = Plain.decode(self, torch.full((n, self.k, 3), float(got)))"
CHEATS = {
    "remembers": (
        "Codec.last = Plain.encode(self, given)",
        "got = 0 if Codec.last is None else 1",
    ),
    "a tensor with a memory": (
        "sent = torch.zeros(n, self.k, 3).as_subclass(Tells)\nsent.secret = given",
        "got = len(vars(given))",
    ),
    "a file": (
        "for one in PLACES:\n  with suppress(OSError): open(one + '/lpca-tells', 'w')",
        "got = sum(os.path.exists(one + '/lpca-tells') for one in PLACES)",
    ),
    "sockets": (
        "Codec.last = []\n"
        "for kind, to in ENDS:\n"
        "  with suppress(OSError):\n"
        "    Codec.last.append(socket.socket(*kind))\n"
        "    Codec.last[-1].bind(to)\n"
        "    Codec.last[-1].listen()",
        "got = 0\n"
        "for kind, to in ENDS:\n"
        "  with suppress(OSError):\n"
        "    socket.socket(*kind).connect(to)\n"
        "    got += 1",
    ),
    "what belongs to a packet": (SAYS_MORE, READS_MORE),
    "the other's process": (
        "pass",
        "got = 0\n"
        "for pid in range(os.getpid() - 40, os.getpid() + 40):\n"
        "  with suppress(OSError):\n"
        "    got += pid != os.getpid() and len(open(f'/proc/{pid}/maps').read(5))",
    ),
}


@pytest.fixture(scope="module")
def obedient(tmp_path_factory, stub):
    """One codec for all that leaves it alive: its two processes are started once."""
    folder = tmp_path_factory.mktemp("obedient")
    does = [do for do, _ in DECODE] + [do + COUNTED for _, do in CHEATS.values()]
    (folder / "obedient.py").write_text(f"DO = {does!r}\n{PLAIN}{OBEDIENT}")
    before = [*sys.path]
    own = obtain_own(codec_named("obedient:Codec", [folder]), stub, K, Wall())
    yield own.codec
    own.close()
    sys.path[:] = before


@pytest.mark.parametrize("name", CHEATS)
def test_nothing_but_the_packet_crosses(obedient, name):
    """A's packets say nothing, whatever it tells by other ways: so B's prefixes are zeros."""
    does = CHEATS[name][0]
    gives = "\nfound = sent" if "sent" in does else NOTHING
    sent = obedient.encode([f"do {does}{gives}"])
    assert type(sent) is torch.Tensor
    assert not sent.any()
    prefixes = obedient.decode(torch.full_like(sent, -1.0 - len(DECODE) - [*CHEATS].index(name)))
    assert not prefixes.any()


WAKES = """
import ctypes
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
FUTEX = 202 if os.uname().machine == "x86_64" else 98

class Codec(Plain):
    # a thread of A's waits at a place of a file that both can read, as no filter can deny: glibc
    # waits so for threads; B wakes it, and is told that there was one
    def __init__(self, receiver, k):
        super().__init__(receiver, k)
        with open(torch.__file__, "rb") as file:
            self.at = libc.mmap(None, ctypes.c_size_t(4096), 1, 1, file.fileno(), 0)
    def futex(self, letter, does, value):
        at = ctypes.c_void_p(self.at + 4 * ord(letter))
        return libc.syscall(FUTEX, at, does, ctypes.c_uint32(value), None, None, 0)
    def wait(self, letter):
        value = ctypes.c_uint32.from_address(self.at + 4 * ord(letter)).value
        while True: self.futex(letter, 0, value)
    def encode(self, messages):
        for one in messages:
            threading.Thread(target=self.wait, args=(one[0],), daemon=True).start()
        time.sleep(0.2)
        return torch.zeros(len(messages), self.k, 3)
    def decode(self, latents):
        time.sleep(0.2)
        woken = [letter for letter in "ABCDEFGH" if self.futex(letter, 1, 1) == 1]
        return torch.full((len(latents), self.k, self.d_model), float(len(woken)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a futex is Linux's")
def test_a_side_made_anew_answers_while_no_other_lives(made, stub):
    """Be it another codec's: what no filter stops tells it nothing. They are made again after."""
    own, another = made(WAKES), made(WAKES)
    latents = own.codec.encode(["Ada"])
    another.codec.encode(["Bob", "Cy"])
    assert own.codec.decode(latents).unique().tolist() == [3.0], "the wire is one"
    channel = Channel(stub, own.codec, K)
    with channel.anew("B") as fresh:
        assert not fresh.codec.decode(latents).any()
    assert not own.codec.decode(latents).any(), "it was ended, and nobody has been asked since"
    own.codec.encode(["Ada"])
    assert own.codec.decode(latents).unique().tolist() == [1.0]
    with channel.anew("A") as fresh:
        assert torch.equal(fresh.codec.encode(["Ada"]), latents)
    own.close()
    with pytest.raises(SideError, match="side B: it is closed"):
        own.codec.decode(latents)


def test_a_side_that_is_lost_is_not_made_again(made, stub):
    own = made("class Codec(Plain):\n    def decode(self, latents): os._exit(0)")
    latents = own.codec.encode(MESSAGES)
    with pytest.raises(SideError, match="side B: decode: its process ended"):
        own.codec.decode(latents)
    with Channel(stub, own.codec, K).anew("A") as fresh:
        assert fresh is not None
    with pytest.raises(SideError, match="side B: decode: "):
        own.codec.decode(latents)
    assert torch.equal(own.codec.encode(MESSAGES), latents)


def test_a_side_made_again_is_the_one_it_was_or_refused(made, stub, tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "bits").write_text("7")
    own = made("class Codec(Plain):\n    bits = int(open(__file__[:-9] + 'bits').read())")
    with Channel(stub, own.codec, K).anew("A"):
        (tmp_path / "code" / "bits").write_text("8")
    with pytest.raises(RequestError, match="its bits are not the same") as told:
        own.codec.encode(MESSAGES)
    assert "\n" not in str(told.value)


@pytest.mark.slow
def test_no_depth_of_folders_is_left(made, monkeypatch, tmp_path):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    own = made(
        """
        class Codec(Plain):
            def encode(self, messages):
                for _ in range(1500):
                    os.mkdir("deep")
                    os.chdir("deep")
                return super().encode(messages)
        """
    )
    own.codec.encode(MESSAGES)
    own.close()
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.slow
def test_a_buffer_that_is_written_into_again_is_judged_as_what_it_sends(made, stub):
    own = made(
        """
        class Codec(Plain):
            def __init__(self, receiver, k):
                super().__init__(receiver, k)
                self.buffer = torch.zeros(64, k, receiver.d_model)
            def decode(self, latents):
                out = self.buffer[:len(latents)]
                out.copy_(super().decode(latents))
                return out
        """
    )
    plain = Channel(stub, made(factory="Plain").codec, K)
    channel = Channel(stub, own.codec, K)
    first = channel.prefixes(MESSAGES[:2])
    channel.prefixes(MESSAGES)
    assert torch.equal(torch.stack(first), torch.stack(plain.prefixes(MESSAGES[:2])))


ENCODE = [
    ("raise GeneratorExit", r"encode raised GeneratorExit \("),
    ("raise KeyboardInterrupt", r"encode raised KeyboardInterrupt \("),
    ("sys.exit(0)", r"encode raised SystemExit: 0 \("),
    ("open('weights.bin')", r"weights\.bin'.*; a side works in an empty folder: name files by"),
    ("open('/new.bin', 'w')", "new.bin'.*; a side reads nothing that is hidden, and writes in"),
    ("found = [1]", "encode gives of type list; allowed: a Tensor"),
    ("found = torch.zeros(4, 3, 3)", r"shape \(4, 3, 3\); allowed: \(1, 4, any\)"),
    ("found = torch.zeros(1, 4, 70_000)", "vectors of 70000 numbers; allowed: at most 65536"),
    ("found = torch.zeros(1, 4, 3).to_sparse()", "layout torch.sparse_coo on cpu; allowed: real"),
    ("found = torch.zeros(1, 4, 3, dtype=torch.complex64)", "gives torch.complex64 of layout"),
    ("found = torch.quantize_per_tensor(torch.zeros(1, 4, 3), 1, 0, torch.quint8)", "quint8 of"),
    ("found = torch.zeros(1, 4, 3, device='meta')", "on meta; allowed: real numbers"),
    ("os.chdir('/'); raise ValueError('x' * 10**7)", r"\(10000000 letters\)"),
    ("raise ValueError('\\x1b[2Jred\\nnext')", r"ValueError: \?\[2Jred next"),
]


@pytest.mark.parametrize(("does", "told"), ENCODE)
def test_what_goes_wrong_in_encode_is_one_line(obedient, does, told):
    with pytest.raises(CodecError, match=told) as caught:
        obedient.encode([f"do {does}"])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert obedient.encode(MESSAGES).any(), "the side lives"


DECODE = [
    ("found = torch.full((4, 4, 128), float('nan'))", "NaN or infinity"),
    ("found = given[:1]", r"shape \(1, 4, 3\); allowed: \(4, 4, 128\)"),
    ("found = torch.zeros(4, 4, 128, 2)", "allowed: "),
    ("found = 'latents'", "decode gives of type str; allowed: a Tensor"),
    ("raise SystemExit", r"decode raised SystemExit \("),
]


@pytest.mark.parametrize("number", range(len(DECODE)))
def test_what_goes_wrong_in_decode_is_one_line(obedient, stub, number):
    sent = [Packet(vectors=torch.full((4, 3), -1.0 - number))] * 4
    with pytest.raises((CodecError, SideError), match=DECODE[number][1]) as caught:
        ends_of(obedient, stub, K).receive(sent)
    assert "\n" not in str(caught.value)
    assert not obedient.decode(torch.zeros(4, 4, 3)).any(), "the side lives"


def slow(*case):
    return pytest.param(*case, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        ("os._exit(0)", SideError, r"side A: making it: .* exit status 0 \(walled\.py:\d+\)$"),
        slow("raise SystemExit(0)", RequestError, r"importing it raised SystemExit: 0 \(walled"),
        slow("1 / 0", RequestError, r"importing it raised ZeroDivisionError"),
        slow("def Codec(receiver): ...", RequestError, r"making it raised TypeError"),
        slow("def Codec(r, k): ...", RequestError, r"what it made is None, without encode and"),
        slow("Codec = Plain(None, 1)", RequestError, r"importing it raised Attribute"),
        slow("def Codec(r, k): time.sleep(99)", SideError, r"after 9 s.*\(walled\.py:\d+\)$"),
        slow("class Codec(Plain): bits = -1", RequestError, r"Codec: its bits are -1; allowed"),
        slow("class Codec(Plain): trained_on = 'x'", RequestError, "trained_on is of type str"),
        slow("class Codec(Plain): trained_on = [3]", RequestError, "trained_on holds of type int"),
        slow("def Codec(r, k): r.no_such", RequestError, "making it raised AttributeError"),
    ],
)
def test_what_cannot_be_made_is_one_line(made, body, kind, told):
    with pytest.raises(kind, match=told) as caught:
        made(body, seconds=9.0 if "sleep" in body else 60.0)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


SHOUT = """for i in range(3, 64):
            try: os.write(i, b"what?\\n")
            except OSError: pass"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("os._exit(0)", r"side A: encode: its process ended with exit status 0 \(walled\.py"),
        ("os.abort()", r"was ended by SIGABRT \(walled\.py"),
        ("os.closerange(0, 99)", "its process ended with exit status 1"),
        ("return torch.zeros(4, 4, 200_000).double()", r"wire: .* has [\d,]+ bytes; allowed: "),
        (SHOUT, "broke the wire: what it answers is no message"),
    ],
)
def test_a_side_that_is_lost_is_one_line(made, stub, body, told):
    own = made(f"class Codec(Plain):\n    def encode(self, messages):\n        {body}")
    with pytest.raises((CodecError, SideError), match=told) as caught:
        Channel(stub, own.codec, K).prefixes(MESSAGES)
    assert "\n" not in str(caught.value)


WHOLE = {
    # what encode remembers decode cannot have: nothing crosses
    "remembers": (
        """
        last = []
        def encode(self, messages):
            type(self).last = list(super().encode(messages))
            return torch.zeros(len(messages), self.k, 1)
        def decode(self, latents):
            own = [*self.last, *torch.zeros(len(latents), self.k, self.receiver.d_model)]
            return torch.stack(own[:len(latents)])
        """,
        {1, 6, 7},
    ),
    "depends on its batch": (
        """
        def encode(self, messages):
            return super().encode(messages) * (1.0 if len(messages) > 30 else 0.2)
        """,
        {7},
    ),
    # each side's receiver is its own: what is done to it is not done to B
    "changes the receiver": (
        """
        def __init__(self, receiver, k):
            super().__init__(receiver, k)
            receiver.model.model.rotary_emb.inv_freq.mul_(0.97)
        """,
        {0},
    ),
    "reuses its buffer": (
        """
        buffer = torch.zeros(512, 16, 128)
        def decode(self, latents):
            out = self.buffer[:len(latents)]
            out.copy_(latents)
            return out
        """,
        {0},
    ),
    "replaces what judges": (
        """
        def encode(self, messages):
            import lpca.judge.decide, os
            torch.nn.Module.__call__ = lambda *_: 1 / 0
            lpca.judge.decide.judge = lambda *_: 1 / 0
            return torch.zeros(len(messages), self.k, 1)
        def decode(self, latents):
            return torch.zeros(len(latents), self.k, self.receiver.d_model)
        """,
        {1, 6, 7},
    ),
    "ends with 0": ("def decode(self, latents):\n    import os; os._exit(0)", {8}),
    "hangs": ("def encode(self, messages):\n    import time; time.sleep(99)", {8}),
    "hoards": (
        "def decode(self, latents):\n    kept = [torch.ones(1 << 28) for _ in range(9)]",
        {4},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_whole_gates(project, name):
    """Judged as what crosses; the exit code is the judge's."""
    body, codes = WHOLE[name]
    own = textwrap.indent(textwrap.dedent(body), "    ")
    (project.path / "my_codec.py").write_text(f"{CUT}\n\nclass Own(Cut):\n{own}\n")
    seconds = "6" if name == "hangs" else "60"
    how = ("--codec", "my_codec:Own", "--codec-seconds", seconds, "--codec-memory", "2")
    result = project.run("-m", "open", "--k", "16", *how)
    assert result.ret in codes
    if result.ret not in (4, 8):
        assert project.evidence("open-k16")["codec"]["isolation"] == ISOLATED


@pytest.mark.slow
def test_in_process_is_said(project):
    result = project.run("-m", "open", "--k", "16", "--codec", "my_codec:Cut", "--in-process")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*codec my_codec:Cut (own, trusted, training*"])
    assert project.evidence("open-k16")["codec"]["isolation"] == "trusted"


def test_repositories_above_the_spec_are_hidden_too(tmp_path):
    """A worktree's `.git` is a file that names where git keeps it."""
    kept, inner = tmp_path / "whole" / ".git", tmp_path / "tree" / "gates" / "deep"
    place = kept / "worktrees" / "tree"
    inner.mkdir(parents=True)
    place.mkdir(parents=True)
    (place / "commondir").write_text("../..\n")
    (tmp_path / "tree" / ".git").write_text(f"gitdir: {place}\n")
    (inner / "gate_specs.yaml").write_text(HEAD + BASE)
    hidden = {path.resolve() for path in files_of(load_spec(inner / "gate_specs.yaml"))}
    assert {inner / "gate_specs.yaml", tmp_path / "tree" / ".git", kept, place} <= hidden
