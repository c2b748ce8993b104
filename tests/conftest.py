"""Small real receivers, made once per session; nothing here reaches the network."""

from __future__ import annotations

import gc
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.pop("GITHUB_ACTIONS", None)  # else inner runs report to the outer job
os.environ.pop("GITHUB_STEP_SUMMARY", None)

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lpca.receivers.model import Receiver


# at Python's own 700 new objects a fifth of importing torch is looking for cycles
gc.set_threshold(10_000, *gc.get_threshold()[1:])
SAMPLED = 30
"""Seconds from which on a slow test is left out of the sample."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what `.ci/run` asks for."""
    parser.addoption(
        "--slow-sample",
        metavar="SEED",
        help="of each slow test run one case, drawn by SEED, and none of the longest",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest of the slow ones: one that begins last has all to itself."""

    def seconds(item: pytest.Item) -> float:
        slow = item.get_closest_marker("slow")
        return max([*slow.args, slow.kwargs.get("seconds", 0)]) if slow else 0

    if (seed := config.getoption("--slow-sample")) is not None:
        slow = [item for item in items if item.get_closest_marker("slow")]
        cases: dict[str, list[pytest.Item]] = {}
        for item in slow:
            if seconds(item) < SAMPLED:
                cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
        drawn = {Random(f"{seed} {test}").choice(found) for test, found in cases.items()}
        left_out = [item for item in slow if item not in drawn]
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=seconds, reverse=True)


@pytest.fixture(scope="session")
def everything_loaded() -> None:
    """What gates import, loaded before pytester looks: it unloads what a test has loaded."""
    import warm

    warm.load()


@pytest.fixture
def pytester(everything_loaded: None, pytester: pytest.Pytester) -> pytest.Pytester:
    """pytest's own."""
    return pytester


@pytest.fixture(scope="session")
def lpca_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all gates that tests run, which workers share.

    Its files are named by all that they follow from: a codec is trained once, an outcome computed
    once. A test of training or of the cache itself has one of its own. Runs of one tree, such as
    those of `.ci/run`, share what lies in the folder LPCA_TESTS_SHARED.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return Path(os.environ.get("LPCA_TESTS_SHARED") or shared) / "lpca-cache"


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder per architecture, each with a random model: to be read, never written."""
    from tiny import ARCHITECTURES, save_tiny

    folder = tmp_path_factory.mktemp("tiny")
    return {name: save_tiny(folder / name, name) for name in ARCHITECTURES}


@pytest.fixture(scope="session")
def tiny_receivers(tiny_folders: dict[str, Path]) -> dict[str, Receiver]:
    """A loaded receiver per architecture, shared: a test that changes one loads its own."""
    from lpca.receivers.load import load_receiver

    return {name: load_receiver(str(path), "cpu") for name, path in tiny_folders.items()}


@pytest.fixture(scope="session")
def llama(tiny_receivers: dict[str, Receiver]) -> Receiver:
    """The Llama receiver."""
    return tiny_receivers["llama"]


@pytest.fixture(params=["llama", "qwen2"])
def receiver(request: pytest.FixtureRequest, tiny_receivers: dict[str, Receiver]) -> Receiver:
    """Each receiver in turn."""
    return tiny_receivers[request.param]


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch on one thread: small models wait for others longer than they compute."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def fresh_llama(tiny_folders: dict[str, Path]) -> Receiver:
    """A receiver of the test's own, whose weights it may change."""
    from lpca.receivers.load import load_receiver

    return load_receiver(str(tiny_folders["llama"]), "cpu")
