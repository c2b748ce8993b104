"""Stored evidence is believed as far as its outcomes come to the same once more."""

from __future__ import annotations

import copy
import json

import pytest
from gate_project import ROOT
from made_evidence import evidence, outcomes, signed

from lpca.base import __version__
from lpca.base.hashing import CONTENT, with_hash
from lpca.base.registry import declared
from lpca.commands.cli import main
from lpca.evidence.json_form import EvidenceError
from lpca.gatespec.load import load_spec
from lpca.judge import age
from lpca.judge.age import NAMED
from lpca.judge.stored import read_stored
from lpca.stats.verdicts import Verdict

UNDECIDED = outcomes(normal=40, shuffle=30)
RECORDS = sorted((ROOT / "docs" / "experiments").glob("*-attempt-0[3-9].json"))


def written(held):
    """As this version writes it."""
    made = {**held, "schema": 3, "versions": {"lpca": __version__}, "catalogue": NAMED}
    noise = {"noise": 1e-4, "undecided": 0}
    conditions = {name: {**numbers, **noise} for name, numbers in held["conditions"].items()}
    return with_hash({**made, "conditions": conditions})


@pytest.fixture
def read(tmp_path):
    """Saves evidence, after it was spoilt, and reads it again."""

    def stored(held, spoil=lambda held: None, by_spec=True, **about):
        held = copy.deepcopy(held)
        spoil(held)
        spec = load_spec(str(tmp_path / "made_specs.yaml")) if by_spec else None
        path = tmp_path / "main-k4.json"
        path.write_text(json.dumps(held), encoding="utf-8")
        return read_stored(path, spec, **about)

    return stored


def passed(held):
    """The verdict is called PASS, everywhere it stands."""
    held["verdict"] = "PASS"
    for one in held["criteria"]:
        one["verdict"] = "PASS"


def hashed_anew(spoil):
    """An edit by somebody who makes the hash anew."""

    def spoilt(held):
        spoil(held)
        held[CONTENT] = with_hash(held)[CONTENT]

    return spoilt


@pytest.mark.parametrize("by_spec", [True, False])
@pytest.mark.parametrize("columns", [None, UNDECIDED, outcomes(p1=25), outcomes(normal=1)])
def test_what_a_run_wrote_is_read_with_its_verdict(read, tmp_path, columns, by_spec):
    held = evidence(tmp_path, columns)
    assert read(written(held), by_spec=by_spec).verdict == held["verdict"]


def test_where_a_check_failed_it_is_invalid_still(read, tmp_path):
    held = written(evidence(tmp_path, failed="null_is_zero"))
    assert read(held).verdict is Verdict.INVALID


@pytest.mark.parametrize("by_spec", [True, False])
def test_another_verdict_is_found_though_the_hash_was_made_anew(read, tmp_path, by_spec):
    held = written(evidence(tmp_path, UNDECIDED))
    assert held["verdict"] == "INCONCLUSIVE"
    for spoil in (passed, hashed_anew(passed)):
        with pytest.raises(EvidenceError, match="is 'PASS'; it comes to 'INCONCLUSIVE'"):
            read(held, spoil, by_spec)


NOW = age.catalogue_number()


@pytest.fixture
def younger(monkeypatch):
    """As if a check had been added since."""
    told = {**declared("lpca.validity.checks"), "younger": {"since": NOW + 1}}
    monkeypatch.setattr(age, "declared", lambda package: told)


def test_before_a_check_was_added_evidence_could_not_have_it(read, tmp_path, younger, capsys):
    held, told = written(evidence(tmp_path)), []
    assert read(held, tell=told.append).verdict == held["verdict"]
    (line,) = told
    assert line.endswith(": measured before younger existed; decided again from its outcomes")
    with pytest.raises(EvidenceError, match="not written by the code as it stands"):
        read(held, present=True)
    main(["verify", str(tmp_path / "main-k4.json"), "--spec", str(tmp_path / "made_specs.yaml")])
    count = len(declared("lpca.validity.checks"))
    assert f"validity checks: not known: {count} were carried out, 0 failed, before younger" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (NOW + 1, "not carried out: younger"),
        (NAMED, "not carried out: outcomes_traced"),
        (NAMED - 1, "catalogue is 1; allowed: from 2 on"),
        (None, "not carried out: outcomes_traced"),
    ],
)
def test_evidence_owes_the_checks_of_the_catalogue_that_it_names(
    read, tmp_path, younger, number, says
):
    def spoil(held):
        held["catalogue"] = number
        if number != NOW + 1:
            held["checks"] = [one for one in held["checks"] if one["id"] != "outcomes_traced"]

    with pytest.raises(EvidenceError, match=says):
        read(written(evidence(tmp_path)), hashed_anew(spoil))


def test_what_this_version_wrote_says_its_noise(read, tmp_path):
    def spoil(held):
        for numbers in held["conditions"].values():
            del numbers["noise"], numbers["undecided"]

    with pytest.raises(EvidenceError, match="no noise is said under p0, p1, "):
        read(written(evidence(tmp_path)), hashed_anew(spoil))


def test_undecided_outcomes_without_noise_contradict_themselves(read, tmp_path):
    def spoil(held):
        next(iter(held["episodes"][0]["outcomes"].values()))["undecided"] = 1
        for numbers in held["conditions"].values():
            del numbers["noise"], numbers["undecided"]

    with pytest.raises(EvidenceError, match="no condition says how much noise"):
        read(written(evidence(tmp_path)), hashed_anew(spoil))


@pytest.mark.parametrize("by_spec", [True, False])
@pytest.mark.parametrize(("number", "value"), [("estimate", 0.125), ("n", 7)])
def test_another_number_is_found_though_the_hash_was_made_anew(
    read, tmp_path, number, value, by_spec
):
    held = written(evidence(tmp_path))
    with pytest.raises(EvidenceError, match=f"{number} is {value}; it comes to"):
        read(held, hashed_anew(lambda held: held["criteria"][0].update({number: value})), by_spec)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda held: held.update(title="other"), "spec.title is 'other'"),
        (lambda held: held["checks"].pop(), "not carried out: "),
        (lambda held: held["conditions"]["p0"]["likelihood"].update(successes=1), "p0 is said to"),
        (
            lambda held: held["conditions"]["p0"]["likelihood"].update(interval=[0.0, 0.9]),
            "p0.likelihood",
        ),
        (
            lambda held: held["episodes"][0]["outcomes"]["p0"].update(likelihood=False),
            "its outcomes are not those it was written with",
        ),
        (lambda held: held["episodes"][0]["outcomes"]["p0"].update(scores=[]), "not kept"),
        (lambda held: held["episodes"].pop(), "its outcomes are not"),
        (lambda held: held["criteria"][0].update(p_pass=0.5), "above_p0.p_pass is 0.5"),
        (lambda held: held["criteria"].pop(), "its criteria are"),
        (lambda held: held.update(required=[]), "required"),
        (lambda held: held["hashes"].update(spec="0" * 64), "is not the spec that was loaded"),
        (lambda held: held["task"].update(seed=6), "task.seed is 6; it comes to 5"),
    ],
)
def test_what_differs_is_named_though_the_hash_was_made_anew(read, tmp_path, spoil, says):
    with pytest.raises(EvidenceError) as error:
        read(written(evidence(tmp_path)), hashed_anew(spoil))
    assert says in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'main-k4.json'}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda held: held.update(run="another"),
        lambda held: held["machine"].update(platform="another"),
        lambda held: held["episodes"][3].update(message="another"),
        lambda held: held.update(written="2027-01-01T00:00:00+00:00"),
        lambda held: held.pop(CONTENT),
    ],
)
def test_what_follows_from_nothing_else_is_in_the_hash(read, tmp_path, spoil):
    held = written(evidence(tmp_path))
    with pytest.raises(EvidenceError, match="its content is not what was written"):
        read(held, spoil)


def test_evidence_of_before_has_no_hash_and_is_decided_again(read, tmp_path):
    told = []
    held = evidence(tmp_path, UNDECIDED)
    assert read(held, by_spec=False, tell=told.append).verdict is Verdict.INCONCLUSIVE
    (line,) = told
    assert "without a hash of its content; decided again" in line
    with pytest.raises(EvidenceError, match="it comes to 'INCONCLUSIVE'"):
        read(held, passed, by_spec=False)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_every_attempt_that_was_recorded_before_comes_to_its_verdict_again(path):
    assert read_stored(path).verdict == json.loads(path.read_text())["verdict"]


def test_one_that_contradicts_itself_in_what_cannot_be_decided_is_one_line(read, tmp_path):
    held = signed(evidence(tmp_path))
    held["episodes"] = [{**one, "seed": 1} for one in held["episodes"]]
    with pytest.raises(EvidenceError) as error:
        read(signed(held), by_spec=False)
    assert "it cannot be decided again: episode 2: group of seed 1 is" in str(error.value)
