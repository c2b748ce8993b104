"""Wrong inputs of every command: each one message, its exit code, and what was probably meant.

`docs/lab/wrong-inputs.md` is what they print: `LPCA_WRITE_RECORDS=1 pytest` on this file makes it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest
from gate_project import QUICK, ROOT

from lpca.base import __version__
from lpca.base.errors import ExitCode
from lpca.commands.cli import COMMANDS, main
from lpca.commands.init import project_files, write_project
from lpca.doctor import Finding, Section

PAGE = ROOT / "docs" / "lab" / "wrong-inputs.md"
HEAD = """# Wrong inputs, and what is said

In a project as `lpca init` writes it, each command in a shell of its own; where a usage is shown,
it stands above; of a long list of what is allowed the beginning. Made by
`tests/cli/test_wrong_inputs.py`, which also holds each to three lines.

| Command | What it says | Exit code |
|---|---|---|
"""
MOST_LINES = 3
BELOW = 5
"""A page of a thousand letters is no message."""
CASES = """
lpca
lpca chekc
lpca check --fromat json
lpca check missing.yaml
lpca check gate_spec.yaml
lpca check gates
lpca check empty.json
lpca check noise.yaml
lpca check twice.yaml
lpca check typo.yaml
lpca check kind.yaml
lpca check rows.yaml
lpca check --receiver ./nowhere
lpca schema --otu schema.json
lpca plan --train-seeds 1
lpca plan --from missing.json
lpca judge
lpca judge missing.csv
lpca judge outcome.csv
lpca judge gates
lpca judge noise.csv
lpca judge outcomes.csv --map p9=a
lpca judge outcomes.csv --gate gate9
lpca judge marks.csv
lpca exam
lpca exam --gate gate9 --out exam
lpca exam score missing answers.jsonl
lpca views --gate gate9 --out views.jsonl
lpca views --out views.jsonl --k 9999
lpca verify missing.json
lpca verify rows.jsonl
lpca verify empty.json
lpca verify noise.json
lpca verify gates
lpca ledger merge missing other
lpca ledger merge rows.jsonl other
lpca train --out codec --k four
lpca train --out codec --receiver stubb
lpca train --out codec --architecture poler
lpca train --out codec --recipe missing.yaml
lpca train --out codec --recipe gates
lpca train --out codec --recipe empty.json
lpca train --out codec --recipe noise.yaml
lpca train --out codec --recipe gate_specs.yaml
lpca train --out codec --recipe list.yaml
lpca train --out gates --receiver stub
lpca lab missing.yaml
lpca lab gate_specs.yaml
lpca init
lpca init /proc/x
lpca init x --map message=seed
lpca init x --from missing.csv
lpca init x --from outcomes.csv --map seed
lpca init x --from outcomes.csv --map mesage=seed,question=p0,answer=p1
lpca init x --from outcomes.csv --map message=sed,question=p0,answer=p1
lpca init x --from outcomes.csv --map message=seed,answer=p1
lpca init x --from outcomes.csv --map message=seed,question=p0,answer=p1
lpca init x --from episodes.jsonl --options 1
lpca init x --from episodes.jsonl --n 4000
lpca init x --from episodes.jsonl --receiver stubb
lpca doctor --receiver ./nowhere
lpca doctor --receiver my_codec.py
lpca record missing.json
lpca report missing.json
lpca runs --format xlsx
lpca compare missing.json other.json
lpca diagnose
lpca diagnose missing --receiver stub
lpca diagnose gates --receiver stub
lpca diagnose rows.jsonl --receiver stub
lpca plot --out pictures missing.json
lpca sabotage --only best_off_ten
pytest gates/ --codec my_codek:make
pytest gates/ --codec my_codec:mak
pytest gates/ --codec my_codec
pytest gates/ --receiver ./nowhere
pytest gates/ --receiver stubb
pytest gates/ --receiver org/nowhere
pytest gates/ --device mps
pytest gates/ --dtype float8
pytest gates/ -m gate9
pytest gates/ --k 5
pytest gates/ --k 0
pytest gates/ --gate-spec missing.yaml
pytest gates/ --gate-spec gates
pytest gates/ --packets packets.safetensors
pytest gates/ --checkpoint codec
pytest gates/ --checkpoint rows.jsonl
pytest gates/ --split train
pytest gates/ --train-seeds 1
pytest gates/ --codec-seconds 0
""".strip().splitlines()


def project(folder):
    """A project as `lpca init` writes it, with files that are not as they must be."""
    write_project(folder, project_files())
    spec = (folder / "gate_specs.yaml").read_text(encoding="utf-8")
    changes = {
        "twice.yaml": ("version: 1", "version: 1\nversion: 1"),
        "typo.yaml": ("criteria:", "criterai:"),
        "kind.yaml": ("n: 120", "n: many"),
        "rows.yaml": ("file: episodes.jsonl", "file: rows.jsonl"),
    }
    for name, (old, new) in changes.items():
        (folder / name).write_text(spec.replace(old, new, 1), encoding="utf-8")
    rows = [{"mesage": "To Oslo.", "context": "Where?{message}\nTo", "answer": "Oslo"}] * 7
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "list.yaml").write_text("- 1\n")
    (folder / "empty.json").write_bytes(b"")
    for name in ("noise.json", "noise.yaml", "noise.csv"):
        (folder / name).write_bytes(b"\xce\x01\x02\xff\n" * 200)
    (folder / "outcomes.csv").write_text("seed,p0,p1\n1,0,1\n2,1,1\n")
    (folder / "marks.csv").write_text("seed,p0,p1\n1,0,0.7\n")


def of_lpca(argv, capsys):
    """What a command ends on, and says of its mistake."""
    try:
        code = main(argv)
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr()
    return code, said.err or said.out


def of_pytest(argv, pytester):
    result = pytester.runpytest(*argv, *QUICK)
    text = result.stdout.str() + result.stderr.str()
    found = re.search(r"ERROR: (.*)", text, re.S)
    return result.ret, found[1] if found else text


def message(command, text):
    """The text without the usage above it."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    if command == "lpca":
        assert all(any(line.strip().startswith(name) for line in lines) for name in COMMANDS)
        return "its commands, a line for each"
    # argparse breaks a usage into several lines; what is wrong stands behind it
    starts = [i for i, line in enumerate(lines) if re.match(r"(lpca|python|pytest)[^:]*: ", line)]
    if lines and lines[0].startswith("usage:") and starts:
        lines = lines[starts[0] :]
    return "\n".join(line.strip() for line in lines)


@pytest.fixture(scope="module")
def record():
    found = {}
    yield found
    if os.environ.get("LPCA_WRITE_RECORDS") and len(found) == len(CASES):
        rows = (
            f"| `{name}` | {cell(text)} | {int(code)} |\n" for name, (code, text) in found.items()
        )
        PAGE.write_text(HEAD + "".join(rows), encoding="utf-8")


def cell(text):
    """As the page has it: of a long list of what is allowed only its beginning."""
    lead, allowed, names = " ".join(text.split()).partition("allowed: ")
    names = f"{names[:25]} ..." if len(names) > 120 else names
    return f"{lead}{allowed}{names}"[:300].replace("|", "\\|").replace("<", "&lt;")


@pytest.mark.parametrize("command", CASES)
def test_a_wrong_input_is_one_message(command, record, pytester, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("COLUMNS", "1000")
    project(pytester.path)
    program, *argv = shlex.split(command)
    ran = of_lpca(argv, capsys) if program == "lpca" else of_pytest(argv, pytester)
    code, text = ran[0], message(command, ran[1]).replace(str(Path.cwd()), ".")
    assert code == 4, ran[1]
    assert "Traceback" not in ran[1]
    assert len(text.splitlines()) <= MOST_LINES + BELOW * (" rows.yaml" in command), text
    record[command] = code, text
    if not os.environ.get("LPCA_WRITE_RECORDS"):
        row = f"| `{command}` | {cell(text)} | {int(code)} |"
        assert row in PAGE.read_text(encoding="utf-8").splitlines(), row


def test_every_command_has_its_wrong_input():
    named = {case.split()[1] for case in CASES if case.startswith("lpca ")}
    assert named >= set(COMMANDS)


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"lpca {__version__}\n"


@pytest.mark.parametrize(
    ("command", "told"),
    [("train", "the same command goes on from its last snapshot"), ("check", "run it again")],
)
def test_an_interrupt_says_what_is_kept(command, told, monkeypatch, capsys):
    def interrupted(parsed):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"lpca.commands.{command}.run", interrupted)
    assert main([command, *["--out", "x"] * (command == "train")]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("untried", "told"),
    [(True, "a gate may run: 1 thing to mend, with"), (False, "no gate can run: 1 thing to mend")],
)
def test_the_doctor_says_that_none_can_run_only_where_none_can(untried, told, monkeypatch, capsys):
    found = Finding("tqdm 9", ExitCode.FAIL, is_untried=untried)
    monkeypatch.setattr("lpca.commands.doctor.examined", lambda _: [Section("packages", [found])])
    assert main(["doctor"]) == 1
    assert told in capsys.readouterr().out
