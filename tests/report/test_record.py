"""Attempt pages and their index: what they say, and that they say it again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gate_project import BASE, ROOT
from made_evidence import SECRET, evidence, outcomes, save, signed

from lpca.commands.cli import main
from lpca.evidence.files import parse_evidence
from lpca.report.attempts.kept import RECORD
from lpca.report.attempts.page import next_steps
from lpca.report.figures.gate import gate_figure
from lpca.report.figures.style import svg
from lpca.report.markdown import code, plain
from lpca.validity.catalogue import CHECKS

PUBLISHED = str(ROOT / "examples" / "attempts.json")
SPEC = str(ROOT / "gate_specs.yaml")
SECTIONS = ["Status", "Configuration", "Results", "Criteria", "Validity checklist"]
SECTIONS += ["Decision log", "Artefacts", "Next steps"]
HARD = """
  main:
    title: More than there is
    answers: seen
    requires: [base]
    conditions: [p0, p1, normal, shuffle]
    expect: {p0: 0.25, p1: 0.95, normal: 0.95, shuffle: 0.05}
    criteria:
      - {id: above_shuffle, claim: normal - shuffle > 0}
      - {id: far_above_p0, claim: normal - p0 > 0.10}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "experiments"


@pytest.fixture
def record(folder, tmp_path, capsys, monkeypatch):
    """`lpca record` without its picture, which takes a second to draw."""
    monkeypatch.setattr("lpca.report.attempts.folder.glance", lambda kept: b"<svg/>")

    def write(held, *arguments, name="main-k4.json"):
        code = main(["record", save(tmp_path / name, held), "--folder", str(folder), *arguments])
        return code, capsys.readouterr()

    return write


def sections(path):
    """By heading, the text below it."""
    parts = path.read_text(encoding="utf-8").split("\n## ")
    return dict(part.split("\n\n", 1) for part in parts[1:])


def without_spec(path):
    """A page's lines but for the spec's hash, which changes with any word of the spec."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if "SHA-256" not in line]


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_page_holds_every_number_check_and_criterion(record, folder, tmp_path):
    held = evidence(tmp_path)
    assert held["verdict"] == "PASS"
    code, _ = record(held, "--note", "It went well.", "--note", "2026-04-01 Read once more.")
    assert code == 0
    found = sections(folder / "main-attempt-01.md")
    assert list(found) == SECTIONS
    assert "**VALID**: 33 of 33" in found["Status"]
    assert "**Verdict: PASS**" in found["Status"]
    for name, numbers in held["conditions"].items():
        assert f"| `{name}` | {numbers['likelihood']['successes']}/60 = " in found["Results"]
    for one in held["criteria"]:
        cells = " ".join(map(str, one["table"].values()))
        assert f"| `{one['id']}` | `{one['claim']}` |" in found["Criteria"]
        assert f"| {cells} | **PASS** |" in found["Criteria"]
        assert f"- 2026-03-04: `{one['id']}` PASS" in found["Decision log"]
    lines = found["Validity checklist"].splitlines()
    for check in CHECKS.values():
        (line,) = [line for line in lines if line.startswith(f"| `{check.id}` |")]
        state = "did not apply" if check.id == "mean_is_mean" else "passed"
        assert f"| {state} | detail of {check.id} |" in line
    assert "- 2026-03-04: It went well.\n- 2026-04-01: Read once more." in found["Decision log"]
    assert "`pytest gates -m main`" in found["Configuration"]
    assert held["hashes"]["outcomes"] in found["Artefacts"]


def test_the_same_evidence_gives_the_same_bytes_and_one_page(record, folder, tmp_path):
    held = evidence(tmp_path)
    record(held)
    before = files(folder)
    code, told = record(held)
    assert code == 0
    assert "already recorded" in told.out
    assert files(folder) == before
    for path in folder.iterdir():
        path.unlink()
    record(held)
    assert files(folder) == before


@pytest.mark.parametrize("ending", [".json", ".svg", ".md"])
def test_a_record_that_was_stopped_is_ended_by_the_same_command(
    record, folder, tmp_path, monkeypatch, ending
):
    held = evidence(tmp_path)
    record(held, "--note", "It went well.")
    whole = files(folder)
    for path in folder.iterdir():
        path.unlink()

    def stopped(operation, path):
        if operation == "rename" and path.suffix == ending:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lpca.base.files.touching", stopped)
        assert record(held, "--note", "It went well.")[0] == 2
    assert files(folder) != whole
    assert record(held, "--note", "It went well.")[0] == 0
    assert files(folder) == whole


def test_a_page_that_was_changed_is_named_and_left_as_it_is(record, folder, tmp_path):
    held = evidence(tmp_path)
    record(held)
    page = folder / "main-attempt-01.md"
    sound = page.read_bytes()
    page.write_bytes(sound + b"By hand.")
    code, told = record(held)
    assert code == 0
    assert f"{page}: changed since it was written" in told.err
    assert page.read_bytes() == sound + b"By hand."
    page.unlink()
    assert main(["record", "--index", "--folder", str(folder)]) == 0
    assert page.read_bytes() == sound


def test_a_folder_that_cannot_be_written_is_not_a_wrong_command(
    record, folder, tmp_path, monkeypatch
):
    def full(operation, path):
        if operation == "write" and path.parent == folder:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("lpca.base.files.touching", full)
    code, told = record(evidence(tmp_path))
    assert code == 8
    assert "No space left on device" in told.err
    assert not list(folder.iterdir())


def test_a_note_on_what_is_recorded_already_is_not_lost_in_silence(record, folder, tmp_path):
    record(evidence(tmp_path))
    before = files(folder)
    code, told = record(evidence(tmp_path), "--note", "late")
    assert (code, files(folder)) == (4, before)
    assert "already recorded" in told.err


def test_how_alike_prefixes_are_is_told_where_it_was_measured(record, folder, tmp_path):
    found = {
        "between": 0.25,
        "own_donor": 0.2,
        "norm_ratio": 1.5,
        "right": [[1.0]],
        "donor": [[1.0]],
        "seeds": [1],
    }
    record(evidence(tmp_path, similarity=found))
    text = sections(folder / "main-attempt-01.md")["Results"]
    assert "mean cosine of 0.25; a latent's norm is 1.50 times" in text


def test_two_stories_of_one_run_are_refused(record, folder, tmp_path):
    record(evidence(tmp_path))
    code, told = record(evidence(tmp_path, title="Another title"))
    assert code == 4
    assert "main-attempt-01 is of the same run" in told.err
    assert not (folder / "main-attempt-02.md").exists()


def test_each_gate_counts_its_own_attempts_and_no_page_is_written_over(record, folder, tmp_path):
    folder.mkdir()
    (folder / "main-attempt-06.md").write_text("by hand", encoding="utf-8")
    record(evidence(tmp_path, run="one"))
    record(evidence(tmp_path, run="two"))
    record(evidence(tmp_path, run="three") | {"gate": "other"})
    assert {path.name for path in folder.glob("*.md")} == {
        *("main-attempt-06.md", "main-attempt-07.md", "main-attempt-08.md"),
        *("other-attempt-01.md", "index.md"),
    }


def test_an_invalid_attempt_is_marked_and_its_criteria_are_not_shown(record, folder, tmp_path):
    record(evidence(tmp_path, failed="null_is_zero"))
    found = sections(folder / "main-attempt-01.md")
    assert found["Status"].startswith("**INVALID**: 32 of 33")
    assert "INVALID: these numbers" in found["Results"]
    assert "`above_p0`" not in found["Criteria"]
    assert "| **FAILED** |" in found["Validity checklist"]
    assert "Mend `null_is_zero`" in found["Next steps"]
    assert "| INVALID | INVALID |" in (folder / "index.md").read_text(encoding="utf-8")


def test_where_a_required_gate_does_not_pass_the_attempt_is_invalid(record, folder, tmp_path):
    record(evidence(tmp_path, outcomes(p1=25)))
    found = sections(folder / "main-attempt-01.md")
    assert found["Status"].startswith("**INVALID**: 33 of 33")
    assert "`base` is FAIL (`text_helps`)" in found["Next steps"]


def test_fail_and_inconclusive_lead_to_different_steps(tmp_path):
    held = evidence(tmp_path, outcomes(normal=40, shuffle=95), gates=BASE + HARD)
    verdicts = {one["id"]: one["verdict"] for one in held["criteria"]}
    assert verdicts == {"above_shuffle": "FAIL", "far_above_p0": "INCONCLUSIVE"}
    first, second, last = next_steps(parse_evidence(held))
    assert first.startswith("`above_shuffle` is contradicted: the receiver does as well with")
    needed = held["criteria"][1]["needed_n"]
    assert needed is not None
    assert f"declare n = {needed}" in second
    assert "fresh `seed:`" in last


def test_a_gate_without_codec_or_checks_has_a_page_too(record, folder, tmp_path):
    record(evidence(tmp_path, gate="base", k=None, codec=None, checks=[]))
    found = sections(folder / "base-attempt-01.md")
    assert found["Status"].startswith("**UNCHECKED**: 0 of 0")
    assert "| k | - |" in found["Configuration"]
    assert found["Next steps"].startswith("- Replicate on a fresh `seed:`.")


def test_what_is_not_known_of_a_codec_is_not_shown(record, folder, tmp_path):
    codec = {"origin": "mine:make", "architecture": "Mine", "seed": None, "recipe": None}
    record(evidence(tmp_path, codec=codec))
    text = sections(folder / "main-attempt-01.md")["Configuration"]
    assert "| codec | architecture Mine, origin mine:make |" in text


def test_what_was_left_out_is_to_be_measured(tmp_path):
    columns = outcomes()
    del columns["shuffle"]
    held = evidence(tmp_path, columns)
    assert held["verdict"] == "NOT MEASURED"
    steps = next_steps(parse_evidence(held))
    assert any("above_shuffle has no outcomes" in step for step in steps)
    assert not any("contradicted" in step for step in steps)


def test_one_k_of_several_does_not_pass_for_the_gate(record, folder, tmp_path):
    record(evidence(tmp_path, any_of_k=[4, 8]))
    assert "**Verdict: PASS (this k alone)**" in sections(folder / "main-attempt-01.md")["Status"]
    assert "| PASS (this k alone) |" in (folder / "index.md").read_text(encoding="utf-8")


def test_no_message_is_published_and_the_record_can_still_be_judged(
    record, folder, tmp_path, capsys
):
    prompt = {"condition": "p1", "seed": 0, "text": SECRET}
    prompt |= {"prompt_sha256": "", "slot_sha256": ""}
    held = evidence(tmp_path, prompts=[prompt])
    for index, episode in enumerate(held["episodes"]):
        episode["group"] = f"{SECRET} {index // 2}"
    record(held)
    assert not [name for name, data in files(folder).items() if SECRET.encode() in data]
    kept = json.loads((folder / "main-attempt-01.json").read_text(encoding="utf-8"))
    assert kept[RECORD]["id"] == "main-attempt-01"
    groups = [episode["group"] for episode in kept["episodes"]]
    assert groups[::2] == groups[1::2]
    assert len(set(groups)) == len(groups) // 2
    arguments = [str(folder / "main-attempt-01.json"), "--spec", str(tmp_path / "made_specs.yaml")]
    assert main(["judge", *arguments]) == 0
    assert capsys.readouterr().out.startswith("main: PASS")


@pytest.mark.parametrize("failed", [None, "null_is_zero"])
def test_beside_a_page_stands_its_picture(folder, tmp_path, failed):
    held = evidence(tmp_path, failed=failed)
    assert main(["record", save(tmp_path / "main.json", held), "--folder", str(folder)]) == 0
    assert (folder / "main-attempt-01.svg").read_bytes() == svg(gate_figure(parse_evidence(held)))
    assert "](main-attempt-01.svg)" in sections(folder / "main-attempt-01.md")["Results"]


def test_a_page_stands_for_its_record(record, folder, tmp_path, capsys):
    record(evidence(tmp_path, run="one"))
    record(evidence(tmp_path, run="two"))
    pages = [str(folder / f"main-attempt-0{number}.md") for number in (1, 2)]
    assert main(["compare", *pages]) == 0
    assert "60 episodes shared, 0 only in A" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"gate": "../../escaped"}, "names no attempt"),
        ({"verdict": "FINE"}, "verdict is 'FINE'; allowed: PASS, FAIL"),
        ({"receiver": None}, "receiver is None; allowed: an object"),
        ({"conditions": {}}, "conditions lacks p0, yet episode 0 has it"),
        ({"record": {}}, "record.id is missing"),
    ],
)
def test_what_cannot_be_recorded_is_one_line_and_writes_nothing(
    record, folder, tmp_path, change, says
):
    code, told = record(evidence(tmp_path) | change)
    assert code == 4
    assert says in told.err
    assert told.err.count("\n") == 1
    assert not folder.exists() or not files(folder)


def test_outcomes_changed_after_the_run_are_refused(record, folder, tmp_path):
    held = evidence(tmp_path)
    for episode in held["episodes"][:5]:
        episode["outcomes"]["shuffle"]["likelihood"] = False
    code, told = record(held)
    assert (code, "not those it was written with" in told.err) == (4, True)


def test_a_verdict_that_its_own_checks_deny_is_refused(record, tmp_path):
    held = evidence(tmp_path, failed="null_is_zero", verdict="PASS")
    code, told = record(held)
    assert (code, "yet it calls itself PASS" in told.err) == (4, True)


def test_the_index_is_made_again_from_what_is_there(record, folder, tmp_path, capsys):
    for number in range(1, 4):
        record(evidence(tmp_path, run=f"run {number}"))
    (folder / "main-attempt-02.json").unlink()
    (folder / "index.md").unlink()
    assert main(["record", "--index", "--folder", str(folder)]) == 0
    lines = (folder / "index.md").read_text(encoding="utf-8").splitlines()
    assert [line[:6] for line in lines if line.startswith("| [")] == ["| [01]", "| [03]"]
    assert main(["record", "--folder", str(folder)]) == 4


def test_published_attempts_keep_their_status_and_are_judged_over_all_pairings(folder, capsys):
    arguments = ["record", PUBLISHED, "--folder", str(folder), "--spec", SPEC]
    assert main(arguments) == 0
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("already recorded") == 2
    first, second = (sections(folder / f"gate1-attempt-0{number}.md") for number in (1, 2))
    assert list(first) == list(second) == SECTIONS
    assert first["Status"].startswith("**INVALID**")
    assert "judged" not in first["Decision log"]
    assert "NOT MEASURED" in second["Status"]
    for counts in ("11/50", "12/50", "14/50", "16/50"):
        assert counts in second["Results"]
    assert main(["judge", PUBLISHED, "--spec", SPEC, "--gate", "gate1"]) == 8
    ranges = [line for line in capsys.readouterr().out.splitlines() if "intervals reach" in line]
    assert ranges
    for line in ranges:
        assert plain(line) in second["Decision log"]


def test_counts_of_an_attempt_published_as_invalid_are_not_judged(folder, tmp_path):
    held = json.loads((ROOT / "examples" / "attempts.json").read_text(encoding="utf-8"))
    held["attempts"] = [{**held["attempts"][1], "status": "INVALID"}]
    file = save(tmp_path / "attempts.json", held)
    assert main(["record", file, "--folder", str(folder), "--spec", SPEC]) == 0
    found = sections(folder / "gate1-attempt-02.md")
    assert "16/50" in found["Results"]
    assert "not as a result" in found["Results"]
    assert "judged since" not in found["Decision log"]


def test_the_published_pages_in_the_repository_are_those_the_code_writes(folder, capsys):
    main(["record", PUBLISHED, "--folder", str(folder), "--spec", SPEC])
    for number in (1, 2):
        name = f"gate1-attempt-0{number}.md"
        kept = ROOT / "docs" / "experiments" / name
        made = folder / name
        assert without_spec(kept) == without_spec(made)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a | b", r"a \| b"),
        ("two\nlines", "two lines"),
        ("<img src=x>", "&lt;img src=x&gt;"),
        ("*bold* [link](x)", r"\*bold\* \[link\](x)"),
        ("normal_above_p0", "normal_above_p0"),
        ("_under_", r"\_under\_"),
    ],
)
def test_any_text_shows_as_it_is(text, shown):
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"), [("a | b", r"`a \| b`"), ("a`b", "`` a`b ``"), ("x\n y", "`x y`"), ("", "")]
)
def test_any_text_shows_as_code(text, shown):
    assert code(text) == shown


def test_a_hostile_title_stays_text(record, folder, tmp_path):
    record(signed(evidence(tmp_path, title="x | y <script>\n## Status")))
    path: Path = folder / "main-attempt-01.md"
    assert list(sections(path)) == SECTIONS
    assert "<script>" not in path.read_text(encoding="utf-8")
