"""A spec of any content is read, or refused in one short line with its place, and soon."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpca.base.arguments import parse_ks
from lpca.base.errors import RequestError
from lpca.commands.cli import main
from lpca.gate.plan import gate_conditions, task_of
from lpca.gatespec.document import MAX_BYTES
from lpca.gatespec.load import SpecError, load_spec

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "gate_specs.yaml").read_text(encoding="utf-8")
LONGEST_MESSAGE = 400
PLACE = re.compile(r":\d+:\d+: .")


def complaint(path: Path) -> str | None:
    """None where the file is a spec; else what is said about it, which must be clear."""
    try:
        assert task_of(load_spec(path)) is not None
    except SpecError as error:
        said = str(error).removeprefix(str(path))
        assert PLACE.match(said), said
        assert len(said.splitlines()) == 1
        assert len(said) < LONGEST_MESSAGE
        return said
    return None


def edited(old: str, new: str) -> str:
    assert old in SPEC
    return SPEC.replace(old, new, 1)


LONG = "x" * 50_000
GATE = "  g{0}:\n    conditions: [p0, p1]\n    criteria: [{{id: a, claim: p1 - p0 > 0.2}}]\n"
HEAD = SPEC[: SPEC.index("gates:")] + "gates:\n"
REFUSED = {
    "a bomb of anchors": ("a: &a [x]\nb: &b [*a, *a]\n", "anchors and aliases"),
    "a huge anchor": (f"a: &{LONG} 1\n", "anchors and aliases"),
    "a huge tag": (f"a: !<{LONG}> 1\n", "tag"),
    "equal keys": (edited("version: 1", "version: 1\nversion: 1"), "stands twice"),
    "equal long keys": (f"? {LONG}\n: 1\n? {LONG}\n: 2\n", "stands twice"),
    "a huge number": (edited("n: 400", "n: " + "9" * 50_000), "a whole number from 1 to"),
    "a huge margin": (edited("> 0.20", "> 1e999"), "beyond any rate"),
    "a margin that is no number": (edited("> 0.20", "> .nan"), "no meaning"),
    "a margin named NaN": (edited("> 0.20", "> nan"), "unknown condition 'nan'"),
    "a margin that overflows": (edited("> 0.20", "> 1/1e-300/1e-300"), "allowed: -1 to 1"),
    "a confidence lost in rounding": (
        edited("equivalence_confidence: 0.90", "equivalence_confidence: 1e-17"),
        "above 0 and below 1, by 1e-09",
    ),
    "tabs": (edited("  name: trip", "\tname: trip"), "never tabs"),
    "UTF-16": (SPEC.encode("utf-16"), "not UTF-8"),
    "Latin-1": (edited("trip", "trip # \xe9").encode("latin-1"), "not UTF-8"),
    "a task of any length": (edited("trip", LONG), "unknown task"),
    "a word of any length": (edited("likelihood ", LONG + " "), "unknown score"),
    "a where that costs": (
        edited("answers: seen", f"answers: seen\n    where: {'a' * 50_000}!"),
        "at most 200 characters",
    ),
    "too many gates": (HEAD + "".join(GATE.format(i) for i in range(300)), "at most 100"),
    "too large": (SPEC + "#" * MAX_BYTES, f"at most {MAX_BYTES} bytes"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_in_one_line_and_exit_code_4(tmp_path, capsys, what):
    content, says = REFUSED[what]
    path = tmp_path / "gate_specs.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    said = complaint(path)
    assert said is not None
    assert says in said
    assert main(["check", str(path)]) == 4
    assert capsys.readouterr().err == f"{path}{said}\n"


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no endless file here")
def test_a_file_without_an_end_is_not_read_to_it():
    said = complaint(Path("/dev/zero"))
    assert said is not None
    assert "too large" in said


def test_gates_that_require_each_other_many_times_over_are_still_counted(tmp_path):
    """40 gates, each requiring the three after it: some 10^10 ways from the first to the last."""
    gates = ""
    for index in range(40):
        after = ", ".join(f"g{one}" for one in range(index + 1, min(index + 4, 40)))
        gates += GATE.format(index).replace("    cond", f"    requires: [{after}]\n    cond")
    path = tmp_path / "gate_specs.yaml"
    path.write_text(HEAD + gates)
    assert gate_conditions(load_spec(path), "g0") == ["p0", "p1"]


@pytest.mark.parametrize("k", ["0", "10000", "-1", "4.0", "", "4,", "9" * 5000, "1e1", "4;8"])
def test_an_impossible_k_is_one_short_line(k):
    with pytest.raises(RequestError, match="allowed: whole numbers from 1 to") as caught:
        parse_ks(k)
    assert len(str(caught.value)) < LONGEST_MESSAGE


SPLICES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [b"\t", b"\xff\xfe", b"&a ", b"*a", b"!!int ", b"1e999", b".nan", b"\r", b": "]
    ),
    st.integers().map(lambda number: str(number).encode()),
)


@settings(max_examples=250, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_a_place(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any-bytes.yaml"
    path.write_bytes(data)
    assert complaint(path) is not None


@settings(max_examples=250, deadline=None)
@given(st.data(), st.integers(0, 3))
def test_a_mutated_spec_is_read_or_refused_with_a_place(tmp_path_factory, data, times):
    content = SPEC.encode()
    for _ in range(times):
        start = data.draw(st.integers(0, len(content)))
        stop = start + data.draw(st.integers(0, 30))
        content = content[:start] + data.draw(SPLICES) + content[stop:]
    path = tmp_path_factory.getbasetemp() / "mutated.yaml"
    path.write_bytes(content)
    said = complaint(path)
    assert said is None or times


WORDS = st.sampled_from(
    [
        *("version", "task", "evaluation", "gates", "name", "seed", "n", "criteria", "id"),
        *("claim", "conditions", "p0", "normal", "null", "k", "sequential", "where", "expect"),
        *("1", "0.5", "-"),
    ]
)
TREES = st.recursive(
    WORDS | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=15,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(WORDS, TREES, max_size=5))
def test_any_tree_of_yaml_is_refused_with_a_place(tmp_path_factory, tree):
    import yaml

    path = tmp_path_factory.getbasetemp() / "tree.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    assert complaint(path) is not None


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 1_000_000),
    st.integers(0, 99_999_999),
    st.floats(0.01, 0.99),
    st.sampled_from(["likelihood", "greedy"]),
)
def test_a_valid_spec_is_read_as_written(tmp_path_factory, n, seed, confidence, score):
    path = tmp_path_factory.getbasetemp() / "valid.yaml"
    path.write_text(
        f"version: 1\ntask: {{name: trip, seed: {seed}}}\n"
        f"evaluation: {{n: {n}, score: {score}, confidence: {confidence!r}}}\ngates:\n"
        + GATE.format(0)
    )
    spec = load_spec(path)
    assert spec.task.seed == seed
    held = spec.evaluation
    assert (held.n, held.score, held.confidence) == (n, score, confidence)


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_file_that_may_not_be_read_is_named(tmp_path):
    path = tmp_path / "gate_specs.yaml"
    path.write_text(SPEC)
    path.chmod(0)
    assert "cannot be read" in str(complaint(path))
