"""A file of episodes of any content is read, or refused in one short line, and soon."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpca.commands.cli import main
from lpca.gate.plan import task_of
from lpca.gatespec.load import SpecError, load_spec
from lpca.tasks import SPLITS, TaskError, split_by_hash
from lpca.tasks.fields import FIELDS, OPTIONAL, RECEIVED_FIELDS, Row
from lpca.tasks.kinds.episodes import Episodes
from lpca.tasks.rows import FIRST, read_rows

LONGEST_MESSAGE = 700
ROW = {"message": "It is in Oslo.", "context": "Where?{message}\nAnswer:", "answer": "Oslo"}
SPEC = """
version: 1
task: {{name: episodes, file: {file}, seed: 1}}
evaluation: {{n: 20, score: likelihood}}
gates:
  base: {{conditions: [p0, p1], criteria: [{{id: a, claim: p1 - p0 > 0.2}}]}}
"""


def clear(said: str) -> None:
    assert len(said.splitlines()) == 1
    assert len(said) < LONGEST_MESSAGE
    assert said.isprintable()


def complaint(path: Path) -> str | None:
    """None where the file holds episodes; else what is said about it, which must be clear."""
    try:
        assert read_rows(path)
    except TaskError as error:
        said = str(error)
        lines = said.split("\n")
        assert len(lines) <= 1 + FIRST
        for line in lines:
            assert re.match(rf"{re.escape(str(path))}:(\d+:\d+:)? ", line), line
            clear(line)
        return said
    return None


LONG = "x" * 200_000
HOSTILE = {
    "a huge field": {**ROW, LONG: 1},
    "a huge value": {**ROW, "answer": [LONG]},
    "a huge option": {**ROW, "options": [LONG, "Oslo"]},
    "a line break in a field": {**ROW, "a\nb": 1},
    "an escape in an option": {**ROW, "options": ["\x1b[2J", "Oslo"]},
    "an escape in a group": {**ROW, "group": "\x1b[2J"},
    "half a surrogate in a field": {**ROW, "\ud800": 1},
    "an object for a text": {**ROW, "message": {"a": {"b": [1, 2]}}},
    "a huge message that stands in another group": [
        {**ROW, "message": LONG},
        {**ROW, "message": LONG, "context": "b{message}c", "group": "g"},
    ],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_it_is_refused_in_one_line_and_exit_code_4(tmp_path, capsys, what):
    rows = HOSTILE[what]
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, rows if isinstance(rows, list) else [rows])))
    assert complaint(path) is not None
    spec = tmp_path / "gate_specs.yaml"
    spec.write_text(SPEC.format(file="own.jsonl"))
    assert main(["check", str(spec)]) == 4
    said = capsys.readouterr().err
    assert said.startswith(f"{spec}:3:30: {path}:")
    clear(said.removesuffix("\n"))


FILES = ('"a\\0b"', '"\\e[2J"', '"a\\nb"', LONG[:5000], "/dev/zero", "..", "no/such", '"\\ud83d"')


@pytest.mark.parametrize("file", FILES)
def test_a_name_that_is_no_file_is_refused_in_one_line(tmp_path, file):
    spec = tmp_path / "gate_specs.yaml"
    spec.write_text(SPEC.format(file=file))
    with pytest.raises(SpecError) as caught:
        task_of(load_spec(spec))
    clear(str(caught.value))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "own.jsonl")
    assert "this is no file" in str(complaint(tmp_path / "own.jsonl"))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_one_line(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any-bytes-own.jsonl"
    path.write_bytes(data)
    complaint(path)


NAMES = st.sampled_from([*FIELDS, *RECEIVED_FIELDS, *OPTIONAL, "messages", ""])
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(NAMES, TREES, st.booleans())
def test_any_value_in_any_field_is_read_or_refused_in_one_line(
    tmp_path_factory, name, tree, with_options
):
    path = tmp_path_factory.getbasetemp() / "any-tree-own.jsonl"
    row = {**ROW, **({"options": ["Rome", "Oslo"]} if with_options else {}), name: tree}
    path.write_text(json.dumps(ROW | {"message": "first"}) + "\n" + json.dumps(row))
    complaint(path)


WORDS = st.text("abcdefgh äß日\u2028", min_size=1, max_size=8).filter(str.strip)
ROWS = st.lists(st.tuples(WORDS, WORDS, WORDS, st.lists(WORDS, max_size=3)), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(ROWS)
def test_a_valid_file_gives_what_was_written_and_sound_episodes(tmp_path_factory, drawn):
    path = tmp_path_factory.getbasetemp() / "valid-own.jsonl"
    rows = [
        {
            "message": f"{i} {message}",
            "context": f"{before}{{message}}{after}:",
            "answer": f"{i} {answer}",
            "options": [f"{i} {answer}", *(f"{i}{j} {one}" for j, one in enumerate(others, 20))],
        }
        for i, (message, before, after, others) in enumerate(drawn, 10)
        for answer in (after,)
    ]
    rows = [row if len(row["options"]) > 1 else {**row, "options": None} for row in rows]
    rows = [{k: v for k, v in row.items() if v is not None} for row in rows]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text(text, encoding="utf-8")
    assert [(r.message, r.answer, list(r.options)) for r in read_rows(path)] == [
        (row["message"].strip(), row["answer"].strip(), [o.strip() for o in row.get("options", [])])
        for row in rows
    ]
    drawn_or_refused(Episodes(path, tuple(read_rows(path)), 2))


def drawn_or_refused(task: Episodes) -> None:
    for split in SPLITS:
        count = sum(split_by_hash(row.group) == split for row in task.rows)
        said = ""
        try:
            episodes = task.evaluation_set(split, "all", max(2, count), 0)
            task.training_batch(0, 4, 0)
        except TaskError as error:
            said = str(error)
        assert len(said.splitlines()) <= 1
        if not said:
            assert sorted(episodes.donors) == list(range(len(episodes)))


def test_a_row_is_told_by_its_content():
    row = Row(1, "m", "a", "b", "c", (), "g")
    assert row.digest == Row(2, "m", "a", "b", "c", (), "g").digest
    assert len({Row(1, *content).digest for content in _others(row)}) == 6


def _others(row: Row):
    content = list(row.content)
    for place, value in enumerate(content):
        other = ("x",) if isinstance(value, tuple) else value + "x"
        yield [*content[:place], other, *content[place + 1 :]]
