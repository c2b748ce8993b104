"""A file of episodes is read row by row, or refused at its line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lpca.tasks import TaskError
from lpca.tasks.fields import MAX_ANSWER, Row
from lpca.tasks.rows import MAX_LINE, read_rows

ROW = {"message": "It is in Oslo.", "context": "Where?{message}\nAnswer:", "answer": "Oslo"}
OPTIONS = {**ROW, "options": ["Rome", "Oslo"]}


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "own.jsonl"


def read(file: Path, *rows: Any) -> list[Row]:
    return read_rows(write(file, *rows))


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ROW.items() if key != name}


REFUSED = {
    "a missing message": (without("message"), "the field message is missing; allowed: a text"),
    "a missing context": (without("context"), "the field context is missing; allowed: a text"),
    "a missing answer": (without("answer"), "the field answer is missing; allowed: a text"),
    "an empty answer": ({**ROW, "answer": " \n"}, r"answer is ' \n'; allowed: a text that is not"),
    "an answer that is a number": ({**ROW, "answer": 5}, "answer is 5; allowed: a text"),
    "an answer that is null": ({**ROW, "answer": None}, "answer is None; allowed: a text"),
    "a message that is a list": ({**ROW, "message": ["a"]}, "message is ['a']; allowed: a text"),
    "an unknown field": (
        {**ROW, "anwser": "x"},
        "unknown field 'anwser'; did you mean 'answer'? allowed: message, context, answer",
    ),
    "no place": ({**ROW, "context": "Where?"}, "context has no place for the message; allowed: {"),
    "two places": ({**ROW, "context": "{message}{message}"}, "context has 2 places for the"),
    "the mark in the message": (
        {**ROW, "message": "a {message}"},
        "message holds {message}; allowed: once, in context",
    ),
    "the mark in the answer": ({**ROW, "answer": "{message}"}, "answer holds {message}; allowed"),
    "an answer among no options": (
        {**ROW, "options": ["Rome", "Lima"]},
        "answer 'Oslo' is none of ['Rome', 'Lima']; allowed: a list of 2 to 16 texts",
    ),
    "one option": ({**ROW, "options": ["Oslo"]}, "options is ['Oslo']; allowed: a list of 2 to 16"),
    "options that are a text": ({**ROW, "options": "Oslo"}, "options is 'Oslo'; allowed: a list"),
    "too many options": (
        {**ROW, "options": ["Oslo", *(f"{i} x" for i in range(16))]},
        "allowed: a list of 2 to 16 texts",
    ),
    "an option that is a number": ({**ROW, "options": ["Oslo", 1]}, "an option is 1; allowed"),
    "an option twice": (
        {**ROW, "options": ["Oslo", "Rome", "rome "]},
        "option 'rome' beside 'Rome'; allowed: options of which none is another one or begins it",
    ),
    "an option that begins another": (
        {**ROW, "options": ["Oslo", "Oslofjord"]},
        "option 'Oslofjord' beside 'Oslo'; allowed",
    ),
    "a huge answer": (
        {**ROW, "answer": "x" * 1001},
        "answer has 1001 characters; allowed: at most",
    ),
    "a huge group": ({**ROW, "group": "x" * 1001}, "group has 1001 characters; allowed: at most"),
    "an empty group": ({**ROW, "group": ""}, "group is ''; allowed: a text"),
    "half a surrogate": ({**ROW, "message": "a\ud800"}, r"message holds the character '\ud800'; "),
    "a terminal's escape": ({**ROW, "answer": "a\x1b[2J"}, r"answer holds the character '\x1b'; "),
    "a list": (["a"], "['a'] is no object; allowed: {message, context, answer}"),
    "NaN": (float("nan"), "NaN is no value; allowed: texts"),
    "NaN in a field": ({**ROW, "answer": float("nan")}, "NaN is no value; allowed: texts"),
    "both forms at once": ({**ROW, "sender_message": "a"}, "unknown field 'message'; "),
    "the same row": (ROW, "message and context are those of line 1; allowed: each pair once"),
    "the same pair with another answer": (
        {**ROW, "message": "it is  in oslo.", "answer": "Rome"},
        "message and context are those of line 1",
    ),
    "the same message in another group": (
        {**ROW, "context": "Who?{message} Answer:", "group": "g"},
        "group is 'g', on line 1 the same message has 'it is in oslo.'; allowed: one group",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_line_that_is_not_as_it_must_be_is_named(file: Path, what: str) -> None:
    row, says = REFUSED[what]
    with pytest.raises(TaskError) as caught:
        read(file, ROW, row)
    assert re.match(rf"{re.escape(str(file))}:2:\d+: ", str(caught.value))
    assert says in str(caught.value)
    assert "allowed: " in str(caught.value)
    assert caught.value.setting == "file"


RAW = {
    "no JSON": (b"{message: 1}\n", "column 2 is no JSON"),
    "a field twice": (b'{"answer": "a", "answer": "b"}\n', "the field 'answer' stands twice"),
    "another encoding": (b'{"message": "\xe4"}\n', "byte 0xe4 is not UTF-8"),
    "deep nesting": (b"[" * 100_000 + b"\n", "nested too deeply"),
    "a huge number": (b"9" * 5000 + b"\n", "this is no JSON (Exceeds the limit"),
    "a huge line": (b'"' + b"x" * MAX_LINE + b'"\n', f"allowed: at most {MAX_LINE}"),
}


@pytest.mark.parametrize("what", RAW)
def test_bytes_that_are_no_row_are_named(file: Path, what: str) -> None:
    line, says = RAW[what]
    file.write_bytes(b"\n" + line)
    with pytest.raises(TaskError, match=rf"^{re.escape(str(file))}:2:\d+: ") as caught:
        read_rows(file)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "holds no episode"), (b" \n\n", "holds no episode"), (None, "no such file")],
)
def test_a_file_without_rows_is_named(file: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(TaskError, match=says):
        read_rows(file)


def test_a_file_that_is_too_large_or_has_too_many_rows_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{**ROW, "message": f"m {i}"} for i in range(3)]
    monkeypatch.setattr("lpca.tasks.rows.MAX_ROWS", 2)
    with pytest.raises(TaskError, match=r"own.jsonl:3: too many rows; allowed: at most 2"):
        read(file, *rows)
    monkeypatch.setattr("lpca.tasks.rows.MAX_BYTES", 100)
    with pytest.raises(TaskError, match="the file is too large; allowed: at most 100 bytes"):
        read(file, *rows)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="this is no file"):
        read_rows(tmp_path)
    with pytest.raises(TaskError, match="this is no file"):
        read_rows(Path("/dev/zero"))


class TestReading:
    def test_the_message_stands_at_the_mark(self, file: Path) -> None:
        [row] = read(file, {**OPTIONS, "context": "Before: \t{message}\nAfter: "})
        assert (row.before, row.after) == ("Before:", "\nAfter:")
        assert (row.message, row.answer, row.options) == (
            "It is in Oslo.",
            "Oslo",
            ("Rome", "Oslo"),
        )

    def test_texts_are_stripped(self, file: Path) -> None:
        [row] = read(file, {**ROW, "message": " a\n", "answer": " b ", "options": ["c ", "b"]})
        assert (row.message, row.answer, row.options) == ("a", "b", ("c", "b"))

    def test_a_line_break_stands_where_a_context_has_nothing(self, file: Path) -> None:
        [row] = read(file, {**ROW, "context": "{message}"})
        assert (row.before, row.after) == ("\n", "\n")

    def test_rows_of_the_received_form(self, file: Path) -> None:
        received = {"sender_message": "m", "receiver_context": "Q? ", "receiver_output": " yes"}
        marked = {**received, "receiver_context": "Q {message} A:", "options": ["yes", "no"]}
        first, second = read(file, received, marked)
        assert (first.message, first.before, first.after, first.answer) == ("m", "Q?", "\n", "yes")
        assert (second.before, second.after, second.options) == ("Q", " A:", ("yes", "no"))

    def test_a_group_is_the_message_unless_named(self, file: Path) -> None:
        rows = read(
            file, ROW, {**ROW, "context": "B{message}C"}, {**ROW, "message": "n", "group": "g"}
        )
        assert [row.group for row in rows] == ["it is in oslo.", "it is in oslo.", "g"]

    def test_a_byte_order_mark_and_old_line_ends_are_passed_over(self, file: Path) -> None:
        file.write_bytes(b"\xef\xbb\xbf" + json.dumps(ROW).encode() + b"\r\n\r\n")
        assert len(read_rows(file)) == 1

    def test_a_line_separator_within_a_text_ends_no_row(self, file: Path) -> None:
        text = json.dumps({**ROW, "message": "a\u2028b"}, ensure_ascii=False)
        file.write_text(text, encoding="utf-8")
        assert [row.message for row in read_rows(file)] == ["a\u2028b"]

    def test_texts_of_any_script_and_the_longest_answer(self, file: Path) -> None:
        answer = "ö" * MAX_ANSWER
        [row] = read(file, {**ROW, "message": "日本 😀", "answer": answer})
        assert (row.message, row.answer) == ("日本 😀", answer)
