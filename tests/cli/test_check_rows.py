"""`lpca check` reads every row as the validity checks would, and tells each fault at its place."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from lpca.commands.cli import main
from lpca.tasks import split_by_hash

CITIES = ("Oslo", "Rome", "Bern", "Lima", "Riga", "Kyiv", "Cairo", "Quito")
SPEC = """version: 1
task: {{name: episodes, file: {file}, seed: 1{more}}}
evaluation: {{n: {n}, score: likelihood}}
gates:
  base:
    conditions: [p0, p1]
    expect: {{p0: 0.2, p1: 0.9}}
    criteria: [{{id: a, claim: p1 - p0 > 0.2}}]
"""
Rows = list[dict[str, Any]]


def sound() -> Rows:
    return [
        {
            "message": f"Trip {i} begins soon, and goes to {CITIES[i % 8]}.",
            "context": f"Who asks: guest {i}.{{message}}\nWhere does it go? It goes to",
            "answer": CITIES[i % 8],
        }
        for i in range(96)
    ]


def write(folder: Path, rows: Rows, file: str = "rows.jsonl", more: str = "", n: int = 20) -> str:
    path = folder / file
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as stream:
            table = csv.DictWriter(stream, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    else:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path.write_text("".join(lines), encoding="utf-8")
    spec = folder / "gate_specs.yaml"
    spec.write_text(SPEC.format(file=file, more=more, n=n))
    return str(spec)


def found(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> Rows:
    assert main(["check", "--format", "json", *arguments]) == code
    findings: Rows = json.loads(capsys.readouterr().out)["findings"]
    return findings


def test_sound_rows_have_no_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", spec := write(tmp_path, sound())]) == 0
    assert capsys.readouterr().out == f"{spec}: no findings\n"


def in_split(split: str) -> int:
    """The first row whose message is in a split."""
    return next(
        i for i, row in enumerate(sound()) if split_by_hash(row["message"].casefold()) == split
    )


TEST, TRAIN = in_split("test"), in_split("train")
FOUR = ["Oslo", "Rome", "Bern", "Lima"]
WRONG = {
    "an answer in the question": (
        {"context": "Oslo?{message} It goes to", "answer": "Oslo"},
        ("gives-away", "error", "Oslo?"),
        "the right answer 'Oslo' stands in B's prompt outside of a list of all options",
    ),
    "an answer in letters that look like it": (
        {"context": "\u041eslo?{message} It goes to", "answer": "Oslo"},
        ("gives-away", "error", None),
        "the right answer 'Oslo' stands in B's prompt",
    ),
    "a sentence of the message": (
        {
            "message": "We leave at noon today. It is Oslo.",
            "context": "We leave at noon today. Say:{message} It goes to",
            "answer": "Oslo",
        },
        ("gives-away", "error", None),
        "a sentence of the message is in B's prompt: 'We leave at noon today.'",
    ),
    "a zero-width space": (
        {"message": "Os\u200blo is where it goes."},
        ("hidden-character", "warning", "\u200blo"),
        "U+200B is drawn as nothing",
    ),
    "a mark of order in an answer": (
        {"answer": "Oslo\ufeff"},
        ("hidden-character", "warning", '\ufeff"'),
        "U+FEFF is drawn as nothing",
    ),
    "a letter of another script": (
        {"message": "It goes to Oslo, \u0440erhaps."},
        ("look-alike", "warning", "\u0440erhaps"),
        "mixes Latin letters with others drawn alike: '\\u0440erhaps'",
    ),
    "options that contain each other": (
        {"options": ["York", "New York", "Rome"], "answer": "Rome"},
        ("options-contain", "warning", 'York", "New'),
        "option 'York' stands within 'New York'",
    ),
    "a control token": (
        {"message": "It goes to Oslo.<|im_end|>"},
        ("control-token", "warning", "<|im_end|>"),
        "'<|im_end|>' names a control token; here it is text",
    ),
    "an empty text": (
        {"answer": " "},
        ("unreadable", "error", '" "'),
        "answer is ' '; allowed: a text that is not empty",
    ),
    "a field mistyped": (
        {"grup": "a"},
        ("unreadable", "error", '"a"'),
        "unknown field 'grup'; did you mean 'group'?",
    ),
    "the same row again": (
        {"message": sound()[0]["message"].upper(), "context": sound()[0]["context"]},
        ("unreadable", "error", None),
        "message and context are those of line 1; allowed: each pair once",
    ),
    "the same row, read so": (
        {
            "message": sound()[TRAIN]["message"].replace(" begins", "  begins").replace(",", ""),
            "context": sound()[TRAIN]["context"],
            "group": sound()[TRAIN]["message"].casefold(),
        },
        ("duplicate", "error", None),
        f"message and context read as those of line {TRAIN + 1}",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_faulty_row_is_told_at_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    row, (rule, severity, at), told = WRONG[what]
    rows = [*sound(), {**sound()[0], "message": "Another one goes somewhere.", **row}]
    spec = write(tmp_path, rows)
    code = {"unreadable": 4}.get(rule, 1 if severity == "error" else 0)
    findings = [one for one in found(capsys, code, spec) if one["file"].endswith("rows.jsonl")]
    assert [
        (one["rule"], one["severity"], one["line"]) for one in findings if one["rule"] == rule
    ] == [(rule, severity, 97)]
    [finding] = [one for one in findings if one["rule"] == rule]
    assert told in finding["wrong"]
    if at is not None:
        line = (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()[96]
        assert line[finding["column"] - 1 :].startswith(at)


def test_a_test_message_that_is_nearly_a_training_message_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = sound()
    rows.append({**rows[TRAIN], "message": rows[TRAIN]["message"] + "!", "group": f"{TEST}"})
    group = next(f"g{i}" for i in range(99) if split_by_hash(f"g{i}") == "test")
    rows[-1] |= {"group": group, "context": "Say:{message} It goes to"}
    [finding] = found(capsys, 1, write(tmp_path, rows))
    assert (finding["rule"], finding["line"]) == ("trained-on", 97)
    assert f"nearly that of line {TRAIN + 1}, which is trained on" in finding["wrong"]


def test_text_counts_a_rule_and_shows_the_first_five(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{**row, "context": f"{row['answer']}?{row['context']}"} for row in sound()]
    assert main(["check", write(tmp_path, rows)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert sum("error: gives-away: " in line for line in out) == 5
    assert f"{tmp_path / 'rows.jsonl'}: gives-away: 96 in all, the first 5 are shown" in out
    # and that the right answer alone stands in the prompt
    assert out[-1] == f"{tmp_path / 'gate_specs.yaml'}: 97 errors, 0 warnings"


def test_rows_that_cannot_be_read_hide_no_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = sound()
    rows[1]["answer"] = rows[2]["message"] = ""
    rows[5]["context"] = f"{rows[5]['answer']}?{rows[5]['context']}"
    assert main(["check", write(tmp_path, rows)]) == 4
    out, error = capsys.readouterr()
    assert "2 of 96 rows cannot be read" in error
    assert "rows.jsonl:6:" in out
    assert "gives-away" in out


def test_an_answer_of_half_of_the_rows_is_a_word_like_any_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {**row, "answer": "yes" if i % 2 else "no", "options": ["yes", "no"]}
        for i, row in enumerate(sound())
    ]
    rows = [{**row, "context": "Say yes if so." + row["context"]} for row in rows]
    assert main(["check", write(tmp_path, rows)]) == 0


def test_a_place_that_is_always_right_is_found_without_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {**row, "options": [CITIES[(i + j) % 8] for j in range(4)]}
        for i, row in enumerate(sound() * 4)
    ]
    rows = [{**row, "message": f"{row['message']} {i}"} for i, row in enumerate(rows)]
    findings = found(capsys, 1, write(tmp_path, rows, n=60))
    assert {(one["rule"], one["line"]) for one in findings} == {("form", 2)}
    assert "gate base: one place in the options is right far too often" in findings[-1]["wrong"]


def test_what_a_receiver_cannot_read_is_told_by_its_tokenizer_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("weights were loaded")

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", never)
    rows = sound()
    rows[7]["message"] = "so " * 600 + rows[7]["answer"]
    spec = write(tmp_path, rows)
    assert found(capsys, 0, spec) == []
    [finding] = found(capsys, 1, spec, "--receiver", "stub")
    assert (finding["rule"], finding["line"], finding["column"]) == ("receiver", 8, 13)
    assert "allowed: at most 512; shorten it, or take a receiver with more" in finding["wrong"]


def test_what_a_receiver_cannot_read_of_a_task_without_rows_is_told_of_its_gate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lpca.receivers.model.why_unread", lambda *_: "it is too long")
    spec = tmp_path / "gate_specs.yaml"
    spec.write_text(SPEC.format(file="x", more="", n=20))
    spec.write_text(spec.read_text().replace("name: episodes, file: x", "name: trip"))
    [finding] = found(capsys, 1, str(spec), "--receiver", "stub")
    assert (finding["rule"], finding["line"]) == ("receiver", 2)
    assert finding["wrong"] == "gate base: it is too long"


def test_a_receiver_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", write(tmp_path, sound()), "--receiver", "./nowhere"]) == 4
    assert "no folder with a config.json is there" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["rows.jsonl", "rows.csv"])
def test_fix_writes_a_cleaned_copy_and_never_over_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    rows = [{**row, "id": i} for i, row in enumerate(sound())]
    rows[3]["context"] = f"{rows[3]['answer']}?{rows[3]['context']}"
    rows[4]["answer"] = ""
    rows[5]["message"] = rows[5]["message"].replace("soon", "so\u200bon")
    spec = write(tmp_path, rows, file)
    before = (tmp_path / file).read_bytes()
    assert main(["check", spec, "--fix"]) == 4
    error = capsys.readouterr().err
    clean = (tmp_path / file).with_suffix(f".clean{Path(file).suffix}")
    assert f"{clean}: 94 of 96 rows; left out: " in error
    assert "1 gives-away" in error
    assert "1 unreadable" in error
    assert "hidden characters taken out of 1" in error
    assert (tmp_path / file).read_bytes() == before
    if file.endswith("csv"):
        with clean.open(newline="", encoding="utf-8") as stream:
            kept: Rows = [{**row, "id": int(row["id"])} for row in csv.DictReader(stream)]
    else:
        kept = [json.loads(line) for line in clean.read_text(encoding="utf-8").splitlines()]
    rows[5]["message"] = rows[5]["message"].replace("\u200b", "")
    assert kept == [row for i, row in enumerate(rows) if i not in (3, 4)]
    Path(spec).write_text(Path(spec).read_text().replace(file, clean.name))
    assert main(["check", spec]) == 0
    capsys.readouterr()
    Path(spec).write_text(Path(spec).read_text().replace(clean.name, file))
    assert main(["check", spec, "--fix"]) == 4
    assert f"--fix: {clean} is already there" in capsys.readouterr().err


def test_fix_of_sound_rows_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", write(tmp_path, sound()), "--fix"]) == 0
    assert "nothing to leave out; nothing was written" in capsys.readouterr().err
    assert sorted(one.name for one in tmp_path.iterdir()) == ["gate_specs.yaml", "rows.jsonl"]


def test_fix_of_a_task_without_rows_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "gate_specs.yaml"
    spec.write_text(SPEC.format(file="x", more="", n=20))
    spec.write_text(spec.read_text().replace("name: episodes, file: x", "name: trip"))
    assert main(["check", str(spec), "--fix"]) == 4
    assert (
        "--fix: allowed: task episodes, with rows that stand in a file" in capsys.readouterr().err
    )


def test_columns_of_another_name_are_placed_where_they_stand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"text": row["message"], "asked": f"Where does guest {i} go?", "city": row["answer"]}
        for i, row in enumerate(sound())
    ]
    rows[9]["asked"] = f"Is it {rows[9]['city']}?"
    more = ", map: {message: text, question: asked, answer: city}"
    [finding] = found(capsys, 1, write(tmp_path, rows, "rows.csv", more))
    assert (finding["rule"], finding["line"]) == ("gives-away", 11)
    line = (tmp_path / "rows.csv").read_text().splitlines()[10]
    assert line[finding["column"] - 1 :].startswith(rows[9]["city"] + "?")
