"""An outcomes file of any content is read, or refused in one short line, and soon."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from whole_evidence import complete

from lpca.commands.cli import main
from lpca.judge.outcomes import OutcomeError, OutcomeTable
from lpca.judge.reader import read_outcomes

ROOT = Path(__file__).parents[2]
LONGEST_MESSAGE = 900
LONG = "x" * 100_000
EPISODE = {"seed": 1, "answers": "seen", "outcomes": {"p0": {"greedy": True}}}
EVIDENCE = {"gate": "gate0", "score": "greedy", "checks": [], "episodes": [EPISODE]}
ATTEMPT = {
    "id": "a",
    "status": "VALID",
    "episodes_per_condition": 5,
    "faults": [],
    "results": [{"k": 4, "normal": [1, 5]}],
}


def complaint(path: Path) -> str | None:
    """None where the file holds outcomes; else what is said about it, which must be clear."""
    try:
        assert read_outcomes(str(path)) is not None
    except OutcomeError as error:
        said = str(error)
        assert said.startswith(f"{path}: ")
        said = said.removeprefix(f"{path}: ")
        assert len(said.splitlines()) == 1
        assert len(said) < LONGEST_MESSAGE
        assert said.isprintable()
        return said
    return None


REFUSED = {
    "a score that is an index": (
        "o.json",
        json.dumps(complete(EVIDENCE) | {"score": 5}),
        "damaged: score is 5; allowed: likelihood, greedy",
    ),
    "an outcome that is a list": (
        "o.json",
        json.dumps(
            complete(EVIDENCE)
            | {"episodes": [EPISODE | {"donor": 1, "outcomes": {f"p0\x1b{LONG}": [1]}}]}
        ),
        "is [1]; allowed: an object",
    ),
    "an infinite k": (
        "o.json",
        json.dumps({"attempts": [ATTEMPT]}).replace('"k": 4', '"k": 1e999'),
        "attempt 1 is incomplete",
    ),
    "an n that is a list": (
        "o.json",
        json.dumps({"attempts": [ATTEMPT | {"episodes_per_condition": [[5]]}]}),
        "no whole number",
    ),
    "no attempt": ("o.json", '{"attempts": []}', "at least one attempt"),
    "counts whose pairings have no end": (
        "o.json",
        '{"normal": [500000000, 1000000000], "p0": [500000000, 1000000000]}',
        "n at most 100000",
    ),
    "a seed that is a truth value": ("o.json", '[{"seed": false, "p0": 1}]', "no seed in row 1"),
    "NaN": ("o.json", '[{"seed": 1, "p0": NaN}]', "no outcome under p0"),
    "infinity": ("o.json", '[{"seed": 1, "p0": Infinity}]', "not binary"),
    "a huge number": ("o.json", '[{"seed": 1, "p0": 1e999}]', "not binary"),
    "a huge value": ("o.json", json.dumps([{"seed": 1, "p0": LONG}]), "not binary"),
    "a huge key": ("o.json", json.dumps([{"seed": 1, LONG: 1}]), "unknown column"),
    "equal huge keys": ("o.json", f'{{"{LONG}": 1, "{LONG}": 2}}', "stands twice"),
    "a line break in a name": ("o.json", '[{"a\\nb": 1, "p0": 1}]', "exactly one of"),
    "a line break in a value": ("o.csv", 'seed,p0\n1,"a\nb"\n', "not binary"),
    "a terminal's escapes": ("o.json", '[{"seed": 1, "p0": "\\u001b[2J"}]', "not binary"),
    "half a surrogate": ("o.json", '[{"seed": 1, "p0": "\\ud800"}]', "not binary"),
    "many columns": ("o.csv", ",".join(f"c{i}" for i in range(20_000)) + "\n1", "not 20000 values"),
    "old line ends": ("o.csv", "seed,p0\r1,1\r", "is no CSV"),
    "a huge cell": ("o.csv", "seed,p0\n1," + "1" * 200_000, "is no CSV"),
    "UTF-16": ("o.csv", "seed,p0\n1,1\n".encode("utf-16"), "not UTF-8"),
    "deep nesting": ("o.json", '[{"seed": 1, "p0":' + '{"a":' * 5000, "nested too deeply"),
    "no parquet": ("o.parquet", b"PAR1" + b"\0" * 100 + b"PAR1", "no parquet file"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_in_one_line_and_exit_code_4(tmp_path, capsys, what):
    name, content, says = REFUSED[what]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if path.suffix == ".parquet":
        pytest.importorskip("pyarrow")
    said = complaint(path)
    assert said is not None
    assert says in said
    assert main(["judge", str(path), "--spec", str(ROOT / "gate_specs.yaml")]) == 4
    assert capsys.readouterr().err == f"{path}: {said}\n"


def test_a_name_that_is_no_path_is_refused():
    assert "cannot be read" in str(complaint(Path("a\0.csv")))


def test_what_an_attempt_says_cannot_steer_the_terminal(tmp_path, capsys):
    told = ATTEMPT | {"id": "a\x1b[2Jb", "status": "INVALID", "faults": ["x\ud800\ny"]}
    path = tmp_path / "o.json"
    path.write_text(json.dumps({"attempts": [told]}))
    assert main(["judge", str(path), "--spec", str(ROOT / "gate_specs.yaml")]) == 7
    shown = capsys.readouterr().out
    assert "a\\x1b[2Jb" in shown
    assert "x\\ud800\\ny" in shown


class TestParquet:
    @pytest.fixture
    def write(self, tmp_path):
        arrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        def write(columns):
            path = tmp_path / "o.parquet"
            names, values = zip(*columns, strict=True)
            parquet.write_table(arrow.table(list(map(arrow.array, values)), list(names)), path)
            return path

        return write

    def test_a_column_that_stands_twice_is_refused(self, write):
        path = write([("seed", [1]), ("p0", [1]), ("p0", [0])])
        assert "a column stands twice" in str(complaint(path))

    def test_a_small_file_of_many_rows_is_not_unpacked(self, write):
        path = write([("seed", [None] * 1_000_001)])
        assert path.stat().st_size < 100_000
        assert "1000001 rows; allowed: at most 1000000" in str(complaint(path))

    def test_a_truncated_or_overwritten_file_is_refused_or_read(self, write):
        path = write([("seed", list(range(50))), ("p0", [1] * 50)])
        whole = path.read_bytes()
        for at in range(0, len(whole), 17):
            path.write_bytes(whole[:at])
            assert complaint(path) is not None
            path.write_bytes(whole[:at] + b"\xff\xfe" + whole[at + 2 :])
            complaint(path)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([".json", ".jsonl", ".csv", ".parquet"]), st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, suffix, data):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path_factory.getbasetemp() / f"any-bytes{suffix}"
    path.write_bytes(data)
    complaint(path)


KEYS = st.sampled_from(
    [
        *("seed", "episode", "answers", "p0", "normal", "attempts", "results", "k", "faults"),
        *("status", "id", "episodes_per_condition", "gate", "score", "checks", "episodes"),
        *("outcomes", "passed"),
    ]
)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([EVIDENCE, EPISODE, ATTEMPT, {"attempts": [ATTEMPT]}]), KEYS, TREES)
def test_any_value_in_any_place_is_read_or_refused_in_one_line(tmp_path_factory, base, key, tree):
    path = tmp_path_factory.getbasetemp() / "any-tree.json"
    path.write_text(json.dumps({**base, key: tree}))
    complaint(path)
    if base is ATTEMPT:
        path.write_text(json.dumps({"attempts": [{**base, key: tree}, base]}))
        complaint(path)


TABLES = st.dictionaries(
    st.integers(0, 10**17) | st.from_regex(r"[b-l][0-9b-l]{0,9}", fullmatch=True),
    st.tuples(st.booleans(), st.booleans(), st.sampled_from(["seen", "unseen"])),
    min_size=1,
    max_size=20,
)


def as_csv(rows):
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def as_parquet(rows):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    sink = arrow.BufferOutputStream()
    named = [row | {"seed": str(row["seed"])} for row in rows]
    parquet.write_table(arrow.Table.from_pylist(named), sink)
    return sink.getvalue().to_pybytes()


WRITERS = {
    "o.csv": as_csv,
    "o.json": lambda rows: json.dumps(rows).encode(),
    "o.jsonl": lambda rows: "\n".join(json.dumps(row) for row in rows).encode(),
    "o.parquet": as_parquet,
}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(WRITERS)), TABLES)
def test_a_valid_file_gives_the_outcomes_that_were_written(tmp_path_factory, name, table):
    rows = [
        {"seed": seed, "p0": p0, "normal": normal, "answers": answers}
        for seed, (p0, normal, answers) in table.items()
    ]
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(WRITERS[name](rows))
    numbers = all(isinstance(seed, int) for seed in table)
    assert read_outcomes(str(path)) == OutcomeTable(
        tuple(table) if numbers else tuple(map(str, table)),
        {
            "p0": tuple(p0 for p0, _, _ in table.values()),
            "normal": tuple(normal for _, normal, _ in table.values()),
        },
        tuple(answers for _, _, answers in table.values()),
    )


def test_a_line_separator_within_a_json_line_ends_no_row(tmp_path):
    path = tmp_path / "o.jsonl"
    path.write_text(json.dumps({"seed": "a\u2028b", "p0": 1}, ensure_ascii=False), encoding="utf-8")
    assert read_outcomes(str(path)).seeds == ("a\u2028b",)
