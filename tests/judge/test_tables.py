"""Tables as people have them: columns to spare, long form, other names, one file a condition."""

import json
from pathlib import Path

import pytest

from lpca.commands.cli import main
from lpca.judge.outcomes import OutcomeError, OutcomeTable
from lpca.judge.reader import read_conditions, read_outcomes
from lpca.judge.rows import Reading

SPEC = """\
version: 1
task: {name: trip, seed: 1}
evaluation: {n: 4}
gates:
  g:
    conditions: [p0, normal]
    criteria:
      - {id: c, claim: normal - p0 > 0}
"""


def read(tmp_path, content, name="o.csv", **how):
    """The table, and what was said of the file."""
    path, told = tmp_path / name, []
    path.write_text(content, encoding="utf-8")
    return read_outcomes(str(path), Reading(tell=told.append, **how)), told


def complaint(tmp_path, content, name="o.csv", **how):
    with pytest.raises(OutcomeError) as caught:
        read(tmp_path, content, name, **how)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith(str(tmp_path / name))
    return str(caught.value)


def test_columns_that_are_not_needed_are_named_and_left_alone(tmp_path):
    table, told = read(tmp_path, "seed,model,p0,nromal\n1,x,0,1\n2,y,1,1\n")
    assert table == OutcomeTable((1, 2), {"p0": (False, True)})
    assert told == ["columns left alone: model, nromal (did you mean normal?)"]


def test_text_of_any_number_of_bytes_is_a_condition_in_either_form(tmp_path):
    expected = OutcomeTable((1, 2), {"p0": (False, True), "p2_7": (True, True)})
    assert read(tmp_path, "seed,p0,p2_7,p2_0\n1,0,1,1\n2,1,1,1\n") == (
        expected,
        ["columns left alone: p2_0"],
    )
    rows = "seed,condition,outcome\n1,p0,0\n1,p2_7,1\n2,p0,1\n2,p2_7,1\n"
    assert read(tmp_path, rows) == (expected, [])
    assert read(tmp_path, "seed,p0,cut\n1,0,1\n2,1,1\n", names={"p2_7": "cut"}) == (expected, [])


@pytest.mark.parametrize("index", ["", "Unnamed: 0"])
def test_the_index_that_pandas_writes_is_no_column(tmp_path, index):
    table, told = read(tmp_path, f"{index},seed,p0\n0,7,1\n1,8,0\n")
    assert (table.seeds, told) == ((7, 8), [])
    alone, said = read(tmp_path, f"{index},p0\nx,1\ny,0\n")
    assert alone.seeds == ("x", "y")
    assert said == ["episodes are named by the column of the index"]


def test_a_table_that_pandas_wrote_is_read_in_each_of_its_forms(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"episode": ["a", "A"], "p0": [True, False], "normal": [1.0, 0.0]})
    expected = OutcomeTable(("a", "A"), {"p0": (True, False), "normal": (True, False)})
    for orient in ("columns", "records"):
        assert read(tmp_path, frame.to_json(orient=orient), "o.json")[0] == expected
    assert read(tmp_path, frame.to_csv())[0] == expected
    frame.to_parquet(tmp_path / "o.parquet")
    assert read_outcomes(str(tmp_path / "o.parquet")) == expected


def test_names_keep_their_case_and_NA_may_be_one(tmp_path):  # noqa: N802
    table, _ = read(tmp_path, "episode,group,p0\na,X,1\nA,x,TRUE\nNA,None,False\nnull,nan,0.0\n")
    assert table.seeds == ("a", "A", "NA", "null")
    assert table.groups == ("X", "x", "None", "nan")
    assert table.outcomes["p0"] == (True, True, False, False)
    assert "no episode in row 2" in complaint(
        tmp_path, '[{"episode": "a", "p0": 1}, {"episode": null, "p0": 1}]', "o.json"
    )


def test_an_episode_may_stand_once_for_each_repeat(tmp_path):
    table, _ = read(tmp_path, "seed,group,repeat,p0\n1,a,0,1\n1,a,1,0\n2,b,0,1\n2,b,1,1\n")
    assert (table.n, table.units) == (4, 2)
    assert table.repeats == ("0", "1", "0", "1")
    again = "seed,repeat,p0\n1,0,1\n1,0,0\n"
    assert "line 2 (seed 1 repeat 0), line 3 (seed 1 repeat 0)" in complaint(tmp_path, again)
    assert "a column repeat" in complaint(tmp_path, "seed,p0\n1,0\n1,1\n")


def test_an_episode_is_in_one_group(tmp_path):
    torn = "seed,group,repeat,p0\n1,a,0,1\n1,b,1,0\n"
    says = "line 3: group of seed 1 is 'b', in line 2 'a'; an episode has one"
    assert says in complaint(tmp_path, torn)
    assert "no group in line 2" in complaint(tmp_path, "seed,group,p0\n1,,1\n")


def test_the_donor_of_a_shuffled_message_is_kept_with_its_group(tmp_path):
    table, _ = read(tmp_path, "seed,group,donor,p0\n1,a,2,1\n2,b,9,0\n")
    assert (table.donors, table.donor_groups) == ((2, "9"), ("b", "episode 9"))
    bare, _ = read(tmp_path, "seed,donor,p0\n1,2,1\n2,1,0\n")
    assert (bare.donors, bare.donor_groups) == ((2, 1), None)
    long = "seed,donor,condition,outcome\n1,,p0,0\n1,2,shuffle,0\n2,,p0,1\n2,1,shuffle,0\n"
    assert read(tmp_path, long)[0].donors == (2, 1)
    assert "no donor in line 4" in complaint(tmp_path, long.replace("2,1,shuffle", "2,,shuffle"))
    itself = complaint(tmp_path, "seed,donor,p0\n1,2,1\n2,2,0\n")
    assert "donor in line 3 is the episode itself" in itself


LONG = "episode,condition,outcome\nx,p0,0\nx,normal,1\ny,normal,true\ny,p0,False\n"


def test_long_form_is_known_by_its_columns(tmp_path):
    table, told = read(tmp_path, LONG)
    assert table == OutcomeTable(("x", "y"), {"p0": (False, False), "normal": (True, True)})
    assert told == []
    with_more, said = read(
        tmp_path,
        "model,episode,group,repeat,condition,outcome\n"
        "m,x,g,0,p0,0\nm,x,g,1,p0,1\nm,x,g,0,foo,1\nm,y,h,0,p0,0\nm,y,h,1,p0,1\n",
    )
    assert with_more == OutcomeTable(
        ("x", "x", "y", "y"),
        {"p0": (False, True, False, True)},
        groups=("g", "g", "h", "h"),
        repeats=("0", "1", "0", "1"),
    )
    assert said == ["columns left alone: model", "conditions left alone: foo"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (LONG + "z,p0,1\n", "normal has no outcome for episodes z; every condition needs the same"),
        (LONG + "x,p0,1\n", "line 2 and line 6 are both p0 of episode x"),
        (LONG + "z,p0,maybe\n", "outcome is not binary in line 6 (maybe)"),
        (LONG + "z,,1\n", "no condition in line 6"),
        ("episode,condition,outcome\nx,nromal,0\n", "condition is nromal; did you mean 'normal'?"),
        ("condition,outcome\np0,0\n", "exactly one of seed and episode is due"),
    ],
)
def test_what_is_wrong_in_long_form_is_named(tmp_path, content, says):
    assert says in complaint(tmp_path, content)


def test_columns_have_the_names_that_are_mapped(tmp_path):
    names = {"p0": "baseline", "normal": "ours", "episode": "question", "group": "doc"}
    content = "question,doc,baseline,ours,normal\nq1,d,0,1,0\nq2,d,0,1,0\n"
    table, told = read(tmp_path, content, names=names)
    assert table == OutcomeTable(
        ("q1", "q2"), {"p0": (False, False), "normal": (True, True)}, groups=("d", "d")
    )
    assert told == ["columns left alone: normal"]
    long = LONG.replace("normal", "ours").replace("outcome", "score").replace("p0", "baseline")
    read_long, _ = read(
        tmp_path, long, names={"p0": "baseline", "normal": "ours", "outcome": "score"}
    )
    assert read_long == read(tmp_path, LONG)[0]


def test_in_long_form_too_a_condition_that_is_called_otherwise_is_not_what_has_its_name(tmp_path):
    content = LONG + "x,ours,0\ny,ours,1\n"
    table, told = read(tmp_path, content, names={"normal": "ours"})
    assert table.outcomes["normal"] == (False, True)
    assert told == ["conditions left alone: normal"]


@pytest.mark.parametrize(
    ("content", "names", "says"),
    [
        (LONG, {"p0": "base"}, "no condition 'base' for p0; allowed: p0, normal"),
        ("seed,group,p0\n1,a,1\n", {"condition": "group"}, "no column 'outcome' for outcome;"),
        ("seed,a,p0\n1,0,1\n", {"outcome": "a"}, "long form, which has condition and outcome"),
    ],
)
def test_a_mapping_that_would_do_nothing_is_refused(tmp_path, content, names, says):
    assert says in complaint(tmp_path, content, names=names)
    says = complaint(tmp_path, "seed,a\n1,1\n", names={"p0": "b"})
    assert "there is no column 'b' for p0; allowed: seed, a" in says


def test_marks_are_read_where_the_spec_says_so_and_refused_with_that_advice_elsewhere(tmp_path):
    content = "seed,p0\n1,0.25\n2,1\n3,true\n4,1e-3\n"
    table, _ = read(tmp_path, content, graded=True)
    assert (table.graded, table.outcomes["p0"]) == (True, (0.25, 1.0, 1.0, 0.001))
    advice = "the spec's evaluation needs score: graded"
    assert advice in complaint(tmp_path, content)
    for wrong in ("1.5", "-0.1", "maybe"):
        spoilt = f"{content}5,{wrong}\n"
        assert advice not in complaint(tmp_path, spoilt)
        says = f"p0 is no mark in line 6 ({wrong}); allowed: numbers from 0 to 1"
        assert says in complaint(tmp_path, spoilt, graded=True)
    assert "no outcome under p0 in line 6" in complaint(tmp_path, f"{content}5,nan\n", graded=True)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("o.json", '{"seed": 1, "p0": 1}\n{"seed": 2, "p0": 0}\n'),
        ("o.txt", '\n {"seed": 1, "p0": 1}\n{"seed": 2, "p0": 0}\n'),
        ("o.csv", '[{"seed": 1, "p0": 1}, {"seed": 2, "p0": 0}]'),
        ("o.jsonl", '[{"seed": 1, "p0": 1},\n {"seed": 2, "p0": 0}]'),
        ("o", "seed,p0\n1,1\n2,0\n"),
        ("o.json", "seed,p0\n1,1\n2,0\n"),
    ],
)
def test_a_file_is_what_its_content_says_whatever_its_name(tmp_path, name, content):
    assert read(tmp_path, content, name)[0] == OutcomeTable((1, 2), {"p0": (True, False)})


class TestOneFileForEachCondition:
    @pytest.fixture
    def read(self, tmp_path):
        def read(how=None, **contents):
            told = []
            for name, content in contents.items():
                (tmp_path / f"{name}.csv").write_text(content, encoding="utf-8")
            files = {name: str(tmp_path / f"{name}.csv") for name in contents}
            return read_conditions(files, Reading(tell=told.append, **(how or {}))), told

        return read

    def test_they_are_aligned_by_their_episodes(self, read):
        table, told = read(
            p0="episode,outcome,group\nb,0,g\na,1,h\n", normal="episode,note,normal\na,-,1\nb,-,1\n"
        )
        assert table == OutcomeTable(
            ("b", "a"), {"p0": (False, True), "normal": (True, True)}, groups=("g", "h")
        )
        (said,) = told
        assert said.endswith("normal.csv: columns left alone: note")

    def test_the_column_may_be_named(self, read):
        table, _ = read({"metric": "f1", "graded": True}, p0="seed,f1,em\n1,.5,0\n")
        assert table.outcomes["p0"] == (0.5,)
        mapped, _ = read({"names": {"p0": "em", "episode": "id"}}, p0="id,f1,em\n1,.5,0\n")
        assert mapped.outcomes["p0"] == (False,)

    @pytest.mark.parametrize(
        ("p0", "normal", "says"),
        [
            (
                "seed,outcome\n1,1\n2,1\n4,1\n",
                "seed,outcome\n1,1\n3,1\n",
                "/p0.csv: p0 has no outcome for episodes 3; ",
            ),
            (
                "seed,outcome\n1,1\n2,1\n4,1\n",
                "seed,outcome\n1,1\n3,1\n",
                "/normal.csv: normal has no outcome for episodes 2, 4; every condition needs",
            ),
            ("seed,group,p0\n1,a,1\n", "seed,group,normal\n1,b,1\n", "group of episode 1 is 'b'"),
            ("seed,f1\n1,1\n", "seed,outcome\n1,1\n", "p0.csv: its columns are seed, f1; outcomes"),
            ("seed,p0\n1,1\n1,0\n", "seed,normal\n1,1\n", "p0.csv: duplicated episodes: line 2"),
            ('{"p0": [3, 4]}', "seed,normal\n1,1\n", "p0.csv: for p0 a table or a log is due"),
            (LONG, "seed,normal\n1,1\n", "p0.csv: it has a column condition"),
        ],
    )
    def test_what_only_one_of_them_has_is_named(self, read, p0, normal, says):
        with pytest.raises(OutcomeError) as caught:
            read(p0=p0, normal=normal)
        assert says in str(caught.value)


class TestCommand:
    @pytest.fixture
    def judge(self, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("gate_specs.yaml").write_text(SPEC, encoding="utf-8")
        rows = [{"q": index, "base": 0, "ours": 1} for index in range(4)]
        Path("o.json").write_text(json.dumps(rows), encoding="utf-8")
        for name in ("base", "ours"):
            lines = [f"{row['q']},{row[name]}" for row in rows]
            Path(f"{name}.csv").write_text("\n".join(["seed,outcome", *lines]), encoding="utf-8")

        def judge(*argv):
            code = main(["judge", *argv])
            caught = capsys.readouterr()
            return code, " ".join(caught.out.split()), caught.err

        return judge

    def test_a_mapping_and_files_of_conditions_give_one_verdict(self, judge):
        code, text, _ = judge("o.json", "--map", "p0=base,normal=ours,episode=q")
        assert code == 6
        assert "no column group: each episode counts as one piece of evidence" in text
        again = judge("--as", "p0=base.csv", "--as", "normal=ours.csv")
        assert again == (code, text, "")

    @pytest.mark.parametrize(
        ("argv", "says"),
        [
            ([], "allowed: either OUTCOMES, or --as CONDITION=FILE for each"),
            (["o.json", "--as", "p0=base.csv"], "allowed: either OUTCOMES, or --as"),
            (["--as", "base.csv"], "--as base.csv: allowed: NAME=VALUE"),
            (["--as", "nromal=o.json"], "--as nromal=o.json: did you mean 'normal'?"),
            (["--as", "p0=a", "--as", "p0=b"], "--as p0=b: stands twice; once is allowed"),
            (["o.json", "--map", "p0=a,grup=b"], "--map grup=b: did you mean 'group'?"),
            (["--as", "p0=nowhere.csv"], "nowhere.csv: there is no such file"),
        ],
    )
    def test_what_it_cannot_read_is_one_line(self, judge, argv, says):
        code, text, error = judge(*argv)
        assert (code, text) == (4, "")
        assert says in error
        assert error.count("\n") == 1

    def test_fewer_episodes_than_declared_are_not_measured(self, judge):
        Path("few.csv").write_text("seed,p0,normal\n1,0,1\n2,0,1\n", encoding="utf-8")
        code, text, _ = judge("few.csv")
        assert code == 8
        assert "2 episodes; the spec declares 4, and fewer decide nothing" in text

    def test_repeats_make_no_more_episodes(self, judge):
        rows = [f"{seed},{repeat},0,1" for seed in (1, 2) for repeat in range(3)]
        Path("o.csv").write_text("\n".join(["seed,repeat,p0,normal", *rows]), encoding="utf-8")
        code, text, _ = judge("o.csv")
        assert code == 8
        assert "2 episodes; the spec declares 4" in text
