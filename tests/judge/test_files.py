import copy
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from whole_evidence import complete, every_check

from lpca.commands.cli import main
from lpca.gatespec.load import load_spec
from lpca.judge.marginals import Marginals, pairing_range
from lpca.judge.outcomes import OutcomeError, OutcomeTable
from lpca.judge.reader import read_outcomes
from lpca.stats.assessment import assess_counts
from lpca.stats.tables import PairedTable
from lpca.stats.verdicts import Verdict

ROOT = Path(__file__).parents[2]
ROWS = [
    {"seed": 7, "normal": 1, "p0": 0, "answers": "seen"},
    {"seed": 3, "normal": True, "p0": True, "answers": "unseen"},
]
TABLE = OutcomeTable(
    (7, 3), {"normal": (True, True), "p0": (False, True)}, answers=("seen", "unseen")
)


def read(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_outcomes(str(path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("o.csv", "seed,normal,p0,answers\n7,1,0,seen\n3,TRUE,1.0,unseen\n"),
        ("o.csv", "\ufeffepisode, normal ,p0,answers\r\n7, 1 ,false,seen\r\n\r\n3,true,1,unseen"),
        ("o.json", json.dumps(ROWS)),
        ("o.jsonl", "\n".join(json.dumps(row) for row in ROWS) + "\n\n"),
    ],
)
def test_every_kind_of_file_gives_the_same_table(tmp_path, name, content):
    content = content.replace("1.0", "1")
    assert read(tmp_path, name, content) == TABLE


def test_the_evidence_of_a_run_is_read_with_its_own_score_and_faults(tmp_path):
    def outcome(likelihood, greedy):
        return {"likelihood": likelihood, "greedy": greedy, "scores": [0.1]}

    evidence = {
        "gate": "gate1",
        "score": "greedy",
        "checks": every_check(
            prefix_used={"title": "A", "passed": False, "detail": "3 episodes"},
            mean_is_mean={"passed": None},
        ),
        "episodes": [
            {"seed": 4, "answers": "seen", "outcomes": {"p0": outcome(True, False)}},
            {"seed": 5, "answers": "seen", "outcomes": {"p0": outcome(False, True)}},
        ],
    }
    held = read(tmp_path, "o.json", json.dumps(complete(evidence)))
    assert held.gate == "gate1"
    assert held.table.outcomes["p0"] == (False, True)
    assert held.faults == ("A: 3 episodes",)
    broken = complete(evidence)
    del broken["episodes"][1]["outcomes"]
    with pytest.raises(OutcomeError, match=r"damaged: episodes\[1\].outcomes is missing"):
        read(tmp_path, "o.json", json.dumps(broken))


def scored(likelihood, *scores):
    outcome = {"likelihood": likelihood, "greedy": False, "scores": scores}
    return {"seed": len(scores), "answers": "seen", "answer": 0, "outcomes": {"p0": outcome}}


@pytest.mark.parametrize(
    ("episode", "holds"),
    [
        (scored(True, -1.0, -2.0), True),
        (scored(False, -2.0, -1.0), True),
        (scored(False, -1.0, -1.0), True),
        (scored(True, -1.0, -1.0), False),
        (scored(False, -1.0, -2.0), False),
        (scored(True, -2.0, -1.0, -3.0), False),
        ({**scored(True, -2.0, -1.0), "answer": None}, True),
    ],
)
def test_evidence_that_contradicts_its_own_scores_has_a_fault(tmp_path, episode, holds):
    right = {"successes": int(episode["outcomes"]["p0"]["likelihood"])}
    conditions = {"p0": {"n": 1, "likelihood": right}}
    evidence = {"gate": "gate1", "conditions": conditions, "episodes": [episode]}
    held = read(tmp_path, "o.json", json.dumps(complete({**evidence, "checks": every_check()})))
    says = f"outcomes under p0 are not what their scores say: episodes {episode['seed']}"
    assert held.faults == (() if holds else (says,))


def test_evidence_says_which_checks_it_lacks_and_what_spec_it_is_of(tmp_path, capsys):
    later = "numbers_reported"
    checks = [check for check in every_check() if check["id"] != later]
    spec = load_spec(ROOT / "gate_specs.yaml")
    for kept, sha256 in ((checks, "aa"), (every_check(), spec.sha256)):
        evidence = {"gate": "gate0", "checks": kept, "episodes": [scored(True, -1.0, -2.0)]}
        path = tmp_path / "o.json"
        path.write_text(json.dumps(complete({**evidence, "hashes": {"spec": sha256}})))
        assert main(["judge", str(path), "--spec", spec.file]) == 8
        told = " ".join(capsys.readouterr().out.split())
        assert (f"WARNING: validity checks not carried out: {later}" in told) is (kept is checks)
        assert ("judged by another spec than" in told) is (kept is checks)


def test_outcomes_by_condition_are_paired_by_seed_not_by_order(tmp_path):
    held = {"normal": {"1": 1, "2": 0}, "p0": {"2": 1, "1": 0}}
    table = read(tmp_path, "o.json", json.dumps(held))
    assert table == OutcomeTable((1, 2), {"normal": (True, False), "p0": (False, True)})


def test_whole_numbers_read_alike_however_they_are_written(tmp_path):
    table = read(tmp_path, "o.csv", "seed,p0\n1.0,1.0\n2.0,0.0\n")
    assert table == OutcomeTable((1, 2), {"p0": (True, False)})
    named = read(tmp_path, "o.csv", f"seed,p0\n{'9' * 5000},1\n2,0\n")
    assert named.seeds == ("9" * 5000, "2")


@pytest.mark.parametrize("counts", [[11, 50], "11/50", " 11 / 50 ", {"successes": 11, "n": 50}])
def test_counts_are_read_in_the_ways_they_are_published(tmp_path, counts):
    held = json.dumps({"normal": counts, "null": [12, 50]})
    assert read(tmp_path, "o.json", held) == Marginals({"normal": 11, "null": 12}, 50)


def test_parquet_is_read_like_the_rest(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(arrow.Table.from_pylist(ROWS[:1]), tmp_path / "o.parquet")
    assert read_outcomes(str(tmp_path / "o.parquet")).outcomes["normal"] == (True,)
    with pytest.raises(OutcomeError, match="no parquet file"):
        read(tmp_path, "bad.parquet", b"nonsense")


def test_parquet_with_a_column_whose_name_is_no_text_is_refused(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    sink = arrow.BufferOutputStream()
    parquet.write_table(arrow.table({"normal": [1], "seed": [7]}), sink)
    damaged = sink.getvalue().to_pybytes().replace(b"normal", b"n\xe7rmal")
    with pytest.raises(OutcomeError, match="no parquet file"):
        read(tmp_path, "o.parquet", damaged)


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(OutcomeError, match=r"pip install 'lpca\[parquet\]'"):
        read(tmp_path, "o.parquet", b"PAR1")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("o.csv", "", "the file is empty"),
        ("o.csv", "seed,p0\n", "there is no row"),
        ("o.csv", "seed,p0\n1,1\n2,0\n1,1\n", "line 2 (seed 1), line 4 (seed 1)"),
        ("o.csv", "seed,p0,normal\n1,1,0\n2,,1\n", "no outcome under p0 in line 3"),
        ("o.csv", "seed,p0\n7,1\n2,0\n007,1\n", "line 2 (seed 7), line 4 (seed 7)"),
        ("o.csv", "seed,p0\n7,1\n2,0\n7.0,1\n", "line 2 (seed 7), line 4 (seed 7)"),
        ("o.json", '[{"seed": [1], "p0": 1}, {"seed": true, "p0": 1}]', "no seed in row 1, row 2"),
        (
            "o.json",
            '{"p0": [1, 0, 1]}',
            "allowed: [successes, n] with 0 <= successes <= n, or out",
        ),
        ("o.csv", "seed,p0\n1,0.5\n2,maybe\n", "p0 is not binary in line 2 (0.5), line 3 (maybe)"),
        ("o.csv", "seed,p0\n1,1,0\n", "line 2: not 2 values"),
        ("o.csv", "seed,p0,p0\n1,1,0\n", "line 1: a column stands twice: 'p0'; once"),
        ("o.csv", "seed,p0,,\n1,1,,\n", "line 1: a column stands twice: without a name; once"),
        ("o.csv", "seed,nromal\n1,1\n", "unknown column 'nromal'; did you mean 'normal'?"),
        ("o.csv", "p0\n1\n", "exactly one of seed and episode"),
        ("o.csv", "seed,episode,p0\n1,1,1\n", "exactly one of seed and episode"),
        ("o.csv", "seed,answers\n1,seen\n", "no column of outcomes"),
        ("o.csv", "seed,p0\n,1\n", "no seed in line 2"),
        ("o.csv", "seed,p0,answers\n1,1,old\n", "answers in line 2 (old)"),
        ("o.csv", b"seed,p0\n1,\xff\n", "byte 10 is not UTF-8"),
        ("o.csv", 'seed,p0\n1,"x\n', "is no CSV"),
        ("o.json", "{", "line 1, column 2 is no JSON"),
        ("o.json", "[" * 100_000, "nested too deeply"),
        ("o.json", "9" * 5000, "line 1 is no JSON"),
        ("o.json", '{"attempts": [3]}', "attempt 1 is incomplete"),
        ("o.json", "3", "holds no outcomes"),
        ("o.json", "{}", "holds no outcomes"),
        ("o.json", "[3]", "row 1 is no object"),
        ("o.json", '[{"seed": 1, "p0": 1}, {"seed": 2}]', "no outcome under p0 in row 2"),
        ("o.json", '[{"seed": 1, "p0": 1, "p0": 0}]', "the key 'p0' stands twice"),
        ("o.json", '{"p0": {"1": 1, "2": 1}, "p1": {"1": 1}}', "p1 has no outcome for seeds 2"),
        ("o.json", '{"p0": [11, 50], "p1": [3, 40]}', "n differ (p0 50, p1 40)"),
        ("o.json", '{"p0": [51, 50]}', "allowed: [successes, n]"),
        ("o.json", '{"p0": 0.3}', "allowed: [successes, n]"),
        ("o.json", '{"attempts": [{"id": 1}]}', "attempt 1 is incomplete"),
        ("o.jsonl", '{"seed": 1, "p0": 1}\n{"p0": 1, "p0": 0}', "line 2: the key 'p0' stands"),
        ("o.jsonl", '{"seed": 1, "p0": 1}\n{bad}\n', "line 2, column 2 is no JSON"),
        ("o.txt", "", "unknown kind of file; allowed: .json, .jsonl, .csv, .parquet"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_its_rows(tmp_path, name, content, says):
    with pytest.raises(OutcomeError) as caught:
        read(tmp_path, name, content)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert says in str(caught.value)


WORDS = ["attempts", "episodes", "gate", "score", "checks", "outcomes", "results", "id", "k"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 60) | st.floats() | st.sampled_from(["", "x", "1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*WORDS, "seed", "answers", "p0", "normal"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["csv", "json", "jsonl"]),
    VALUES.map(json.dumps) | st.text(max_size=40) | st.text('seed,p0\n"01', max_size=40),
)
def test_any_file_gives_outcomes_or_an_outcome_error(tmp_path_factory, kind, content):
    path = tmp_path_factory.getbasetemp() / f"any.{kind}"
    path.write_text(content, encoding="utf-8")
    with suppress(OutcomeError):
        assert read_outcomes(str(path)) is not None


def test_a_missing_file_is_named():
    with pytest.raises(OutcomeError, match=r"^nowhere\.csv: there is no such file"):
        read_outcomes("nowhere.csv")


def test_a_range_holds_every_pairing_and_no_other():
    spec = load_spec(ROOT / "gate_specs.yaml")
    criterion = next(one for one in spec.gates["gate1"].criteria if one.id == "normal_above_null")
    found = pairing_range(criterion, Marginals({"normal": 30, "null": 18}, 50), spec.evaluation)
    tables = [PairedTable(a, 30 - a, 18 - a, 2 + a) for a in range(19)]
    seen = [assess_counts(criterion.claim, table) for table in tables]
    assert found.interval is not None
    assert found.interval.low == min(one.interval.low for one in seen)
    assert found.interval.high == max(one.interval.high for one in seen)
    assert (Verdict.PASS in found.verdicts) == any(one.holds for one in seen)
    assert set(found.verdicts) == {Verdict.PASS, Verdict.INCONCLUSIVE}


@pytest.mark.parametrize("claim", ["normal > 0.3", "0.1 < normal < 0.7", "normal - null > 0"])
def test_a_range_has_the_confidence_that_the_spec_demands(claim):
    from lpca.gatespec.claims import parse_claim
    from lpca.gatespec.document import Position
    from lpca.gatespec.model import Criterion, Evaluation

    criterion = Criterion("x", parse_claim(claim), claim, "", Position("s.yaml", 1, 1))
    counts = Marginals({"normal": 22, "null": 10}, 50)
    narrow, wide = (
        pairing_range(criterion, counts, Evaluation(50, "likelihood", *levels)).interval
        for levels in ((0.80, 0.80), (0.99, 0.99))
    )
    assert wide.low < narrow.low
    assert narrow.high < wide.high


@pytest.mark.parametrize(
    ("claim", "counts", "verdicts"),
    [
        ("normal - null > 0", {"normal": 11, "null": 12}, {"INCONCLUSIVE"}),
        ("normal - null > 0", {"normal": 50, "null": 0}, {"PASS"}),
        ("normal - null > 0", {"normal": 0, "null": 50}, {"FAIL"}),
        ("abs(null - p0) < 0.1", {"null": 10, "p0": 10}, {"PASS", "INCONCLUSIVE"}),
        ("normal / p1 > 0.5", {"normal": 40, "p1": 40}, {"PASS"}),
        ("normal > 0.3", {"normal": 40}, {"PASS"}),
        ("0.1 < p0 < 0.4", {"p0": 11}, {"PASS"}),
        (
            "normal - 0.5*p1 - 0.5*p0 > 0",
            {"normal": 40, "p1": 40, "p0": 10},
            {"PASS", "INCONCLUSIVE"},
        ),
        (
            "normal - 0.5*p1 - 0.5*p0 > 0",
            {"normal": 10, "p1": 40, "p0": 10},
            {"FAIL", "INCONCLUSIVE"},
        ),
        ("normal - p0 > 0", {"normal": 40}, {"NOT MEASURED"}),
    ],
)
def test_ranges_of_every_kind_of_claim(claim, counts, verdicts):
    from lpca.gatespec.claims import parse_claim
    from lpca.gatespec.model import Criterion, Evaluation, Position

    criterion = Criterion("x", parse_claim(claim), claim, "", Position("s.yaml", 1, 1))
    evaluation = Evaluation(50, "likelihood", 0.95, 0.90)
    found = pairing_range(criterion, Marginals(counts, 50), evaluation)
    assert {verdict.value for verdict in found.verdicts} == verdicts
    assert found.cannot_pass == (not verdicts & {"PASS", "NOT MEASURED"})


@pytest.fixture
def whole(tmp_path):
    """What `lpca judge` ends with on the evidence of a gate that passes, once it is changed."""
    spec = tmp_path / "specs.yaml"
    spec.write_text(
        "version: 1\ntask: {name: trip, seed: 1}\nevaluation: {n: 40}\ngates:\n  gate1:\n"
        "    conditions: [p0, normal]\n    criteria: [{id: a, claim: normal - p0 > 0}]\n"
    )
    outcomes = {
        name: {"likelihood": good, "scores": [-1.0, -2.0] if good else [-2.0, -1.0]}
        for name, good in {"p0": False, "normal": True}.items()
    }
    episodes = [
        {"seed": i, "donor": (i + 1) % 40, "answer": 0, "outcomes": copy.deepcopy(outcomes)}
        for i in range(40)
    ]
    successes = {"p0": 0, "normal": 40}
    conditions = {
        name: {"n": 40, "likelihood": {"successes": count}} for name, count in successes.items()
    }
    held = {"gate": "gate1", "checks": every_check(), "conditions": conditions}

    def judged(change):
        evidence = complete({**held, "episodes": episodes})
        evidence["hashes"]["spec"] = load_spec(str(spec)).sha256
        change(evidence)
        path = tmp_path / "evidence.json"
        path.write_text(json.dumps(evidence), encoding="utf-8")
        return main(["judge", str(path), "--spec", str(spec)])

    return judged


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (lambda held: None, 0, "gate1: PASS"),
        (lambda held: held.update(checks=[]), 7, "prefix_used: not carried out"),
        (lambda held: held["checks"].pop(0), 7, ": not carried out"),
        (
            lambda held: held["conditions"]["p0"]["likelihood"].update(successes=3),
            7,
            "p0 is said to succeed 3 times of 40 (likelihood), its episodes do 0 times of 40",
        ),
        (
            lambda held: held["episodes"][7]["outcomes"]["p0"].update(scores=[-1.0, -2.0]),
            7,
            "outcomes under p0 are not what their scores say: episodes 7",
        ),
        (lambda held: held["hashes"].update(spec="bb"), 0, "judged by another spec than"),
        (lambda held: held["episodes"].pop(), 7, "its episodes do 39 times of 39"),
    ],
)
def test_evidence_that_does_not_hold_together_is_invalid(whole, capsys, change, code, says):
    assert whole(change) == code
    assert says in " ".join(capsys.readouterr().out.split())
