"""Runs that write Allure results: alone, with workers, twice; each says the same of itself."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from allure_project import GATES, AllureProject

STATUSES = {
    "The verdict on base": "passed",
    "The verdict on wrong": "failed",
    "The verdict on close": "unknown",
    "The verdict on unread": "broken",
}


@pytest.fixture
def project(pytester, monkeypatch, lpca_cache):
    return AllureProject(pytester, monkeypatch, lpca_cache)


def numbers(results):
    return {
        key: {p["name"]: p["value"] for p in result["parameters"] if p.get("excluded")}
        for key, result in results.items()
    }


def statuses(results):
    return {key: result["status"] for key, result in results.items()}


def test_two_runs_and_one_with_workers_are_one_history_without_duplicates(project):
    first = project.report("alone")
    spec = project.path / "gate_specs.yaml"
    spec.write_text(spec.read_text().replace("n: 60", "n: 64"))
    second = project.report("workers", "-n", "2", in_process=False)
    assert first.ret == second.ret == 7
    alone, workers = project.results("alone"), project.results("workers")

    passed = first.parseoutcomes()
    tests = sum(passed.get(how, 0) for how in ("passed", "failed", "skipped", "errors"))
    for folder, results in (("alone", alone), ("workers", workers)):
        assert len(project.files(folder, "-result.json")) == len(results), "one result per history"
        assert len(results) == tests + len(STATUSES), "one per test and one per gate"
    assert set(alone) == set(workers)
    assert statuses(alone) == statuses(workers)
    before, after = numbers(alone), numbers(workers)
    (criterion,) = (key for key, one in alone.items() if "text_hurts" in one["fullName"])
    assert before[criterion]["n"] == "60"
    assert after[criterion]["n"] == "64"
    assert before[criterion].keys() == after[criterion].keys()

    by_name = {one["name"]: one for one in workers.values()}
    assert {name: by_name[name]["status"] for name in STATUSES} == STATUSES
    for folder in ("alone", "workers"):
        names = Counter(path.name for path in project.files(folder, ""))
        described = ("categories.json", "environment.properties", "executor.json")
        assert [names[name] for name in described] == [1, 1, 1]
    executor = json.loads((project.path / "workers" / "executor.json").read_text())
    assert executor["buildName"] == f"run {project.evidence('base')['run'][:8]}"
    assert "wrong: FAIL, close: INCONCLUSIVE, unread: INVALID" in executor["reportName"]
    attached = [one["name"] for one in by_name["The verdict on wrong"]["attachments"]]
    assert attached == ["the gate at a glance", "evidence", "episodes", "prompts as B saw them"]
    steps = [step["name"] for step in by_name["The verdict on wrong"]["steps"]]
    assert steps == ["load the receiver", "evaluate", "check", "decide"]
    containers = [json.loads(p.read_text()) for p in project.files("workers", "-container.json")]
    shown = {one["name"] for c in containers for one in c.get("befores", [])}
    assert not shown & {"lpca_runner", "gate_evidence", "criterion_result", "leak_result"}


def test_a_gate_shown_beside_another_keeps_its_own_verdict(project):
    title = "    title: The task is valid\n"
    project.write(GATES.replace(title, f"{title}    beside: [wrong]\n"))
    assert project.report("results", "-m", "base").ret == 0
    by_name = {one["name"]: one for one in project.results("results").values()}
    assert by_name["The verdict on base"]["status"] == "passed"
    wrong = by_name["The verdict on wrong"]
    assert wrong["status"] == "failed"
    assert wrong["statusDetails"]["message"].startswith("FAIL: ")
    assert "shown beside the others; sets no exit code" in wrong["description"]


def test_a_broken_fixture_is_broken_and_its_gate_not_measured(project):
    (project.path / "gates" / "conftest.py").write_text(
        "import pytest\n\n\n@pytest.fixture(autouse=True)\n"
        "def broken():\n    raise RuntimeError('no')\n"
    )
    assert project.report("results", "-m", "base").ret == 8
    results = project.results("results").values()
    verdicts = [one for one in results if one["name"] == "The verdict on base"]
    assert [one["status"] for one in verdicts] == ["unknown"]
    assert verdicts[0]["statusDetails"]["message"].startswith("NOT MEASURED: ")
    others = [one for one in results if one not in verdicts]
    assert {one["status"] for one in others} == {"broken"}
    assert all(one["statusDetails"]["message"].startswith("BROKEN: ") for one in others)


def test_what_cannot_be_loaded_is_not_measured(project):
    model = project.path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}')
    ran = project.report("results", "-m", "base", "--receiver", "./model")
    assert ran.ret == 4
    assert "loading receiver" not in str(ran.stderr)  # its tokenizer was asked before
    shown = [one for one in project.results("results").values() if one["status"] != "skipped"]
    assert [one["status"] for one in shown] == ["unknown", "unknown"]  # one test, and the verdict
    assert all("./model: cannot be loaded" in one["statusDetails"]["message"] for one in shown)


def test_prompts_and_times_are_in_the_evidence(project):
    assert project.report("results", "-m", "base").ret == 0
    evidence = project.evidence("base")
    assert set(evidence["seconds"]) == {"load", "encode", "evaluate", "check", "decide"}
    shown = {(one["condition"], one["seed"]): one for one in evidence["prompts"]}
    assert len(evidence["prompts"]) == len(shown) == 4, "two episodes under each of two conditions"
    for episode in evidence["episodes"][:2]:
        for condition, outcome in episode["outcomes"].items():
            prompt = shown[condition, episode["seed"]]
            assert prompt["prompt_sha256"] == outcome["prompt_sha256"]
            assert (episode["message"] in prompt["text"]) == (condition == "p1")


def test_collecting_writes_nothing(project):
    project.report("results", "--collect-only", "-q")
    folder = project.path / "results"
    assert not folder.exists() or not list(folder.iterdir())


def test_another_test_of_the_run_keeps_what_allure_says_of_it(project):
    (project.path / "gates" / "test_own.py").write_text("def test_own():\n    assert 0, 'mine'\n")
    project.report("results", "-m", "base or not (wrong or close or unread)")
    (own,) = (one for one in project.results("results").values() if one["name"] == "test_own")
    assert own["status"] == "failed"
    assert "mine" in own["statusDetails"]["message"]
