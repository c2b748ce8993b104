"""A codec that lpca did not train: how it is found, what it may do wrong, what is known of it."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from own_codec import CUT
from torch import nn

from lpca.base.arguments import parse_codec
from lpca.base.errors import RequestError
from lpca.codec.base import CodecError, bits_of
from lpca.codec.channel import Channel
from lpca.codec.user_codec import codec_given, codec_named, obtain_own
from lpca.gate.measure import Subject, measured
from lpca.gatespec.load import load_spec
from lpca.tasks.kinds.trip import Trip

K = 3
EIGHT = """
version: 1
task: {name: trip, options: 4, seed: 0}
evaluation: {n: 8}
gates:
  eight:
    answers: seen
    conditions: [p0, normal]
    criteria:
      - {id: above_p0, claim: normal - p0 > 0}
"""


class Constant:
    """One prefix for every message."""

    def __init__(self, receiver, k):
        self.shape = (k, receiver.d_model)

    def encode(self, messages):
        return torch.ones(len(messages), *self.shape)

    def decode(self, latents):
        return latents


class Weighted(nn.Module):
    def __init__(self, receiver, k):
        super().__init__()
        self.prefix = nn.Parameter(torch.randn(k, receiver.d_model))
        self.dropout = nn.Dropout(0.5)

    def encode(self, messages):
        return self.dropout(self.prefix).expand(len(messages), -1, -1)

    def decode(self, latents):
        return latents


class Spoilt(Constant):
    def __init__(self, receiver, k, encoded=None, decoded=None):
        super().__init__(receiver, k)
        self.encoded, self.decoded = encoded, decoded

    def encode(self, messages):
        return self.encoded(super().encode(messages)) if self.encoded else super().encode(messages)

    def decode(self, latents):
        return self.decoded(latents) if self.decoded else latents


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module into a folder that Python does not look into; returns the folder."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return [tmp_path]

    return write


class TestNames:
    @pytest.mark.parametrize(
        ("text", "found"), [("a:b", ("a", "b")), ("a.b_1.c:D.make", ("a.b_1.c", "D.make"))]
    )
    def test_a_module_and_a_factory(self, text, found):
        assert parse_codec(text) == found

    @pytest.mark.parametrize(
        "text", ["", "a", "a:", ":b", "a:b:c", "a.:b", "a b:c", "1a:b", "a/b:c"]
    )
    def test_anything_else(self, text):
        with pytest.raises(RequestError, match=r"--codec .*package.module:factory"):
            parse_codec(text)


class TestFinding:
    def test_beside_the_spec(self, llama, module):
        folders = module("beside_spec", CUT)
        own = obtain_own(codec_named("beside_spec:Cut", folders), llama, K)
        assert own.codec.encode(["abc", "d"]).shape == (2, K, llama.d_model)
        assert own.trained_on is None

    @pytest.mark.parametrize(
        ("name", "text", "complaint"),
        [
            ("no_such:make", "", r"no module no_such; allowed: a module in .*installed$"),
            ("bad.inner:make", "", r"no module bad\.inner; allowed"),
            ("bad:make", "import no_such_either", r"raised ModuleNotFound.*\(bad\.py:1\)$"),
            ("bad:make", "\n\n1 / 0", r"raised ZeroDivisionError: division by zero \(bad\.py:3\)$"),
            ("bad:make", "raise SystemExit(2)", r"raised SystemExit: 2 \(bad\.py:1\)$"),
            ("bad:make", "def make(:", r"raised SyntaxError: .*bad\.py, line 1\)$"),
            ("bad:make", "import torch\ndef mkae(): ...", r"no 'make'; did you mean 'mkae'"),
            ("bad:make", "make = 3", r"of type int; allowed: a function factory\(receiver, k\)"),
            (
                "bad:make",
                "def make(receiver, k):\n    raise OSError('one\\n two')",
                r"making it raised OSError: one two \(bad\.py:2\)$",
            ),
            (
                "bad:make",
                "def make(receiver): ...",
                r"making it raised TypeError: make\(\) takes 1",
            ),
            ("bad:make", "def make(r, k): ...", r"what it made is None, without encode and decode"),
        ],
    )
    def test_what_cannot_be_had_is_one_line(self, llama, module, name, text, complaint):
        folders = module("bad", text)
        with pytest.raises(RequestError, match=complaint) as caught:
            obtain_own(codec_named(name, folders), llama, K)
        assert "\n" not in str(caught.value)

    def test_nothing_is_imported_before_it_is_wanted(self, module):
        codec_named("bad:make", module("bad", "raise OSError"))

    def test_a_ready_codec_is_no_factory(self, llama, module):
        folders = module("ready", CUT + "\nmake = Cut(None, 3)\n")
        with pytest.raises(RequestError, match="a codec already; allowed: a function"):
            obtain_own(codec_named("ready:make", folders), llama, K)

    def test_at_hand_in_python(self, llama):
        ready = Constant(llama, K)
        assert obtain_own(codec_given(ready), llama, K).codec.codec is ready
        made = obtain_own(codec_given(Constant), llama, K)
        assert made.codec.encode(["a"]).shape == (1, K, llama.d_model)
        assert made.name.endswith("test_foreign:Constant")
        by_function = obtain_own(codec_given(lambda receiver, k: ready), llama, K)
        assert by_function.codec.codec is ready
        with pytest.raises(RequestError, match="of type int; allowed: a function"):
            obtain_own(codec_given(7), llama, K)


def guarded(llama, **spoilt):
    return obtain_own(codec_given(Spoilt(llama, K, **spoilt)), llama, K).codec


def fails(_):
    raise KeyError("no\nsuch key")


@pytest.mark.parametrize(
    ("spoilt", "complaint"),
    [
        ({"encoded": fails}, r"encode raised KeyError: .*\(test_foreign\.py:\d+\)$"),
        ({"decoded": fails}, r"decode raised KeyError: .*\(test_foreign\.py:\d+\)$"),
        ({"encoded": lambda x: x.tolist()}, "encode gives of type list; allowed: a Tensor"),
        ({"decoded": lambda x: None}, "decode gives None; allowed: a Tensor"),
        ({"encoded": lambda x: x[0]}, r"shape \(3, 32\); allowed: \(2, 3, any\)"),
        ({"encoded": lambda x: x[:, :2]}, r"shape \(2, 2, 32\); allowed: \(2, 3, any\)"),
        ({"encoded": lambda x: x[:1]}, r"shape \(1, 3, 32\); allowed: \(2, 3, any\)"),
        ({"decoded": lambda x: x[..., 1:]}, r"shape \(2, 3, 31\); allowed: \(2, 3, 32\)"),
        ({"decoded": lambda x: x / 0}, "NaN or infinity"),
    ],
)
def test_what_breaks_the_protocol_is_one_line(llama, spoilt, complaint):
    channel = Channel(llama, guarded(llama, **spoilt), K)
    with pytest.raises(CodecError, match=complaint) as caught:
        channel.prefixes(["ab", "cd"])
    assert "\n" not in str(caught.value)


class TestContent:
    def test_weights_and_code_name_a_module(self, llama):
        def own(codec):
            return obtain_own(codec_given(codec), llama, K)

        first, same = own(Weighted), own(Weighted)
        assert first.weights_hash == same.weights_hash, "what a factory draws is seeded"
        assert first.content_hash == same.content_hash
        other = Weighted(llama, K)
        assert own(other).content_hash != first.content_hash
        assert own(Constant).weights_hash is None
        assert own(Constant).content_hash not in (None, first.content_hash)

    def test_code_alone(self, llama, module):
        hashes = []
        for name, text in (
            ("one", CUT),
            ("one", CUT.replace('"""A codec', '"""# another comment\nA codec')),
            ("one", CUT.replace("torch.zeros", "torch.ones")),
        ):
            folders = module(name, text)
            hashes.append(obtain_own(codec_named(f"{name}:Cut", folders), llama, K).content_hash)
        assert hashes[0] == hashes[1] != hashes[2]

    def test_a_module_with_dropout_is_used_without(self, llama):
        own = obtain_own(codec_given(Weighted(llama, K).train()), llama, K)
        assert torch.equal(own.codec.encode(["a"]), own.codec.encode(["a"]))

    def test_evidence_says_what_is_unknown(self, llama):
        data = obtain_own(codec_given(Constant), llama, K).to_dict()
        assert json.loads(json.dumps(data)) == data
        unknown = {name for name, value in data.items() if value is None}
        assert unknown == {"task", "weights", "recipe", "bits", "seed", "trained_on"}


class TestBits:
    def test_what_is_declared_stands_in_the_evidence(self, llama):
        codec = Constant(llama, K)
        codec.bits = 12
        own = obtain_own(codec_given(codec), llama, K)
        assert own.to_dict()["bits"] == 12.0
        assert bits_of(own.codec) == 12.0

    @pytest.mark.parametrize("bits", ["many", -1, float("nan"), float("inf"), True])
    def test_what_is_no_number_of_bits_is_refused(self, llama, bits):
        codec = Constant(llama, K)
        codec.bits = bits
        with pytest.raises(RequestError, match=r"codec .*:Constant: its bits are .*; allowed: a"):
            obtain_own(codec_given(codec), llama, K)


class TestDeclared:
    @pytest.mark.parametrize(
        ("declared", "complaint"),
        [
            ("one message", "trained_on is of type str; allowed: a sequence of messages"),
            (7, "trained_on is of type int"),
            (["a", 3], "trained_on holds of type int; allowed: messages, each a str"),
        ],
    )
    def test_what_is_no_list_of_messages(self, llama, declared, complaint):
        codec = Constant(llama, K)
        codec.trained_on = declared
        with pytest.raises(RequestError, match=complaint):
            obtain_own(codec_given(codec), llama, K)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--codec", "my_codec"), "--codec my_codec: allowed: package.module:factory"),
        (("--codec", "m:f", "--checkpoint", "."), "--codec and --checkpoint: allowed: one"),
        (("--codec", "m:f", "--retrain"), "--codec and --retrain: allowed: one"),
        (("--codec", "m:f", "--train-seed", "0"), "--codec and --train-seed: allowed: one"),
        (("--codec", "my_codec:Cat"), "it has no 'Cat'; did you mean 'Cut'?"),
        (("--codec", "my_codec:short"), "shape (60, 3, 128); allowed: (60, 4, any)"),
    ],
)
def test_a_wrong_request_is_a_usage_error(project, arguments, message):
    (project.path / "my_codec.py").write_text(
        f"{CUT}\n\ndef short(receiver, k):\n    return Cut(receiver, k - 1)\n"
    )
    result = project.run("-m", "open", "-k", "above_p0", *arguments)
    assert result.ret == 4
    text = result.stdout.str() + result.stderr.str()
    assert message in text
    assert "Traceback" not in text
    assert "exception" not in text


def test_a_codec_beside_the_spec_is_gated(project):
    result = project.run("-m", "open", "--k", "16", "--codec", "my_codec:Cut", "-rs")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*SKIPPED*what the codec was trained on is unknown*"])
    result.stdout.fnmatch_lines(["*codec my_codec:Cut (own, training unknown)*"])
    evidence = project.evidence("open-k16")
    assert evidence["codec"]["origin"] == "own"
    assert evidence["hashes"]["codec"]
    checks = {check["id"]: check for check in evidence["checks"]}
    assert checks["splits_disjoint"]["passed"] is None
    assert "may know the test messages" in checks["splits_disjoint"]["detail"]
    assert checks["encoding_repeatable"]["passed"] is True
    assert len(list((project.path / ".lpca" / "ledger").glob("*.jsonl"))) == 1


MEDDLERS = {
    "a weight": lambda model: model.get_input_embeddings().weight.data[5].add_(1),
    "a hook": lambda model: model.model.layers[0].register_forward_hook(lambda *_: None),
    "its mode": lambda model: model.train(),
    "a buffer that no file holds": lambda model: model.model.rotary_emb.inv_freq.mul_(0.97),
}


@pytest.mark.parametrize("meddle", MEDDLERS.values(), ids=MEDDLERS)
def test_a_codec_that_changes_the_receiver_is_found_out(fresh_llama, tmp_path, meddle):
    """And nobody else ever reads what the changed receiver did."""
    made = codec_given(Spoilt(fresh_llama, K, encoded=lambda x: (meddle(fresh_llama.model), x)[1]))
    own = obtain_own(made, fresh_llama, K)
    channel = Channel(fresh_llama, own.codec, K)
    subject = Subject(fresh_llama, fresh_llama.loaded_hash, Trip(), channel, codec=own)
    (tmp_path / "gate_specs.yaml").write_text(EIGHT)
    spec = load_spec(tmp_path / "gate_specs.yaml")
    own = (spec, "eight", subject, tmp_path, tmp_path / "ledger")
    with measured(*own, batch_size=8) as measurement:
        assert any(fault.startswith("receiver_frozen: ") for fault in measurement.faults)
    assert not (tmp_path / "outcomes").exists()


def test_a_codec_that_changes_the_receiver_makes_the_gate_invalid(project):
    line = "    def encode(self, messages):\n"
    meddling = "        self.receiver.model.lm_head.weight.data[5] += 1\n"
    (project.path / "my_codec.py").write_text(CUT.replace(line, line + meddling))
    result = project.run("-m", "open", "-k", "frozen", "--codec", "my_codec:Cut", "--in-process")
    assert result.ret == 7
    result.stdout.fnmatch_lines(["*FAILED: the receiver is as it was loaded: *"])
