"""What a run asks for, held against what is there, before it is measured; a cause said once."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from lpca.base.arguments import AUTO, RECEIVER
from lpca.base.errors import RequestError
from lpca.base.hashing import hash_data
from lpca.base.named_code import refuse_missing
from lpca.base.registry import suggestion
from lpca.gate.plan import GateKey, declares
from lpca.gatespec.model import Spec

_NAME = re.compile(r"[^\s()]+")
_OPERATORS = {"and", "or", "not", "True", "False", "None"}


def refuse_absent(option: argparse.Namespace, folders: Sequence[Path]) -> None:
    """Refuse a codec, receiver or device that is not there, in a second and without any model.

    Args:
        option: the run's options.
        folders: from where a codec is importable.

    Raises:
        RequestError: naming the option, and the nearest that there is.
    """
    if option.codec is not None:
        refuse_missing(option.codec, folders)
    if option.receiver != RECEIVER:  # that one is fetched where it is not there
        from lpca.receivers.sources import source_of

        source_of(option.receiver)
    if option.device in ("cuda", "mps"):
        import torch

        present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if not present[option.device]:
            here = ", ".join(["cpu", *(name for name, is_there in present.items() if is_there)])
            raise RequestError(
                f"--device {option.device}: not available here; available: {here}, {AUTO}"
            )


def refuse_unknown_marks(expression: str, known: Collection[str], spec: Spec) -> None:
    """Refuse a `-m` that names what is no marker: a gate that does not exist selects nothing.

    Raises:
        pytest.UsageError: with the gates that there are.
    """
    names = dict.fromkeys(_NAME.findall(expression or ""))
    # an expression with arguments of a marker is pytest's to read
    if any(sign in expression for sign in ("=", ",", '"', "'")):
        return
    for name in names:
        if name not in known and name not in _OPERATORS:
            hint = suggestion(name, spec.gates).replace("allowed", f"gates of {spec.file}", 1)
            raise pytest.UsageError(f"-m {expression}: there is no gate {name!r}; {hint}")


def refuse_undeclared(spec: Spec, keys: Iterable[GateKey]) -> None:
    """Refuse a `--k` that a gate of the run does not declare.

    Raises:
        pytest.UsageError: naming the gate, and the k that it declares.
    """
    for name, k, _ in dict.fromkeys(keys):
        gate = spec.gates[name]
        if not declares(gate, k):
            allowed = ", ".join(map(str, gate.family))
            raise pytest.UsageError(f"--k {k}: gate {name} does not declare it; allowed: {allowed}")


def is_first(folder: Path, *causes: str) -> bool:
    """Whether none of some causes was said before, by any process of the run; they are now.

    Args:
        folder: of this run alone.
        causes: what keeps a gate from being measured, and the gate.
    """
    place = folder / "causes"
    with suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
    claimed = [_claimed(place / hash_data(cause)[:32]) for cause in causes]
    return all(claimed)


def _claimed(path: Path) -> bool:
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:
        return True  # better twice than not at all
    return True
