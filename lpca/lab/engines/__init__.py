"""Where a grid's codecs are measured: each engine is one file of this package.

`--engine SCHEME` or `--engine SCHEME://ADDRESS` chooses the engine that is registered under the
scheme.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lpca.base.errors import RequestError
from lpca.base.registry import Registry
from lpca.gate.plan import LEDGER
from lpca.gate.runner import Console
from lpca.gatespec.model import Spec
from lpca.lab.grid import Cell, Grid
from lpca.lab.results import Results


@dataclass(frozen=True)
class Job:
    """A grid to be measured, with what the user asked for.

    `engine` is as it was given; `how` are arguments of `load_receiver`, but for the type.
    """

    engine: str
    grid: Grid
    spec: Spec
    out: Path
    receiver: str
    how: Mapping[str, str]
    batch_size: int
    console: Console

    @property
    def folders(self) -> tuple[Path, ...]:
        """From where users' own codecs are importable: as for a gate."""
        return Path.cwd(), self.grid.spec.resolve().parent

    @property
    def ledger(self) -> Path:
        """Stands beside the grid's spec."""
        return self.grid.spec.resolve().parent / LEDGER


@dataclass(eq=False)
class Engine(ABC):
    """Measures a grid's codecs somewhere; what came is kept here, whichever engine it is.

    `address` is what an engine's address looks like, empty where it takes none.
    """

    address: ClassVar[str] = ""
    job: Job
    results: Results

    @classmethod
    @abstractmethod
    def opened(cls, job: Job) -> AbstractContextManager[Engine]:
        """Get ready to measure; what was joined is left when the context ends.

        Raises:
            RequestError: what the user asked for cannot be had.
            RunError: something that it takes is missing.
        """

    @abstractmethod
    def cells(self) -> Iterator[Cell]:
        """Measure what is not there yet; yields each such codec as soon as it is.

        A codec that breaks is kept as NOT MEASURED with its reason; a later run tries it again.

        Raises:
            StorageError: nothing can be kept.
        """


ENGINES: Registry[type[Engine]] = Registry("engine", "lpca.lab.engines")


def engine_of(text: str) -> type[Engine]:
    """Return the engine that `SCHEME` or `SCHEME://ADDRESS` names.

    Raises:
        RequestError: there is none, or it takes no such address; the text says what is allowed.
    """
    scheme, separator, address = text.partition("://")
    found = ENGINES.get(scheme)
    if found is None or (separator and not (address and found.address)):
        allowed = ", ".join(
            f"{name}, {name}://{engine.address}" if engine.address else name
            for name, engine in ENGINES.items()
        )
        raise RequestError(f"--engine {text}: unknown; allowed: {allowed}")
    return found
