"""The pytest plugin: a gate spec becomes tests, and a run of them a verdict."""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lpca.base import supervise
from lpca.base.arguments import (
    RECEIVER,
    add_loading,
    add_walled,
    check_walled,
    loading,
    parse_codec,
    parse_ks,
    parse_seed,
    parse_seeds,
    walled,
)
from lpca.base.errors import RequestError, RunError, UserError, shown_error
from lpca.base.files import cache_dir, clear_unfinished, scratch_folder
from lpca.base.pytest_paths import refuse_moved
from lpca.evidence.json_form import to_data
from lpca.evidence.model import Evidence
from lpca.evidence.runs import EVIDENCE, RUNS
from lpca.gate.plan import (
    LEDGER,
    SPLITS_READ,
    GateKey,
    evidence_folder,
    label_of,
    refuse_drawn_views,
    sound_spec,
)
from lpca.gate.recipe import refuse_drawn
from lpca.gatespec.model import Spec
from lpca.pytest_plugin import verdicts
from lpca.pytest_plugin.cases import (
    FIXTURES,
    Case,
    case_of,
    cases,
    is_first,
    keys_of,
    refuse_absent,
    refuse_undeclared,
    refuse_unknown_marks,
)
from lpca.pytest_plugin.github import github_reporter
from lpca.pytest_plugin.supervisor import LINK, spec_path
from lpca.pytest_plugin.supervisor import pytest_cmdline_main as pytest_cmdline_main
from lpca.pytest_plugin.verdicts import VerdictReporter
from lpca.stats.verdicts import Verdict

if TYPE_CHECKING:
    from lpca.channel.side import Wall
    from lpca.gate.runner import Runner
    from lpca.pytest_plugin.progress import Display

SPEC = pytest.StashKey[Spec]()
KS = pytest.StashKey[Sequence[int]]()
SEEDS = pytest.StashKey[tuple[int, ...]]()
ASKED = pytest.StashKey[Mapping[GateKey, Sequence[str]]]()
RUN = pytest.StashKey[str]()
KEPT = pytest.StashKey[Path]()
SESSION = pytest.StashKey[pytest.Session]()
COMMAND = pytest.StashKey[Sequence[str]]()
UNREADABLE: pytest.StashKey[RunError | None] = pytest.StashKey()
DISPLAY: pytest.StashKey[Display] = pytest.StashKey()


class CriterionWarning(UserWarning):
    """A criterion that only warns does not hold, or could not be read."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of a gate run."""
    group = parser.getgroup("lpca", "latent channel gates")
    group.addoption(
        "--k", metavar="K[,K]", help="numbers of latents, e.g. 4,8; default: the gate's own, else 4"
    )
    group.addoption("--gate-spec", metavar="FILE", help="default: gate_specs.yaml")
    group.addoption(
        "--receiver",
        default=RECEIVER,
        help="smollm2-135m, stub, a folder, a .gguf file, or a Hugging Face id, org/name@revision",
    )
    add_loading(group.addoption)
    group.addoption(
        "--checkpoint",
        metavar="FOLDER",
        help="a codec checkpoint, or org/name@revision of the Hugging Face Hub; it must fit",
    )
    group.addoption(
        "--codec",
        metavar="MODULE:FACTORY",
        help="a codec of your own: factory(receiver, k) returns it; see docs/own-codec.md",
    )
    group.addoption(
        "--packets",
        metavar="FILE",
        help="packets made elsewhere, for the lines of lpca views; see docs/packets.md",
    )
    add_walled(group.addoption)
    group.addoption("--retrain", action="store_true", help="train the codec anew")
    group.addoption("--train-seed", type=int, metavar="SEED", help="seed of the codec's training")
    group.addoption(
        "--train-seeds",
        metavar="S,S[,S]",
        help="train the codec at each of these seeds; every one must hold, e.g. 0,1,2",
    )
    group.addoption("--batch-size", type=int, default=32, metavar="N", help="episodes at a time")
    group.addoption(
        "--split",
        default="test",
        choices=SPLITS_READ,
        help="validation: explore; everything is shown, nothing is decided or counted",
    )
    group.addoption("--lpca-verbose", action="store_true", help="every number behind the verdicts")
    group.addoption(
        "--time-limit",
        type=float,
        metavar="MINUTES",
        help="end a run whose tests take longer, as NOT MEASURED; default: none",
    )
    group.addoption("--evidence", default=EVIDENCE, metavar="FOLDER", help="where the JSON goes")


def pytest_configure(config: pytest.Config) -> None:
    """Load and check the spec, register its gates as markers, and get ready to report."""
    asked, seeds = config.getoption("--k"), config.getoption("--train-seeds")
    given = config.invocation_params
    refuse_moved(config.rootpath, given.dir, [*map(str, given.args)])
    try:
        config.stash[SPEC] = spec = sound_spec(spec_path(config))
        config.stash[KS] = () if asked is None else parse_ks(asked)
        config.stash[SEEDS] = () if seeds is None else parse_seeds(seeds)
        _check_options(config.option)
        if seeds is not None:
            refuse_drawn(spec)
        if config.option.packets is not None:
            refuse_drawn_views(spec)
        if not hasattr(config, "workerinput") and not config.option.collectonly:
            refuse_absent(config.option, _folders(config))
    except UserError as error:
        # what the user asked for wrongly ends the run before it begins, with one line
        raise pytest.UsageError(str(error)) from None
    for name, gate in spec.gates.items():
        config.addinivalue_line("markers", f"{name}: {gate.title}")
    worker: Mapping[str, Any] | None = getattr(config, "workerinput", None)
    if worker is not None:
        config.stash[RUN], config.stash[COMMAND] = worker["lpca_run"], worker["lpca_command"]
        config.stash[KEPT] = Path(worker["lpca_kept"])
        supervise.join(worker["lpca_supervisor"])
        _report_to_allure(config, None)
        return
    config.stash[RUN], config.stash[KEPT] = _place_of_run(config)
    config.stash[COMMAND] = ["pytest", *map(str, config.invocation_params.args)]
    reporter = VerdictReporter(
        spec,
        _evidence_folder(config),
        config.stash[RUN],
        config.option.lpca_verbose,
        [*config.stash[SEEDS]],
        config.stash[KEPT],
        config.stash.get(LINK, None),
    )
    config.pluginmanager.register(reporter, "lpca-verdicts")
    _report_to_allure(config, reporter)
    github = github_reporter(reporter, config.invocation_params.dir, os.environ)
    if github is not None:
        config.pluginmanager.register(github, "lpca-github")


def _place_of_run(config: pytest.Config) -> tuple[str, Path]:
    """The run's id, and a folder for its evidence alone: in another's run its own is replaced."""
    supervisor = config.stash.get(LINK, None)
    if supervisor is not None:
        return str(supervisor.told["run"]), Path(supervisor.told["folder"])
    stack = ExitStack()
    folder = stack.enter_context(scratch_folder(Path(tempfile.gettempdir()) / "lpca-run"))
    config.add_cleanup(stack.close)
    return uuid.uuid4().hex, folder


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Tell the supervisor, when all is done, what the run came to."""
    supervisor, session = config.stash.get(LINK, None), config.stash.get(SESSION, None)
    if supervisor is not None and session is not None:
        supervisor.say(finished=int(session.exitstatus))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Keep the session, whose exit status is known at its end; refuse a gate that is none."""
    config = session.config
    config.stash[SESSION] = session
    if not hasattr(config, "workerinput"):
        # now every plugin has registered its markers
        known = (line.split(":")[0].split("(")[0].strip() for line in config.getini("markers"))
        refuse_unknown_marks(config.option.markexpr, set(known), config.stash[SPEC])


def _report_to_allure(config: pytest.Config, reporter: VerdictReporter | None) -> None:
    """Where Allure results are asked for; `reporter` is None in an xdist worker."""
    if config.getoption("allure_report_dir", None):
        from lpca.pytest_plugin.allure_plugin import register

        spec, run = config.stash[SPEC], config.stash[RUN]
        register(config, spec, config.stash[KEPT], run, reporter)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker which run it belongs to."""
    node.workerinput["lpca_run"] = node.config.stash[RUN]
    node.workerinput["lpca_command"] = node.config.stash[COMMAND]
    node.workerinput["lpca_kept"] = str(node.config.stash[KEPT])
    supervisor = node.config.stash.get(LINK, None)
    node.workerinput["lpca_supervisor"] = supervisor and dict(supervisor.told)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:
    """Declare the tests that workers have collected, all of them the same."""
    config = node.config
    spec, ks, seeds = (config.stash[key] for key in (SPEC, KS, SEEDS))
    found = [case for kind in FIXTURES.values() for case in cases(spec, ks, kind, seeds)]
    keys = keys_of(ids, found)
    refuse_undeclared(spec, keys.values())
    _reporter(config).declare(keys)


def _reporter(config: pytest.Config) -> VerdictReporter:
    reporter: Any = config.pluginmanager.get_plugin("lpca-verdicts")
    assert isinstance(reporter, VerdictReporter)
    return reporter


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise `criterion` by the spec's criteria and `leak_check` by the validity checks."""
    stash = metafunc.config.stash
    spec, ks, seeds = stash[SPEC], stash[KS], stash[SEEDS]
    for argument, kind in FIXTURES.items():
        if argument in metafunc.fixturenames:
            params = [
                pytest.param(case, id=case.id, marks=getattr(pytest.mark, case.gate))
                for case in cases(spec, ks, kind, seeds)
            ]
            metafunc.parametrize(argument, params)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write on each test which case it is, and keep which criteria the run asks of each gate."""
    found = {item: case for item in session.items if (case := case_of(item))}
    for item, case in found.items():
        item.user_properties += case.properties
    config, asked = session.config, dict[GateKey, Sequence[str]]()
    if not hasattr(config, "workerinput"):
        refuse_undeclared(config.stash[SPEC], (case.key for case in found.values()))
    for key in dict.fromkeys(case.key for case in found.values()):
        own = [criterion.id for criterion in config.stash[SPEC].gates[key.gate].criteria]
        of_gate = [case for case in found.values() if case.key == key]
        chosen = {case.name for case in of_gate if case.kind == "criterion"}
        whole = not _picked_by_hand(config) and (chosen or config.option.lf)
        asked[key] = own if whole else [name for name in own if name in chosen]
    config.stash[ASKED] = asked
    if not hasattr(config, "workerinput"):
        _reporter(config).declare({item.nodeid: case.key for item, case in found.items()})


def _picked_by_hand(config: pytest.Config) -> bool:
    """Whether tests were picked one by one; `--lf` and `-x` leave the verdict as it is."""
    named = any("::" in argument for argument in config.args)
    return bool(named or config.option.keyword or config.option.deselect)


def _share_cores(config: pytest.Config) -> None:
    """Divide torch's threads among the workers that measure at the same time."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    busy = min(workers, len(config.stash[ASKED]))
    if busy > 1:
        import torch

        torch.set_num_threads(max(1, torch.get_num_threads() // busy))


@pytest.fixture(scope="session")
def lpca_runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """What loads, trains and measures, once for the session."""
    from lpca.codec.user_codec import codec_named
    from lpca.gate.evidence import Origin
    from lpca.gate.runner import Options, Runner
    from lpca.pytest_plugin.progress import Display

    config, option = request.config, request.config.option
    options = Options(
        receiver=option.receiver,
        **loading(option),
        # a codec may change the folder that relative paths start from
        checkpoint=Path(option.checkpoint).absolute() if option.checkpoint else None,
        retrain=option.retrain,
        train_seed=option.train_seed,
        train_seeds=config.stash[SEEDS],
        batch_size=option.batch_size,
        cache=cache_dir().absolute(),
        evidence=_evidence_folder(config),
        ledger=config.rootpath / LEDGER,
        kept=config.stash[KEPT],
        runs=config.rootpath / str(option.evidence) / RUNS,
        codec=codec_named(option.codec, _folders(config)) if option.codec else None,
        packets=Path(option.packets).absolute() if option.packets else None,
        split=option.split,
        wall=None if option.in_process else _wall(request.session),
    )
    clear_unfinished([options.cache, config.rootpath / option.evidence / RUNS, options.ledger])
    _share_cores(config)
    config.stash[DISPLAY] = display = Display(config)
    origin = Origin(config.stash[RUN], config.stash[COMMAND])
    runner = Runner(config.stash[SPEC], options, origin, display.console)
    yield runner
    runner.close()


def _wall(session: pytest.Session) -> Wall:
    """How sides of a codec of one's own are kept apart; the run's tests are hidden from them."""
    from lpca.channel.side import Wall

    supervisor = session.config.stash.get(LINK, None)
    own = [Path(str(supervisor.told["folder"]))] if supervisor is not None else []
    tests = dict.fromkeys(item.path for item in session.items)
    return Wall((*tests, *own), **walled(session.config.option))


@pytest.fixture
def gate_evidence(request: pytest.FixtureRequest, lpca_runner: Runner) -> Evidence:
    """The evidence of the gate that the test's criterion or validity check belongs to."""
    case = case_of(request.node)
    if case is None:
        pytest.fail("gate_evidence needs the fixture criterion or leak_check beside it", False)
    evidence = _evidence(request, lpca_runner, case.key)
    found = verdicts.criterion_properties if case.kind == "criterion" else verdicts.check_properties
    request.node.user_properties += found(evidence, case.name)
    return evidence


def _evidence(request: pytest.FixtureRequest, runner: Runner, key: GateKey) -> Evidence:
    """A gate's evidence; what keeps it from being measured is the error of one test, once."""
    config, label = request.config, label_of(*key)
    asked = config.stash[ASKED]
    try:
        with config.stash[DISPLAY].around(request.node):
            if UNREADABLE not in config.stash:
                config.stash[UNREADABLE] = _unreadable(runner, asked)
            if (unreadable := config.stash[UNREADABLE]) is not None:
                raise unreadable
            return runner.evidence(key.gate, key.k, asked[key], seed=key.seed)
    except RunError as error:
        broken = error
    except Exception as error:
        # once with its traceback; the runner tells it from now on
        if is_first(config.stash[KEPT], label):
            raise
        broken = RunError(shown_error(error))
    told = request.node.user_properties
    told.append((verdicts.CAUSE_PROPERTY, str(broken)))
    if broken.is_usage_error:
        told.append((verdicts.USAGE_PROPERTY, "true"))
    # not while it is handled: pytest would show it once more for each error it came from
    if not is_first(config.stash[KEPT], label, str(broken)):
        pytest.skip(f"{label} was not measured: one error says why")
    pytest.fail(str(broken), pytrace=False)


def _unreadable(runner: Runner, asked: Iterable[GateKey]) -> RunError | None:
    """What keeps the receiver from reading the run's episodes, found out once."""
    try:
        runner.refuse_unreadable(asked)
    except RunError as error:
        return error
    return None


@pytest.fixture
def criterion_result(
    request: pytest.FixtureRequest,
    lpca_runner: Runner,
    criterion: Case,
    gate_evidence: Evidence,
) -> Mapping[str, Any]:
    """The criterion's result as JSON has it; an error where the gate is INVALID.

    A criterion that only warns and does not hold is an expected failure, and a warning; so is,
    without a warning, one that does not hold at this k where any of several k suffices and another
    one carries the gate.
    """
    if gate_evidence.is_invalid:
        reasons = "; ".join(gate_evidence.reasons)
        pytest.fail(f"{criterion.gate} is {gate_evidence.verdict}: {reasons}", pytrace=False)
    (found,) = (one for one in gate_evidence.criteria if one.id == criterion.name)
    if found.verdict is not Verdict.PASS and not found.decides:
        label = label_of(f"{criterion.gate} {found.id}", criterion.k, criterion.seed)
        request.node.warn(CriterionWarning(f"{label}: {found.message}"))
        pytest.xfail(found.message)
    if found.verdict is not Verdict.PASS and _carried(request, lpca_runner, criterion.key):
        pytest.xfail(f"{criterion.gate} passes at another k: {found.message}")
    result: Mapping[str, Any] = to_data(found)
    return result


def _carried(request: pytest.FixtureRequest, runner: Runner, of: GateKey) -> bool:
    """Whether the gate takes any of several k, and some k of this run lets it pass at its seed."""
    spec = request.config.stash[SPEC]
    if not spec.gates[of.gate].any_k:
        return False
    by_k = {}
    for key in request.config.stash[ASKED]:
        if (key.gate, key.seed) == (of.gate, of.seed) and key.k is not None:
            found = _evidence(request, runner, key)
            by_k[key.k] = verdicts.GateVerdict(key, found.verdict, "", found)
    return verdicts.family_verdict(spec, spec.gates[of.gate], by_k).verdict is Verdict.PASS


@pytest.fixture
def leak_result(leak_check: Case, gate_evidence: Evidence) -> Mapping[str, Any]:
    """The validity check's result as JSON has it; skipped where it does not apply, or is silent."""
    (found,) = (check for check in gate_evidence.checks if check.id == leak_check.name)
    if found.passed is None:
        pytest.skip(f"could not say: {found.detail}" if found.abstained else found.detail)
    result: Mapping[str, Any] = to_data(found)
    return result


def _check_options(option: argparse.Namespace) -> None:
    """Raise RequestError for an option that is none, or for two that exclude each other."""
    if option.train_seed is not None:
        parse_seed("--train-seed", option.train_seed)
    if option.time_limit is not None and not 0 < option.time_limit < math.inf:
        raise RequestError(f"--time-limit {option.time_limit}: allowed: minutes above 0")
    if option.batch_size < 1:
        raise RequestError(f"--batch-size {option.batch_size}: allowed: 1 or more")
    if option.checkpoint and not Path(option.checkpoint).is_dir():
        from lpca.codec.hub import checkpoint_folder  # it loads torch, which a folder does without

        option.checkpoint = str(checkpoint_folder(option.checkpoint, "--checkpoint"))
    if option.checkpoint and option.retrain:
        raise RequestError("--checkpoint and --retrain: allowed: one of them")
    if option.train_seeds is not None:
        for other in ("checkpoint", "train_seed"):
            if getattr(option, other) is not None:
                name = other.replace("_", "-")
                raise RequestError(f"--train-seeds and --{name}: allowed: one of them")
    check_walled(option)
    if option.codec is not None:
        parse_codec(option.codec)
        _refuse_beside("--codec", option, "lpca does not train a codec of your own")
    if option.packets is not None:
        if not Path(option.packets).is_file():
            raise RequestError(f"--packets {option.packets}: no such file")
        _refuse_beside("--packets", option, "where packets are there, no codec is asked")
        if option.k is not None and len(parse_ks(option.k)) > 1:
            raise RequestError(f"--packets and --k {option.k}: allowed: one k, the most positions")


def _refuse_beside(own: str, option: argparse.Namespace, why: str) -> None:
    """Raise RequestError for an option that one which names the user's own channel excludes."""
    others = {
        "--codec": own != "--codec" and option.codec is not None,
        "--checkpoint": option.checkpoint is not None,
        "--retrain": option.retrain,
        "--train-seed": option.train_seed is not None,
        "--train-seeds": option.train_seeds is not None,
    }
    if given := [name for name, is_given in others.items() if is_given]:
        raise RequestError(f"{own} and {given[0]}: allowed: one of them; {why}")


def _folders(config: pytest.Config) -> tuple[Path, ...]:
    """From where a codec of the user's own is importable."""
    return config.invocation_params.dir, config.rootpath


def _evidence_folder(config: pytest.Config) -> Path:
    return evidence_folder(config.rootpath / str(config.option.evidence), config.option.split)
