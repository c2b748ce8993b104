"""Evidence is read as it was written, in this form and the one before, or refused in one line."""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest
from drawn_evidence import CLAIMS, evidence
from gate_project import ROOT

from lpca.base.files import StorageError
from lpca.base.packed import Packed
from lpca.evidence.files import as_read, parse_evidence, read_evidence, write_evidence
from lpca.evidence.json_form import EvidenceError
from lpca.evidence.model import EpisodeOutcome
from lpca.gatespec.claims import parse_claim
from lpca.stats.verdicts import Verdict

RECORDS = sorted((ROOT / "docs" / "experiments").glob("*.json"))
RECORDS = [path for path in RECORDS if "attempts" not in json.loads(path.read_text())]


def test_what_is_written_is_read_back(tmp_path):
    found = parse_evidence(evidence())
    write_evidence(tmp_path / "main-k4.json", found)
    assert read_evidence(tmp_path / "main-k4.json") == found
    held = json.loads((tmp_path / "main-k4.json").read_text())
    assert (held["schema"], held["gate"], held["verdict"]) == (3, "main", "FAIL")


def test_it_is_written_an_episode_at_a_time_as_all_of_it_at_once(tmp_path):
    path, whole = tmp_path / "main-k4.json", parse_evidence(evidence())
    said = {"p0": EpisodeOutcome(True, False, (-1.5, 1 / 3), said='Ö, "a"', slack=math.inf)}
    more = [replace(one, outcomes=said, group="g") for one in whole.episodes]
    for episodes in ((), tuple(more[:1]), Packed(more)):
        found = replace(whole, episodes=episodes)
        write_evidence(path, found)
        assert path.read_text() == json.dumps(found.data) + "\n"
        read = read_evidence(path)
        assert as_read(found) == read
        assert all(one.outcomes["p0"].slack is None for one in read.episodes)
    before = path.read_bytes()
    broken = EpisodeOutcome(True, False, (math.nan,))
    with pytest.raises(ValueError, match="JSON"):
        write_evidence(
            path, replace(whole, episodes=(*more, replace(more[0], outcomes={"p0": broken})))
        )
    assert path.read_bytes() == before, "not a part of it"


def test_claims_are_typed_and_a_bound_without_end_stays_infinite():
    found = {one.id: one for one in parse_evidence(evidence()).criteria}
    assert {name: one.claim for name, one in found.items()} == {
        name: parse_claim(text) for name, text in CLAIMS.items()
    }
    assert found["open_ended"].interval.high == math.inf
    assert found["open_ended"].estimate is None


OLDER = [path for path in RECORDS if "schema" not in json.loads(path.read_text())]


@pytest.mark.parametrize("path", OLDER, ids=lambda path: path.stem)
def test_the_form_of_before_reads_as_what_it_held(path):
    held = json.loads(path.read_text())
    found = read_evidence(path)
    assert (found.gate, str(found.verdict), found.k) == (held["gate"], held["verdict"], held["k"])
    assert [one.text for one in found.criteria] == [one["claim"] for one in held["criteria"]]
    assert [one.claim for one in found.criteria] == [
        parse_claim(one.text) for one in found.criteria
    ]
    for name, numbers in held["conditions"].items():
        assert found.conditions[name].likelihood.successes == numbers["likelihood"]["successes"]
    for kept, episode in zip(found.episodes, held["episodes"], strict=True):
        greedy = {name: outcome["greedy"] for name, outcome in episode["outcomes"].items()}
        assert {name: outcome.greedy for name, outcome in kept.outcomes.items()} == greedy
    assert found.codec.recipe == (held["codec"].get("recipe") or held["codec"]["config"])
    assert parse_evidence(found.data) == found, "in this form it is the same"


def broken(*path, to=None):
    """Evidence with one value changed, or left out."""
    held = copy.deepcopy(evidence())
    place = held
    for step in path[:-1]:
        place = place[step]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return held


@pytest.mark.parametrize(
    ("held", "says"),
    [
        (broken("receiver"), "receiver is missing"),
        (broken("k", to="four"), "k is 'four'; allowed: a whole number"),
        (broken("k", to=True), "k is True; allowed: a whole number"),
        (broken("verdict", to="GOOD"), "verdict is 'GOOD'; allowed: PASS, FAIL, INCONCLUSIVE"),
        (broken("score", to="luck"), "score is 'luck'; allowed: likelihood, greedy"),
        (
            broken("conditions", "p0", "likelihood", "interval", to=[0.1]),
            "conditions.p0.likelihood.interval is [0.1]; allowed: [low, high]",
        ),
        (broken("conditions", "p0", "n", to=1.5), "conditions.p0.n is 1.5; allowed: a whole"),
        (broken("criteria", 2, "table", to=[1]), "criteria[2].table is [1]; allowed: an object"),
        (
            broken("criteria", 2, "claim_parts", "kind", to="guess"),
            "criteria[2].claim_parts.kind is 'guess'; allowed: difference, equivalence",
        ),
        (broken("checks", 0, "passed", to="yes"), "checks[0].passed is 'yes'; allowed: true or"),
        (broken("codec", "history", to=3), "codec.history is 3; allowed: a list"),
        (broken("schema", to=7), "schema is 7; allowed: 3, 2, or format 1"),
        (broken("checks"), "no evidence; allowed: files of .lpca/evidence/"),
        ([1, 2], "no evidence; allowed: files of .lpca/evidence/"),
    ],
)
def test_what_is_damaged_is_named_with_file_place_value_and_what_is_allowed(held, says, tmp_path):
    path = tmp_path / "main-k4.json"
    path.write_text(json.dumps(held))
    with pytest.raises(EvidenceError) as error:
        read_evidence(path)
    assert str(error.value).startswith(f"{path}: {says}")
    assert "\n" not in str(error.value)


def test_a_value_of_any_length_is_shown_in_part():
    with pytest.raises(EvidenceError) as error:
        parse_evidence(broken("title", to=["\x1b[31m" * 10_000]))
    assert len(str(error.value)) < 200
    assert str(error.value).isprintable()


def test_a_file_that_cannot_be_read_is_an_error_of_storage(tmp_path):
    (tmp_path / "cut.json").write_text('{"schema": 2,')
    for name in ("cut.json", "none.json"):
        with pytest.raises(StorageError, match=name):
            read_evidence(tmp_path / name)


def test_what_a_later_version_adds_is_passed_over():
    held = evidence() | {"weather": "fine"}
    assert parse_evidence(held) == parse_evidence(evidence())


def test_an_invalid_gate_says_so():
    found = parse_evidence(evidence(verdict="INVALID"))
    assert found.is_invalid
    assert found.verdict is Verdict.INVALID


def test_evidence_is_read_without_torch():
    code = "import sys, lpca.evidence; assert not {'torch', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
