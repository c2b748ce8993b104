"""Gates from Python: the same measurement as pytest's, and an object that shows it."""

from __future__ import annotations

import copy
import doctest
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from gate_project import BASE, HEAD, ROOT, Project
from own_codec import CUT, OPEN

import lpca.api
from lpca.api import GateRun, run_gate
from lpca.base.errors import RequestError
from lpca.base.hashing import with_hash
from lpca.commands.cli import main
from lpca.evidence.files import parse_evidence
from lpca.evidence.runs import run_id, run_named
from lpca.gatespec.load import SpecError
from lpca.judge.outcomes import clusters_of
from lpca.judge.reader import table_of_evidence
from lpca.report.notebook import COLOURS
from lpca.stats.assessment import assess
from lpca.stats.claims import Rate
from lpca.stats.proportions import wilson
from lpca.stats.verdicts import Verdict
from lpca.validity.catalogue import CHECKS
from lpca.validity.ledger import GateLedger, LedgerEntry
from lpca.validity.ledger_file import LedgerFile

K = 16


class Recorder:
    """A console that keeps what it is told."""

    def __init__(self):
        self.told, self.counted = [], []

    def tell(self, text):
        self.told.append(text)

    def training(self, progress, steps, what="codec"):
        raise AssertionError("nothing is trained here")

    def evaluating(self, label):
        return lambda done, total: self.counted.append((label, done, total))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    (folder / "gate_specs.yaml").write_text(HEAD + BASE + OPEN)
    (folder / "cut_codec.py").write_text(CUT)
    return folder


@pytest.fixture(scope="module")
def run(home, tmp_path_factory):
    """A gate decided for a codec that passes it, and what was shown meanwhile."""
    console = Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LPCA_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.syspath_prepend(str(home))
        from cut_codec import Cut

        receiver = lpca.load_receiver("stub", "cpu")
        made = lpca.run_gate(
            "open",
            codec=Cut(receiver, K),
            receiver=receiver,
            k=K,
            spec=home / "gate_specs.yaml",
            console=console,
        )
        yield made, console, os.environ["LPCA_CACHE"]


@pytest.fixture
def passed(run):
    return run[0]


def spoilt(passed, **changes):
    return GateRun(parse_evidence(with_hash({**copy.deepcopy(dict(passed.evidence)), **changes})))


def test_importing_lpca_loads_no_torch():
    code = (
        "import sys, lpca; dir(lpca); print(sorted({'torch', 'scipy', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout == "[]\n"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'run_gates'"):
        _ = lpca.run_gates


class TestRun:
    def test_verdict_criteria_checks_and_conditions(self, passed):
        assert passed.verdict is Verdict.PASS
        assert passed.reasons == ()
        assert list(passed.criteria) == ["above_p0", "above_null", "above_shuffle"]
        assert passed.criteria["above_p0"].table.n == 60
        assert list(passed.checks) == list(CHECKS)
        assert passed.checks["receiver_frozen"].passed is True
        assert passed.conditions["normal"]["n"] == 60
        assert repr(passed) == "<GateRun open k=16: PASS>"

    def test_it_is_neither_true_nor_false(self, passed):
        with pytest.raises(TypeError, match="compare its verdict"):
            assert passed

    def test_its_text_is_the_terminals_table(self, passed):
        assert str(passed).startswith("open k=16: PASS")
        assert "is above shuffle" in str(passed)

    def test_progress_goes_to_the_console(self, run):
        assert run[1].counted[-1] == ("open k=16", 300, 300)

    def test_evidence_and_ledger_are_kept_beside_the_spec(self, passed, home):
        kept = json.loads((home / ".lpca" / "evidence" / "open-k16.json").read_text())
        assert kept == passed.evidence
        assert list((home / ".lpca" / "ledger").glob("*.jsonl"))

    def test_the_run_is_kept_where_no_other_takes_its_place(self, passed, home):
        own = run_named(run_id(passed.found), home / ".lpca" / "evidence")
        assert json.loads(own.read_text()) == passed.evidence
        assert main(["verify", str(own), "--spec", str(home / "gate_specs.yaml")]) == 0

    def test_evidence_says_what_the_look_took(self, passed):
        found = passed.evidence["ledger"]
        assert (found["share"], found["spent"], found["test_sets"]) == (1 / 3, 1 / 3, 1)

    def test_saved_whole(self, passed, tmp_path):
        passed.save(tmp_path / "sub" / "run.json")
        assert json.loads((tmp_path / "sub" / "run.json").read_text()) == passed.evidence

    def test_what_is_not_given_is_as_pytests(self, pytester):
        Project(pytester)
        theirs = vars(pytester.parseconfig("gates").option)
        ours = inspect.signature(run_gate).parameters
        shared = ours.keys() & theirs.keys()
        assert shared >= {"receiver", "k", "device", "dtype", "batch_size"}
        assert {name: ours[name].default for name in shared} == {
            name: theirs[name] for name in shared
        }

    def test_the_same_as_pytests(self, run, pytester, monkeypatch):
        monkeypatch.setenv("LPCA_CACHE", run[2])
        project = Project(pytester)
        project.write(BASE + OPEN)
        (project.path / "cut_codec.py").write_text(CUT)
        project.run("-m", "open", "--k", str(K), "--codec", "cut_codec:Cut", "-k", "above_p0")
        theirs, ours = project.evidence("open-k16"), run[0].evidence
        for name in ("conditions", "episodes", "looks", "score"):
            assert theirs[name] == ours[name], name
        assert theirs["hashes"]["outcomes"] == ours["hashes"]["outcomes"]
        passed = [
            # an object that somebody has made cannot be made anew
            {c["id"]: c["passed"] for c in one["checks"] if c["id"] != "remembers_nothing"}
            for one in (theirs, ours)
        ]
        assert passed[0] == passed[1]
        own = ours["criteria"][0]
        assert {**own, "file": ""} == {**theirs["criteria"][0], "file": ""}


def test_a_conditions_interval_is_that_of_a_claim_on_its_rate_over_groups(passed):
    table = table_of_evidence(passed.found)
    shown = passed.found.conditions["shuffle"].likelihood
    clusters = clusters_of(table, ["shuffle"], "group")
    rate = Rate("shuffle", "<", 0.9)
    seen = assess(rate, table.packed, passed.found.confidence, clusters=clusters).interval
    assert [shown.interval.low, shown.interval.high] == pytest.approx([seen.low, seen.high])
    assert shown.interval != wilson(shown.successes, table.n, passed.found.confidence)


class TestHtml:
    def test_verdict_in_words_and_numbers(self, passed):
        html = passed._repr_html_()
        assert ">PASS<" in html
        assert COLOURS[Verdict.PASS] in html
        for text in ("above_shuffle", "normal - shuffle &gt; 0", "/60", "gate_specs.yaml:"):
            assert text in html, text
        assert "unknown" in html, "the check that cannot tell says so"

    def test_the_other_score_what_follows_and_the_needed_n_are_there(self, passed):
        html = passed._repr_html_()
        greedy = passed.found.conditions["normal"].greedy
        assert ">greedy</th>" in html
        assert f">{100 * greedy.successes / 60:.1f} %</td>" in html
        assert "<b>So:</b> B answers better with its own message than with another" in html
        undecided = [
            {**c, "verdict": "INCONCLUSIVE", "needed_n": 1234} for c in passed.evidence["criteria"]
        ]
        html = spoilt(passed, verdict="INCONCLUSIVE", criteria=undecided)._repr_html_()
        assert html.count(">1234</td>") == len(undecided)

    def test_nothing_is_fetched(self, passed):
        assert not re.search(r"<script|<link|<img|src=|href=|url\(|http", passed._repr_html_())

    def test_what_is_invalid_shows_its_failed_checks_and_no_criterion(self, passed):
        reason = "null_is_zero: episode 3: null's vectors have norms [0.1]"
        html = spoilt(passed, verdict="INVALID", reasons=[reason])._repr_html_()
        assert ">INVALID<" in html
        assert "null_is_zero: episode 3" in html
        assert "No criterion was read" in html
        assert "above_shuffle" not in html

    @pytest.mark.parametrize("verdict", Verdict)
    def test_each_verdict_has_its_word_and_colour(self, passed, verdict):
        html = spoilt(passed, verdict=str(verdict))._repr_html_()
        assert f">{verdict}<" in html
        assert COLOURS[verdict] in html

    def test_texts_are_escaped(self, passed):
        bad = "<b onload='x'>&"
        required = [{**passed.evidence["required"][0], "gate": bad}]
        codec = {**passed.evidence["codec"], "architecture": bad}
        checks = [{**c, "detail": bad, "passed": None} for c in passed.evidence["checks"]]
        criteria = [
            {**c, "id": bad, "claim": bad, "message": bad} for c in passed.evidence["criteria"]
        ]
        html = spoilt(
            passed,
            title=bad,
            gate=bad,
            reasons=[bad],
            required=required,
            codec=codec,
            checks=checks,
            criteria=criteria,
            conditions={bad: passed.conditions["normal"]},
        )._repr_html_()
        assert "<b onload" not in html
        assert html.count("&lt;b onload=&#x27;x&#x27;&gt;&amp;") > 10


class TestNotebook:
    def test_the_picture_is_shown_and_saved(self, passed, tmp_path):
        picture = passed.plot()
        assert "<svg" in picture._repr_svg_()
        picture.save(tmp_path / "gate.svg")
        assert (tmp_path / "gate.svg").read_text() == picture._repr_svg_()
        with pytest.raises(RequestError, match="format gif: unknown"):
            picture.save(tmp_path / "gate.gif")
        assert len(repr(picture)) < 80

    @pytest.mark.parametrize("table", ["conditions", "criteria", "episodes"])
    def test_each_table_is_a_frame(self, passed, table):
        pytest.importorskip("pandas")
        frame = passed.to_frame(table)
        if table == "conditions":
            held = passed.found.conditions["normal"]
            row = frame.set_index("condition").loc["normal"]
            assert (row["n"], row["rate"]) == (60, held.likelihood.successes / 60)
            assert [row["low"], row["high"]] == [
                held.likelihood.interval.low,
                held.likelihood.interval.high,
            ]
        elif table == "criteria":
            assert list(frame["criterion"]) == list(passed.criteria)
            assert set(frame["verdict"]) == {"PASS"}
        else:
            assert frame["normal"].sum() == passed.found.conditions["normal"].likelihood.successes

    def test_what_cannot_be_had_is_one_line(self, passed, monkeypatch):
        with pytest.raises(RequestError, match="table 'criterion': did you mean 'criteria'"):
            passed.to_frame("criterion")
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(RequestError, match="pandas is not installed; pip install pandas"):
            passed.to_frame()

    def test_an_error_is_shown_in_one_line_and_a_receiver_too(self, run):
        shown = RequestError("k 0: allowed: 1 or more")._render_traceback_()
        assert shown == ["RequestError: k 0: allowed: 1 or more"]
        assert repr(lpca.load_receiver("stub", "cpu")) == "<Receiver stub, cpu, float32, sdpa>"


class TestRefused:
    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"gate": "opne"}, "gate 'opne': did you mean 'open'"),
            ({"k": 0}, "0: allowed: whole numbers from 1"),
            ({"batch_size": 0}, "batch_size 0: allowed: 1 or more"),
            ({"codec": "no/such/folder"}, "codec no/such/folder: no such folder; allowed: "),
            ({"codec": "a b:c"}, "a b:c: allowed: package.module:factory"),
            ({"codec": 7}, "of type int; allowed: a function factory"),
            ({"receiver": "./no-such"}, "receiver ./no-such: no folder"),
        ],
    )
    def test_a_wrong_request(self, home, changes, complaint):
        asked = {"gate": "open", "receiver": "stub", "spec": home / "gate_specs.yaml", **changes}
        with pytest.raises(RequestError, match=complaint) as caught:
            run_gate(**asked)
        assert "\n" not in str(caught.value)

    def test_a_missing_spec(self, tmp_path):
        with pytest.raises(SpecError, match=r"gate_specs\.yaml:1:1: "):
            run_gate("open", receiver="stub", spec=tmp_path / "gate_specs.yaml")

    def test_an_unsound_spec(self, tmp_path):
        spec = tmp_path / "gate_specs.yaml"
        spec.write_text(HEAD + BASE.replace("p1 - p0 > 0.20", "p1 - p0 > 0.69"))
        with pytest.raises(RequestError, match=r"gate_specs\.yaml:\d+:\d+: error: underpowered"):
            run_gate("base", receiver="stub", spec=spec)

    def test_one_of_several_k_must_be_named(self, tmp_path):
        spec = tmp_path / "gate_specs.yaml"
        spec.write_text(HEAD + BASE + OPEN.replace("    criteria", "    k: [4, 8]\n    criteria"))
        with pytest.raises(RequestError, match="several k; allowed: 4, 8"):
            run_gate("open", receiver="stub", spec=spec)


def test_the_example_is_true(home, tmp_path, monkeypatch):
    monkeypatch.chdir(home)
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path))
    found = doctest.testmod(lpca.api)
    assert (found.failed, found.attempted) == (0, 5)


def explored(run, home, **changes):
    from cut_codec import Cut

    receiver = lpca.load_receiver("stub", "cpu")
    asked = {"codec": Cut(receiver, K), "receiver": receiver, "k": K, "console": Recorder()}
    return lpca.run_gate("open", **{**asked, "spec": home / "gate_specs.yaml", **changes})


class TestExploration:
    def test_everything_is_shown_and_nothing_is_decided(self, run, home):
        ledger = home / ".lpca" / "ledger" / "looks.jsonl"
        before = ledger.read_text()
        found = explored(run, home, split="validation")
        assert found.verdict is Verdict.EXPLORED
        assert found.found.result.exit_code == 9
        assert found.criteria["above_shuffle"].p_pass < 0.001
        assert not [name for name, check in found.checks.items() if check.passed is False]
        assert "EXPLORED: 3 of 3 criteria hold on these validation episodes" in str(found)
        assert all(one["seed"] % 3 == 1 for one in found.evidence["episodes"])
        assert ledger.read_text() == before
        folder = home / ".lpca" / "evidence"
        assert json.loads((folder / "open-k16.json").read_text())["verdict"] == "PASS"
        assert run_named("latest", folder).samefile(run_named(run_id(found.found), folder))
        kept = folder / "validation" / "open-k16.json"
        assert main(["judge", str(kept), "--spec", str(home / "gate_specs.yaml")]) == 9
        assert main(["verify", str(kept), "--spec", str(home / "gate_specs.yaml")]) == 0

    def test_another_split_is_refused(self, home):
        with pytest.raises(RequestError, match="split 'train'"):
            run_gate("base", spec=home / "gate_specs.yaml", split="train")


class TestDrawnSeed:
    def test_it_is_drawn_once_for_a_codec_and_a_spec(self, run, home, tmp_path):
        spec = (home / "gate_specs.yaml").read_text().replace("seed: 5", "seed: drawn")
        (tmp_path / "gate_specs.yaml").write_text(spec)
        first, again = (explored(run, tmp_path) for _ in range(2))
        seeds = [one.evidence["task"]["seed"] for one in (first, again)]
        assert seeds[0] == seeds[1]
        kinds = [
            json.loads(line)["kind"]
            for line in (tmp_path / ".lpca" / "ledger" / "looks.jsonl").read_text().splitlines()
        ]
        assert kinds[:4] == ["commit", "draw", "look", "verdict"]
        kept = tmp_path / ".lpca" / "evidence" / "open-k16.json"
        assert main(["verify", str(kept)]) == 0
        data = json.loads(kept.read_text())
        data["task"]["seed"] += 1
        kept.write_text(json.dumps(data))
        assert main(["verify", str(kept)]) == 7


OTHER_RESULTS = {
    "estimate": 0.9,
    "interval": [0.8, 1.0],
    "n": 61,
    "claim": "normal - p0 > 0.9",
    "why": "another reason",
    "message": "PASS: all is well.",
    "margins": [0.9],
    "severity": "warn",
    "p_fail": 0.5,
    "p_pass": 1e-90,
    "confidence": 0.5,
    "method": "another",
    "needed_n": 7,
    "table": {"a": 60, "b": 0, "c": 0, "d": 0},
}


def of_criterion(name, value):
    """An edit of one field of the first criterion's result."""
    return lambda data: data["criteria"][0].update({name: value})


class TestVerify:
    @pytest.fixture
    def kept(self, passed, home, tmp_path):
        """The evidence, to be spoilt, beside its spec and its ledger."""
        for name in ("gate_specs.yaml", ".lpca/ledger/looks.jsonl", ".lpca/ledger/looks.head.json"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes((home / name).read_bytes())

        def verified(spoil=lambda data: None, *arguments):
            data = copy.deepcopy(dict(passed.evidence))
            spoil(data)
            path = tmp_path / ".lpca" / "evidence" / "open-k16.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(data))
            return main(["verify", str(path), "--spec", str(tmp_path / "gate_specs.yaml")])

        return verified

    def test_sound_evidence_holds_whole(self, kept, capsys):
        assert kept() == 0
        assert capsys.readouterr().out.count(": holds: ") == 8

    @pytest.mark.parametrize(
        ("what", "spoil"),
        [
            ("validity checks", lambda data: data["checks"].pop()),
            ("validity checks", lambda data: data["checks"][0].update(passed=False)),
            ("outcomes", lambda data: outcome(data).update(likelihood=False)),
            ("outcomes", lambda data: outcome(data).update(greedy=False)),
            ("outcomes", lambda data: data["conditions"]["p0"]["greedy"].update(successes=0)),
            ("hashes", lambda data: data["hashes"].update(outcomes="0" * 64)),
            ("spec", lambda data: data["hashes"].update(spec="0" * 64)),
            ("verdict", lambda data: data.update(verdict="FAIL")),
            ("verdict", lambda data: data["criteria"][0].update(p_pass=0.01)),
            ("ledger", lambda data: data["ledger"].update(heads=["0" * 64])),
            ("ledger", lambda data: data["hashes"].update(codec="0" * 64)),
            ("ledger", lambda data: data.update(k=8)),
            ("ledger", lambda data: data["ledger"].update(look=data["ledger"]["heads"][0])),
            ("spec", lambda data: data["task"].update(drawn="0" * 64, seed=None)),
            ("verdict", lambda data: data.update(criteria=data["criteria"][:-1])),
            ("validity checks", lambda data: [one.update(passed=None) for one in data["checks"]]),
            (
                "outcomes",
                lambda data: data["conditions"]["p0"]["greedy"].update(interval=[0, 1]),
            ),
            ("outcomes", lambda data: data["conditions"].pop("p0")),
            ("outcomes", lambda data: [one.pop("scores") for one in outcomes(data)]),
            ("outcomes", lambda data: data.update(confidence=0.5)),
            ("spec", lambda data: data.update(score="greedy")),
            ("spec", lambda data: data.update(answers="unseen")),
            ("spec", lambda data: data.update(title="another")),
            ("spec", lambda data: data.update(any_of_k=[8, 16])),
            ("spec", lambda data: data["task"].update(name="another")),
            ("spec", lambda data: data["task"].update(seed=6)),
            ("verdict", lambda data: data.update(required=[])),
            ("verdict", lambda data: data["required"][0].update(verdict="FAIL")),
            ("verdict", lambda data: data.update(reasons=["none"])),
            ("verdict", lambda data: data["criteria"][0].update(verdict="NOT MEASURED")),
            ("ledger", lambda data: data.pop("ledger")),
            ("ledger", lambda data: data["ledger"].update(heads=[])),
            ("ledger", lambda data: data["ledger"].update(lines=1)),
            ("ledger", lambda data: data["ledger"].update(spent=0.0)),
            ("ledger", lambda data: data["ledger"].update(share=0.0)),
            ("ledger", lambda data: data["hashes"].update(receiver="0" * 64)),
            ("ledger", lambda data: data["hashes"].update(episodes="0" * 64)),
            *[("verdict", of_criterion(name, value)) for name, value in OTHER_RESULTS.items()],
        ],
    )
    def test_the_first_thing_that_does_not_hold_is_named(self, kept, capsys, what, spoil):
        assert kept(spoil) == 7
        assert capsys.readouterr().out.splitlines()[-1].startswith(f"{what}: DOES NOT HOLD: ")

    def test_a_ledger_whose_end_was_cut_off_with_its_head_is_noticed(self, kept, capsys, tmp_path):
        folder = tmp_path / ".lpca" / "ledger"
        ledger = LedgerFile.read(folder)
        ledger.lines.pop()
        ledger.write()
        assert kept() == 7
        assert "lacks lines that the evidence names" in capsys.readouterr().out

    def test_what_is_not_there_is_not_known(self, kept, capsys, tmp_path):
        (tmp_path / ".lpca" / "ledger").rename(tmp_path / "elsewhere")
        assert kept() == 0
        assert "ledger: not known: " in capsys.readouterr().out


def outcomes(data):
    """Every outcome that is kept."""
    return [one for episode in data["episodes"] for one in episode["outcomes"].values()]


def outcome(data):
    """One outcome that is right by scores and by what was said."""
    found = (one["outcomes"]["normal"] for one in data["episodes"])
    return next(one for one in found if one["likelihood"] and one["greedy"])


class TestMergedLedgers:
    def test_a_pass_that_is_no_longer_paid_for_is_named(self, home, tmp_path, capsys):
        one, two = tmp_path / "one", tmp_path / "two"
        for folder in (one, two):
            shutil.copytree(home / ".lpca" / "ledger", folder)
        [looked] = [line for line in LedgerFile.read(one).lines if line.kind == "look"][:1]
        now = LedgerEntry.of(looked.data)
        assert main(["ledger", "merge", str(one), str(two)]) == 0
        for index, folder in enumerate((one, two, two)):
            other = replace(now, packets=tuple(value + index + 1 for value in now.packets))
            with GateLedger.opened(folder, other, 3) as ledger:
                ledger.keep("PASS", "run")
        assert main(["ledger", "merge", str(one), str(two)]) == 7
        shown = capsys.readouterr().out
        assert shown.count("its PASS is no longer paid for") == 1
        assert main(["ledger", "merge", str(one), str(tmp_path / "none")]) == 4
