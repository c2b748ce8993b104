import argparse
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from whole_evidence import complete, every_check

from lpca.commands.cli import COMMANDS, main

ROOT = Path(__file__).parents[2]
DEFAULT = str(ROOT / "gate_specs.yaml")
ORIGINAL = str(ROOT / "examples" / "original_gates.yaml")
RATES = {"p0": 25, "p1": 80, "embed": 80, "normal": 90}
RATES |= {"null": 25, "random": 25, "shuffle": 5, "static": 25}
STEPS = {"p0": 1, "p1": 3, "embed": 3, "normal": 7, "null": 9, "random": 11, "shuffle": 13}
STEPS |= {"static": 17}


def outcomes(tmp_path, n=400, **changes):
    """Episodes whose rates are exactly those given, spread so that conditions are unrelated."""
    rates = {**RATES, **changes}
    lines = ["seed," + ",".join(rates)]
    for index in range(n):
        cells = [str(int(index * STEPS[name] * 37 % 100 < rate)) for name, rate in rates.items()]
        lines.append(f"{index}," + ",".join(cells))
    path = tmp_path / "outcomes.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_check_accepts_the_default_and_refuses_the_original(capsys):
    assert main(["check", DEFAULT]) == 0
    assert capsys.readouterr().out == f"{DEFAULT}: no findings\n"
    assert main(["check", ORIGINAL]) == 1
    text = capsys.readouterr().out
    assert f"{ORIGINAL}:10:15: error: seed-overlap: " in text
    assert text.splitlines()[-1].endswith("errors, 3 warnings")


def test_check_writes_json(capsys):
    assert main(["check", ORIGINAL, "--format", "json"]) == 1
    held = json.loads(capsys.readouterr().out)
    assert held["file"] == ORIGINAL
    assert set(held["findings"][0]) == {
        *("file", "line", "column", "rule", "severity", "wrong", "number", "instead"),
    }


def test_check_writes_github_annotations(capsys):
    main(["check", ORIGINAL, "--format", "github"])
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith(f"::error file={ORIGINAL},line=10,col=15,title=seed-overlap::")
    assert "%0AWrite instead: " in first
    assert all(line.startswith(("::error ", "::warning ")) for line in rest)


def test_a_file_that_is_no_spec_is_one_line_and_a_usage_error(tmp_path, capsys):
    path = tmp_path / "gate_specs.yaml"
    path.write_text("version: 1\nversion: 1\n", encoding="utf-8")
    assert main(["check", str(path)]) == 4
    caught = capsys.readouterr()
    assert caught.out == ""
    assert caught.err.startswith(f"{path}:2:1: the key 'version' stands twice")
    assert len(caught.err.splitlines()) == 1
    assert main(["check", str(path), "--format", "json"]) == 4
    assert json.loads(capsys.readouterr().out)["findings"][0]["rule"] == "unreadable"
    assert main(["plan", str(path)]) == 4
    assert main(["judge", str(path), "--spec", str(path)]) == 4


def test_warnings_alone_do_not_fail_a_check(tmp_path, capsys):
    path = tmp_path / "gate_specs.yaml"
    path.write_text(
        "version: 1\ntask: {name: trip, seed: 1}\nevaluation: {n: 400}\ngates:\n  g:\n"
        "    conditions: [p0, p1]\n    criteria:\n      - {id: x, claim: p1 > p0}\n",
        encoding="utf-8",
    )
    assert main(["check", str(path)]) == 0
    assert "warning: power-unknown" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [[], ["chek"], ["check", "--format", "xml"], ["check", "a", "b"]])
def test_wrong_usage_ends_with_the_documented_code(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 4
    assert "usage: lpca" in capsys.readouterr().err


def test_plan_shows_power_by_n_and_the_n_that_is_needed(capsys):
    assert main(["plan", DEFAULT]) == 0
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line}
    assert rows["null_equals_p0"][-1] == "322"
    assert rows["null_equals_p0"][4] == "0.895"
    assert float(rows["the"][-1]) > 0.99


def test_plan_shows_what_adversaries_come_to_and_takes_rates_from_evidence(capsys):
    measured = str(ROOT / "docs" / "experiments" / "gate1-attempt-04.json")
    assert main(["plan", DEFAULT, "--from", measured]) == 0
    text = capsys.readouterr().out
    assert text.startswith("no groups are measured")
    part = text.partition("carries: ")[2].partition("gate1_open: ")[0]
    shares = dict(re.findall(r"^  ([a-z:, 0]+?)  +([01]\.\d{3})", part, re.M))
    assert float(shares["expect: is true"]) > 0.8
    assert float(shares["a magic prompt"]) < 0.05
    assert float(shares["works in half of the groups"]) > 0.5


def test_plan_says_what_groups_and_repeats_may_come_to(tmp_path, capsys):
    path = tmp_path / "gate_specs.yaml"
    path.write_text(
        "version: 1\ntask: {name: trip, seed: 5}\n"
        "evaluation: {n: 200, score: greedy, repeats: 4, temperature: 1}\ngates:\n  main:\n"
        "    conditions: [p0, p1]\n    expect: {p0: 0.25, p1: 0.5, icc: 0.5}\n"
        "    criteria:\n      - {id: helps, claim: p1 - p0 > 0.1}\n"
    )
    assert main(["plan", str(path)]) == 0
    text = capsys.readouterr().out
    assert "200 episodes in 64 groups or fewer count as 97 at icc 0.5, as 64 at icc 1" in text
    assert "where helps would have power below 0.8" in text
    least, most = re.search(r"4 repeats .* power (\S+) where .*, (\S+) where", text).groups()
    assert float(least) < float(most)


def test_plan_shows_what_several_training_seeds_cost(tmp_path, capsys):
    path = tmp_path / "gate_specs.yaml"
    path.write_text(
        "version: 1\ntask: {name: trip, seed: 5}\nevaluation: {n: 40}\ngates:\n  main:\n"
        "    conditions: [normal, null]\n    expect: {normal: 0.55, null: 0.3}\n"
        "    criteria:\n      - {id: above_null, claim: normal - null > 0.0}\n"
    )
    assert main(["plan", str(path), "--train-seeds", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()

    def shares(name):
        [line] = [line for line in lines if line.startswith(f"  {name}")]
        return [float(cell) for cell in line.removeprefix(f"  {name}").split()]

    one = shares("the whole gate")
    assert shares("all 3 seeds, at most") == one
    assert shares("  if independent") == pytest.approx([share**3 for share in one], abs=0.002)
    assert shares("  at least") == pytest.approx(
        [max(0, 3 * share - 2) for share in one], abs=0.002
    )
    assert main(["plan", str(path), "--train-seeds", "1"]) == 4
    assert "--train-seeds 1: allowed: whole numbers from 2 on" in capsys.readouterr().err


def test_plan_says_what_it_cannot_plan(capsys):
    assert main(["plan", ORIGINAL]) == 0
    assert "null_is_p0               unknown" in capsys.readouterr().out


def test_judge_decides_a_table(tmp_path, capsys):
    assert main(["judge", outcomes(tmp_path), "--spec", DEFAULT]) == 0
    text = capsys.readouterr().out
    assert "gate1: PASS: all 9 criteria hold" in text
    assert "PASS: normal 90 % is more than 10 points above p0 25 %" in text
    assert "gate1_open: NOT MEASURED (beside; sets no exit code)" in text
    assert "interval 59" not in text
    assert main(["judge", outcomes(tmp_path), "--spec", DEFAULT, "--verbose"]) == 0
    assert "98.33 % interval 58.4 to 70.8 points" in capsys.readouterr().out


def test_judge_fits_its_terminal(tmp_path, capsys, monkeypatch):
    for columns in (80, 40):
        monkeypatch.setenv("COLUMNS", str(columns))
        for path in (outcomes(tmp_path, shuffle=60), str(ROOT / "examples" / "attempts.json")):
            main(["judge", path, "--spec", DEFAULT, "--verbose"])
        assert max(map(len, capsys.readouterr().out.splitlines())) <= columns


def test_judge_writes_what_an_ascii_terminal_cannot_show(tmp_path):
    spec = Path(DEFAULT).read_text(encoding="utf-8").replace("The task is", "La tâche est")
    (tmp_path / "gate_specs.yaml").write_text(spec, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "lpca", "judge", outcomes(tmp_path), "--gate", "gate0"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr
    assert "claim: La t\\xe2che est valid" in done.stdout


@pytest.mark.parametrize(
    ("changes", "n", "code"),
    [
        ({"shuffle": 60}, 400, 1),
        ({"random": 30}, 400, 6),
        ({"p0": 60}, 400, 7),
        ({}, 25, 8),
    ],
)
def test_judge_ends_with_the_code_of_its_verdict(tmp_path, changes, n, code):
    path = outcomes(tmp_path, n, **changes)
    assert main(["judge", path, "--spec", DEFAULT, "--gate", "gate1"]) == code


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (False, 7)])
def test_judge_reads_the_evidence_of_a_run(tmp_path, capsys, passed, code):
    header, *lines = Path(outcomes(tmp_path)).read_text(encoding="utf-8").split("\n")
    names = header.split(",")[1:]
    episodes = []
    for line in lines:
        seed, *cells = line.split(",")
        found = {name: {"likelihood": cell == "1"} for name, cell in zip(names, cells, strict=True)}
        told = {"seed": int(seed), "answers": "seen", "donor": (int(seed) + 1) % 400}
        episodes.append({**told, "outcomes": found})
    check = {"title": "the prefix is used", "passed": passed, "detail": "no"}
    held = {"gate": "gate1", "score": "likelihood", "checks": every_check(prefix_used=check)}
    evidence = {**held, "episodes": episodes}
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps(complete(evidence)), encoding="utf-8")
    assert main(["judge", str(path), "--spec", DEFAULT]) == code
    assert ("the prefix is used: no" in capsys.readouterr().out) is not passed


def test_judge_notes_another_n_than_declared(tmp_path, capsys):
    main(["judge", outcomes(tmp_path, 200), "--spec", DEFAULT, "--gate", "gate0"])
    assert "200 episodes; the spec declares 400" in capsys.readouterr().out


def test_judge_names_what_it_refuses(tmp_path, capsys):
    path = tmp_path / "outcomes.csv"
    path.write_text("seed,p0,p1\n1,1,0\n1,0,1\n", encoding="utf-8")
    assert main(["judge", str(path), "--spec", DEFAULT]) == 4
    assert "line 2 (seed 1), line 3 (seed 1)" in capsys.readouterr().err
    assert main(["judge", outcomes(tmp_path), "--spec", DEFAULT, "--gate", "gat1"]) == 4
    assert "did you mean 'gate1'?" in capsys.readouterr().err
    assert main(["judge", outcomes(tmp_path), "--spec", ORIGINAL, "--gate", "gate1"]) == 4
    assert "no sound method decides normal_above_random" in capsys.readouterr().err


def test_counts_alone_are_not_measured_and_give_the_range(tmp_path, capsys):
    path = tmp_path / "counts.json"
    path.write_text('{"normal": [11, 50], "null": [12, 50]}', encoding="utf-8")
    assert main(["judge", str(path), "--spec", DEFAULT, "--gate", "gate1"]) == 8
    text = capsys.readouterr().out
    assert "gate1: NOT MEASURED: counts alone do not decide paired claims" in text
    assert "normal_above_null: cannot PASS under any pairing" in text


def test_the_published_attempts_are_replayed(capsys):
    path = str(ROOT / "examples" / "attempts.json")
    assert main(["judge", path, "--spec", DEFAULT, "--gate", "gate1"]) == 8
    text = " ".join(capsys.readouterr().out.split())
    assert "gate1-attempt-01 (its n was not published): INVALID" in text
    assert "placeholder fallback" in text
    second = text.partition("gate1-attempt-02 (n 50)")[2]
    assert (
        "the gate cannot PASS under any pairing: normal_above_null, normal_above_shuffle" in second
    )


def test_check_and_judge_import_no_heavy_module(tmp_path):
    heavy = "torch transformers scipy.stats statsmodels"
    code = (
        "import sys; from lpca.commands.cli import main; code = main(sys.argv[1:]); "
        f"print([m for m in '{heavy}'.split() if m in sys.modules], file=sys.stderr); "
        "sys.exit(code)"
    )
    for argv in (["check", DEFAULT], ["check", ORIGINAL], ["judge", outcomes(tmp_path)]):
        done = subprocess.run(
            [sys.executable, "-c", code, *argv], capture_output=True, text=True, cwd=ROOT
        )
        assert done.stderr.strip() == "[]", done.stderr


def test_a_reader_that_leaves_early_is_no_crash():
    done = subprocess.run(
        f"{sys.executable} -m lpca check {ORIGINAL} | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("to", "code", "said"),
    [
        (">/dev/full", 8, "standard output: cannot be written: No space left on device\n"),
        (">&-", 8, "standard output is closed: nothing can be shown\n"),
        ("| (exec <&-; sleep 2)", 141, ""),
    ],
)
@pytest.mark.parametrize("command", ["check", "plan"])
def test_a_standard_output_that_cannot_be_written_is_said(command, to, code, said):
    if "full" in to and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    shell = f"set -o pipefail; {sys.executable} -m lpca {command} {ORIGINAL} {to}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize("command", ["judge", "judge nofile", "plot nofile --out pics"])
def test_a_standard_error_that_cannot_be_written_changes_no_exit_code(command):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    shell = f"{sys.executable} -m lpca {command} 2>/dev/full"
    assert subprocess.run(["bash", "-c", shell], cwd=ROOT).returncode == 4


@pytest.mark.parametrize(("family", "code"), [("[4]", 0), ("{any: [4, 8, 16]}", 6)])
def test_judge_counts_the_k_that_it_does_not_see(tmp_path, capsys, family, code):
    spec = tmp_path / "gate_specs.yaml"
    spec.write_text(
        "version: 1\ntask: {name: trip, seed: 1}\nevaluation: {n: 100, checkpoints: 1}\n"
        f"gates:\n  g:\n    conditions: [normal, p0]\n    k: {family}\n"
        "    criteria:\n      - {id: c, claim: normal - p0 > 0}\n",
        encoding="utf-8",
    )
    # 12 against 3 of 15 that differ: one-sided p .01, which thirds of .025 do not reach
    rows = [{"seed": i, "normal": int(i < 12), "p0": int(12 <= i < 15)} for i in range(100)]
    path = tmp_path / "outcomes.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    assert main(["judge", str(path), "--spec", str(spec)]) == code
    shown = "one of 3 k, of which any suffices, is INCONCLUSIVE" in capsys.readouterr().out
    assert shown == (code == 6)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_default_that_the_help_names_is_the_one(name):
    parser = argparse.ArgumentParser(usage="")
    importlib.import_module(f"lpca.commands.{name}").add_arguments(parser)
    shown = " ".join(parser.format_help().split())
    told = re.findall(r"--([a-z-]+) [A-Z_]+ (?:(?!--)[^(])*?\((\d+)\)", shown)
    for option, default in told:
        assert parser.get_default(option.replace("-", "_")) == int(default), option
    assert told or name not in ("lab", "diagnose")
