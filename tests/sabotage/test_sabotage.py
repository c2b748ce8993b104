"""Every planted fault is caught by the check that names it, and no sound run is accused."""

from __future__ import annotations

import ast
from pathlib import Path
from random import Random

import pytest

import lpca
from lpca.checker.check import RULES
from lpca.commands.cli import main
from lpca.sabotage.catalogue import SABOTAGES, Sabotage, SoundRun, sound_run
from lpca.sabotage.faulty_run import Result, SoundParts
from lpca.validity.catalogue import CHECKS

PACKAGE = Path(lpca.__file__).parent


LEDGER = {"ledger_intact", "checkpoints_accounted", "looks_accounted"}
ALSO_READ = {
    "subset_in_code": ("null",),
    "failures_touched_up": ("null", "random", "shuffle"),
}
"""Conditions that a fault itself reads, or spoils: under normal alone it has few failures."""

TRAINS_LONG = {"label_in_prefix"}
"""A fault whose channel is trained for ten seconds: it is planted in the slow suite."""


def drawn() -> set[str]:
    """For each check a fault that it must catch, drawn by a seed; all of them in the slow suite."""
    names, found, covered = sorted({*SABOTAGES} - TRAINS_LONG), set[str](), set[str]()
    for name in Random("sabotages").sample(names, len(names)):
        caught_by = {*SABOTAGES[name].caught_by, SABOTAGES[name].verdict}
        if not caught_by <= covered:
            covered |= caught_by
            found.add(name)
    return found


FAST = drawn()


def slow(number: int) -> object:
    """The first two have two strata and two training seeds; the third trains a codec of its own."""
    return pytest.param(number, marks=pytest.mark.slow)


def why(run: SoundRun) -> tuple[object, ...]:
    return run.task_seed, run.answers, run.options, run.n, run.result.details


def brief(one: Sabotage) -> list[str] | None:
    """The conditions that its checks read, and two to hold them against; None: all of the gate.

    Criteria read all conditions, and a ledger keeps which there are.
    """
    if one.verdict != "INVALID" or LEDGER & one.caught_by:
        return None
    needed = {name for check in one.caught_by for name in CHECKS[check].needs}
    return sorted({"p0", "p1", "normal", *needed, *ALSO_READ.get(one.name, ())})


def decided(parts: SoundParts, one: Sabotage, checks: frozenset[str] | None = None) -> Result:
    with parts.run() as run:
        run.conditions, run.checks = brief(one), checks
        one.plant(run)
        return run.decide()


@pytest.mark.parametrize(
    "sabotage",
    [
        pytest.param(one, marks=[] if name in FAST else [pytest.mark.slow], id=name)
        for name, one in SABOTAGES.items()
    ],
)
def test_a_planted_fault_is_caught_by_what_names_it(parts: SoundParts, sabotage: Sabotage) -> None:
    """Where a check must catch it, what the check reads suffices; criteria read all of a gate."""
    result = decided(parts, sabotage, sabotage.caught_by if brief(sabotage) else None)
    assert sabotage.is_caught(result), result
    assert result.verdict != "PASS"


@pytest.mark.slow
@pytest.mark.parametrize(
    "sabotage", [one for one in SABOTAGES.values() if brief(one)], ids=lambda one: one.name
)
def test_no_other_check_accuses_a_planted_fault(parts: SoundParts, sabotage: Sabotage) -> None:
    result = decided(parts, sabotage)
    assert sabotage.is_caught(result), result


@pytest.mark.slow
@pytest.mark.parametrize("sabotage", SABOTAGES.values(), ids=lambda one: one.name)
def test_a_planted_fault_is_caught_in_bfloat16_too(
    coarse_parts: SoundParts, sabotage: Sabotage
) -> None:
    """By what names it, and no other check accuses it."""
    result = decided(coarse_parts, sabotage)
    assert sabotage.is_caught(result), result


@pytest.mark.slow
def test_the_sound_run_passes_in_bfloat16(coarse_parts: SoundParts) -> None:
    result = coarse_parts.warm_up()
    assert (result.verdict, result.details) == ("PASS", ())


def test_a_check_that_is_left_out_makes_a_gate_invalid(parts: SoundParts) -> None:
    with parts.run() as run:
        run.checks = ()
        assert run.decide().verdict == "INVALID"


def test_the_sound_run_passes(parts: SoundParts) -> None:
    result = parts.warm_up()
    assert (result.verdict, result.details) == ("PASS", ())


def test_a_sound_run_has_the_first_codec_unless_another_is_asked_for(parts: SoundParts) -> None:
    for seed, arguments in ((0, ()), (1, (1,))):
        with parts.run(*arguments) as run:
            assert run.codec.identity.seed == seed


def test_where_shuffle_is_missing_nothing_else_is(parts: SoundParts) -> None:
    with parts.run() as run:
        sound = run.gate
        SABOTAGES["shuffle_missing"].plant(run)
        named = [one.text for one in sound.criteria]
        assert [one.text for one in run.gate.criteria] == [t for t in named if "shuffle" not in t]
        assert {*sound.conditions} - {*run.gate.conditions} == {"shuffle"}


def test_a_sabotage_leaves_nothing_behind(parts: SoundParts) -> None:
    for one in list(SABOTAGES.values())[:3]:
        decided(parts, one)
    with parts.run() as run:
        assert run.decide().verdict == "PASS"


@pytest.mark.parametrize("number", [*range(2), *(slow(number) for number in range(2, 50))])
def test_fifty_sound_runs_are_not_accused(parts: SoundParts, number: int) -> None:
    run = sound_run(parts, number)
    assert not run.result.fired, why(run)
    assert run.result.verdict != "REFUSED", "it never ran"


def test_every_check_catches_something() -> None:
    named = {name for one in SABOTAGES.values() for name in one.caught_by}
    idle = {"prefix_used"}  # a receiver that ignores vectors is planted in the tests of the checks
    assert set(CHECKS) - named == idle
    assert named & {rule.name for rule in RULES}


def test_names_are_unique_and_explained() -> None:
    every = SABOTAGES.values()
    assert len({one.fault for one in every}) == len(SABOTAGES) >= 50
    assert all(one.fault and one.caught_by and one.plant.__doc__ for one in every)
    assert {one.verdict for one in every} == {"INVALID", "FAIL", "REFUSED"}


@pytest.mark.parametrize(
    ("verdict", "fired", "caught"),
    [
        ("FAIL", set(), True),
        ("INCONCLUSIVE", set(), True),
        ("PASS", set(), False),
        ("INVALID", {"null_is_zero"}, False),
        ("FAIL", {"null_is_zero"}, False),
        ("REFUSED", set(), False),
    ],
)
def test_what_a_criterion_finds_must_not_pass_and_no_check_may_fire(
    verdict: str, fired: set[str], caught: bool
) -> None:
    magic = SABOTAGES["magic_prompt"]
    named = frozenset({"normal_above_shuffle", "normal_above_p0"})
    assert magic.is_caught(Result(verdict, fired=frozenset(fired), not_passed=named)) is caught
    other = Result(verdict, fired=frozenset(fired), not_passed=frozenset({"normal_above_p0"}))
    assert not magic.is_caught(other)


def test_no_other_room_knows_of_sabotage() -> None:
    for path in PACKAGE.rglob("*.py"):
        if "sabotage" in path.relative_to(PACKAGE).as_posix():
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            names = [alias.name for alias in node.names]
            imported = [*names, getattr(node, "module", None) or ""]
            assert not [name for name in imported if "sabotage" in name], path


def test_the_command_prints_the_matrix(
    parts: SoundParts,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("lpca.sabotage.faulty_run.SoundParts", lambda *_: parts)
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path))
    page = tmp_path / "matrix.md"
    names = "null_is_decoded,point_estimates,magic_prompt"
    assert main(["sabotage", "--only", names, "--markdown", str(page)]) == 0
    shown = capsys.readouterr().out
    assert "3 of 3 planted faults caught" in shown
    for name in ("null_is_zero", "point-estimate", "normal_above_shuffle"):
        assert name in shown
        assert f"`{name}`" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "nothing"], "--only nothing: no such sabotage; allowed: "),
        (["--sound", "-1"], "--sound -1: allowed: 0 or more"),
    ],
)
def test_a_wrong_argument_is_a_usage_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sabotage", *arguments]) == 4
    assert message in capsys.readouterr().err
