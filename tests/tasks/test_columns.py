"""Rows of tables of any form: their columns mapped, each fault at its place, all told at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lpca.base.tables import Hub, source_at, value_at
from lpca.checker.groups import groups_of
from lpca.gate.plan import task_of
from lpca.gatespec.load import SpecError, load_spec
from lpca.tasks import TaskError, make_task
from lpca.tasks.fields import Columns, Row
from lpca.tasks.rows import look_at_rows, read_rows

SQUAD = Columns(
    {
        "message": "context",
        "question": "question",
        "answer": "answers.text",
        "group": "title",
        "id": "id",
    }
)
PASSAGE = {
    "id": "q1",
    "title": "Oslo",
    "context": "It lies in Oslo.",
    "question": "Where?",
    "answers": {"text": ["Oslo", "oslo", "in Oslo"], "answer_start": [11, 11, 8]},
}


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def told(row: Row) -> tuple[object, ...]:
    return row.id, row.group, row.message, row.before, row.after, row.answer, row.also


EXPECTED = ("q1", "Oslo", "It lies in Oslo.", "\n", "\nQuestion: Where?\nAnswer:", "Oslo")


def test_columns_are_mapped_and_several_answers_are_right(tmp_path: Path) -> None:
    [row] = read_rows(lines(tmp_path / "a.jsonl", PASSAGE), SQUAD)
    assert told(row) == (*EXPECTED, ("in Oslo",))


def test_the_context_is_written_as_the_spec_says(tmp_path: Path) -> None:
    columns = Columns(SQUAD.paths, "Q: {question}\n{message}\nA:")
    [row] = read_rows(lines(tmp_path / "a.jsonl", PASSAGE), columns)
    assert (row.before, row.after) == ("Q: Where?\n", "\nA:")


def test_a_parquet_file_is_read_as_json_lines_are(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [PASSAGE, {**PASSAGE, "id": "q2", "context": "m", "title": "t"}]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    found = read_rows(tmp_path / "a.parquet", SQUAD)
    assert [row.content for row in found] == [
        row.content for row in read_rows(lines(tmp_path / "a.jsonl", *rows), SQUAD)
    ]
    rows[1]["context"] = " "
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    with pytest.raises(TaskError, match=r"a\.parquet:2:context: message is ' '; allowed: a text"):
        read_rows(tmp_path / "a.parquet", SQUAD)
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(TaskError, match=r"a\.parquet: this is no Parquet file"):
        read_rows(tmp_path / "a.parquet", SQUAD)


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").touch()
    with pytest.raises(TaskError, match=r"a\.parquet: .* pip install 'lpca\[parquet\]'") as caught:
        read_rows(tmp_path / "a.parquet")
    assert "\n" not in str(caught.value)


def test_a_csv_may_have_lists_and_line_breaks_in_its_cells(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "id,text,asked,right,wrong 1,wrong 2,note\r\n"
        '1,"It lies\r\nin ""Oslo"".",Where?,"[""Oslo"", ""in Oslo""]",Rome,Bern,x\r\n'
        "2,m,Where?,Rome,Oslo,Bern,\r\n",
        encoding="utf-8-sig",
    )
    columns = Columns(
        {
            "message": "text",
            "question": "asked",
            "answer": "right",
            "distractors": "wrong 1+wrong 2",
            "id": "id",
        }
    )
    first, second = read_rows(path, columns)
    assert (first.message, first.answer, first.also) == (
        'It lies\r\nin "Oslo".',
        "Oslo",
        ("in Oslo",),
    )
    assert first.distractors == ("Rome", "Bern")
    assert (second.line, second.id, second.answer) == (4, "2", "Rome")


def test_each_fault_of_a_csv_is_at_its_cell(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('message,question,answer\n"a\nb", ,x\nonly one\n,q,x\n', encoding="utf-8")
    read = look_at_rows(path)
    assert [str(fault).partition(";")[0] for fault in read.faults] == [
        "3:4: question is ' '",
        "4:1: 1 cells",
        "5:1: message is ''",
    ]


GOOD = {"message": "m", "context": "a{message}b", "answer": "x"}


def test_the_first_bad_row_does_not_hide_the_rest(tmp_path: Path) -> None:
    bad = [{**GOOD, "message": f"m {i}", "answer": ""} for i in range(6)]
    path = lines(tmp_path / "a.jsonl", GOOD, *bad, {**GOOD, "message": "last"})
    with pytest.raises(TaskError) as caught:
        read_rows(path)
    lead, *rest = str(caught.value).split("\n")
    assert lead == f"{path}: 6 of 8 rows cannot be read; the first 5:"
    column = path.read_text().split("\n")[1].index('""') + 1
    assert rest == [
        f"{path}:{line}:{column}: answer is ''; allowed: a text that is not empty"
        for line in range(2, 7)
    ]
    read = look_at_rows(path)
    assert ([row.line for row in read.rows], len(read.faults), read.count) == ([1, 8], 6, 8)


def test_other_columns_are_passed_over_and_an_id_is_kept(tmp_path: Path) -> None:
    row = {**GOOD, "id": 7, "source": "wiki", "meta": {"a": [1]}, "start": 3, "idx": 1}
    [found] = read_rows(lines(tmp_path / "a.jsonl", row))
    assert found.id == "7"
    assert found.digest == read_rows(lines(tmp_path / "b.jsonl", GOOD))[0].digest


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({**GOOD, "option": ["x", "y"]}, "1:69: unknown field 'option'; did you mean 'options'?"),
        ({**GOOD, "question": "q"}, "question beside context; allowed: one of them"),
        ({**GOOD, "answer": []}, "answer is []; allowed: a text, or a list of some"),
        ({**GOOD, "answer": ["x", 5]}, "answer is 5; allowed: a text"),
        (
            {**GOOD, "answer": ["x", "y"], "options": ["x", "y"]},
            "option 'y' is right too; allowed: one of the right answers",
        ),
        ({**GOOD, "options": ["x", "y"], "distractors": ["z"]}, "distractors beside options"),
        ({**GOOD, "distractors": []}, "distractors is []; allowed: a list of 1 to"),
        ({**GOOD, "distractors": ["z", "xy"]}, "distractor 'xy' beside 'x'; allowed"),
        ({**GOOD, "id": ""}, "id is ''; allowed: a text"),
    ],
)
def test_what_a_field_may_not_hold(tmp_path: Path, row: Any, says: str) -> None:
    with pytest.raises(TaskError) as caught:
        read_rows(lines(tmp_path / "a.jsonl", row))
    assert says in str(caught.value)


def test_what_maps_no_field_is_refused() -> None:
    with pytest.raises(TaskError, match="unknown field 'anwser'; did you mean 'answer'"):
        Columns({"anwser": "a"})
    with pytest.raises(TaskError, match=r"allowed: a text with \{message\} and \{question\}, each"):
        Columns({}, "{message}")


def test_a_missing_column_is_named_as_its_field(tmp_path: Path) -> None:
    asked = {"context": "m", "question": "q"}
    whole = asked | {"id": "1", "title": "t", "answers": {"text": ["a"]}}
    path = lines(tmp_path / "a.jsonl", asked, whole)
    with pytest.raises(TaskError, match="1:1: the field answer is missing"):
        read_rows(path, SQUAD)


class TestPaths:
    def test_a_dotted_path_goes_into_lists_too(self) -> None:
        held = {"a": {"b": [{"c": 1}, {"c": 2}]}, "x.y": 3}
        assert value_at(held, "a.b.c") == [1, 2]
        assert value_at(held, "x.y") == 3

    @pytest.mark.parametrize("path", ["b", "a.c", "a.b.c.d", "t.u"])
    def test_what_is_not_there_is_not_there(self, path: str) -> None:
        with pytest.raises(LookupError):
            value_at({"a": {"b": [{"c": 1}]}, "t": "u"}, path)

    @pytest.mark.parametrize("written", ["hf:", "hf:a b", "hf:a:b:c", "hf:a@", "hf:a:"])
    def test_a_name_that_is_no_data_set_is_refused(self, written: str) -> None:
        with pytest.raises(Exception, match="names no data set; allowed: a JSONL, CSV"):
            source_at(written, Path())

    def test_a_data_set_is_named_by_revision_configuration_and_split(self) -> None:
        assert source_at("hf:org/x@v1:all/test", Path()) == Hub("org/x", "v1", "all", "test")
        assert source_at("hf:./x", Path("/own")) == Hub("/own/x", None, None, None)


SPEC = """
version: 1
task:
  name: episodes
  file: {file}
  seed: 1
  context: "{{message}}\\nQuestion: {{question}}\\nAnswer:"
  map: {{message: text, question: asked, answer: answers.text, {more}}}
evaluation: {{n: 20, score: likelihood}}
gates:
  base: {{conditions: [p0, p1], criteria: [{{id: a, claim: p1 - p0 > 0.2}}]}}
"""


def spec(tmp_path: Path, more: str = "id: id") -> Path:
    rows = [
        {"id": i, "text": f"m {i}", "asked": f"q {i}?", "answers": {"text": [f"{i} x", f"{i} y"]}}
        for i in range(200)
    ]
    lines(tmp_path / "rows.jsonl", *rows)
    path = tmp_path / "gate_specs.yaml"
    path.write_text(SPEC.format(file="rows.jsonl", more=more))
    return path


def test_a_spec_maps_columns(tmp_path: Path) -> None:
    loaded = load_spec(spec(tmp_path))
    assert loaded.task.settings["map.answer"] == "answers.text"
    episodes = task_of(loaded).evaluation_set("test", "all", 20, 1)
    for episode in episodes:
        number = episode.message.removeprefix("m ")
        assert episode.right == f"{number} x"
        assert episode.after == f"\nQuestion: q {number}?\nAnswer:"
        assert f"{number} y" not in episode.options


def test_a_spec_that_maps_no_field_is_refused_at_its_map(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"gate_specs.yaml:8:8: map has the unknown field 'ansers'"):
        task_of(load_spec(spec(tmp_path, "ansers: id")))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("id: idd", "map reads id from 'idd', which no row of .*rows.jsonl has; did you mean 'id'"),
        ("distractors: id + answers.wrong", "map reads distractors from 'answers.wrong'"),
    ],
)
def test_a_column_that_no_row_has_is_told_once_at_the_map(
    tmp_path: Path, more: str, told: str
) -> None:
    with pytest.raises(SpecError, match=rf"gate_specs.yaml:8:\d+: {told}") as refused:
        task_of(load_spec(spec(tmp_path, more)))
    assert "\n" not in str(refused.value)


def test_wrong_options_are_the_rows_own_and_of_its_kind(tmp_path: Path) -> None:
    rows = [
        {
            "message": f"m {i}",
            "context": "{message}\nOptions: {options}\nAnswer:",
            "answer": f"{i} {kind}",
            "distractors": [f"own {i}"],
            "kind": kind,
        }
        for i in range(300)
        for kind in ["year" if i % 3 else "name"]
    ]
    lines(tmp_path / "rows.jsonl", *rows)
    task = make_task("episodes", {"file": "rows.jsonl"}, tmp_path)
    for episode in task.evaluation_set("test", "all", 60, 1):
        number, kind = episode.right.split()
        assert f"own {number}" in episode.options
        assert {one.split()[1] for one in episode.options} == {kind, number}
        assert episode.after == f"\nOptions: {', '.join(episode.options)}\nAnswer:"


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.parquet"])
def test_the_checker_counts_the_groups_of_a_mapped_table(tmp_path: Path, name: str) -> None:
    path = spec(tmp_path, "group: title")
    rows = [{"text": f"m {i}", "title": f"t {i // 4}"} for i in range(40)]
    if name == "rows.csv":
        text = "".join(f"{row['text']},{row['title']}\n" for row in rows)
        (tmp_path / name).write_text("text,title\n" + text)
    elif name == "rows.parquet":
        arrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(
            arrow.Table.from_pylist(rows), tmp_path / name
        )
    else:
        lines(tmp_path / name, *rows)
    path.write_text(path.read_text().replace("rows.jsonl", name))
    assert groups_of(load_spec(path)) == 10


def test_a_data_set_needs_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(TaskError, match=r"hf:org/x@v1: .* pip install 'lpca\[hf\]'") as caught:
        read_rows(source_at("hf:org/x@v1", tmp_path))
    assert "\n" not in str(caught.value)


def test_a_data_set_is_read_from_a_folder(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    kept = datasets.Dataset.from_list([PASSAGE])
    kept.save_to_disk(str(tmp_path / "kept"))
    datasets.DatasetDict({"test": kept}).save_to_disk(str(tmp_path / "splits"))
    (tmp_path / "plain").mkdir()
    lines(tmp_path / "plain" / "train.jsonl", PASSAGE)
    for written in ("hf:./kept", "hf:./splits:test", "hf:./plain:train"):
        [row] = read_rows(source_at(written, tmp_path), SQUAD)
        assert told(row) == (*EXPECTED, ("in Oslo",))
    with pytest.raises(TaskError, match=r"which split is not said; allowed: .*:SPLIT .* test"):
        read_rows(source_at("hf:./splits", tmp_path), SQUAD)
    with pytest.raises(TaskError, match="no such folder is there, nor such a data set"):
        read_rows(source_at("hf:./nothing:train", tmp_path), SQUAD)
