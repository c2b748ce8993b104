"""Gates from Python: what `pytest gates/` does for one gate, for notebooks and scripts."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from lpca.base.arguments import RECEIVER, parse_ks, parse_seeds
from lpca.base.errors import RequestError
from lpca.base.files import cache_dir, clear_unfinished
from lpca.base.registry import suggestion
from lpca.channel.side import Wall
from lpca.codec.hub import checkpoint_folder
from lpca.codec.user_codec import Source, codec_given, codec_named
from lpca.evidence.files import write_evidence
from lpca.evidence.model import CheckResult, CriterionResult, Evidence
from lpca.evidence.runs import EVIDENCE, RUNS
from lpca.gate.evidence import Origin
from lpca.gate.plan import (
    LEDGER,
    SPLITS_READ,
    evidence_folder,
    ks_of,
    needs_codec,
    refuse_drawn_views,
    sound_spec,
)
from lpca.gate.recipe import RecipeVerdict, recipe_verdict, refuse_drawn
from lpca.gate.runner import Console, Options, Runner
from lpca.gatespec.model import Spec
from lpca.judge.reader import table_of_evidence
from lpca.receivers.model import Receiver
from lpca.report.console import StderrConsole
from lpca.report.notebook import Picture, gate_html, recipe_html, table_rows
from lpca.report.terminal import gate_lines
from lpca.stats.verdicts import Verdict, gate_verdict


@dataclass(frozen=True, eq=False)
class GateRun:
    """One gate as it was decided; `found` is the whole of it, typed.

    Its text is the table of the terminal; a notebook shows it as one of HTML. Of a recipe, whose
    codecs of several training seeds are judged together, `recipe` is the verdict on all of them,
    `by_seed` has each seed's own run, and `found` is that of the seed which decides: the first that
    came out worst.
    """

    found: Evidence
    recipe: RecipeVerdict | None = None
    by_seed: Mapping[int, GateRun] = field(default_factory=dict)

    @property
    def evidence(self) -> Mapping[str, Any]:
        """All of it as JSON-able data, as in the evidence file."""
        return self.found.data

    @property
    def verdict(self) -> Verdict:
        """PASS, FAIL, INCONCLUSIVE, INVALID, NOT MEASURED, or EXPLORED; of a recipe the whole's."""
        return self.recipe.verdict if self.recipe else self.found.verdict

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is INVALID or NOT MEASURED."""
        return self.found.reasons

    @property
    def criteria(self) -> Mapping[str, CriterionResult]:
        """The criteria by id; one of an INVALID gate carries no number."""
        return {criterion.id: criterion for criterion in self.found.criteria}

    @property
    def checks(self) -> Mapping[str, CheckResult]:
        """The validity checks by id; `passed` is None where one does not apply."""
        return {check.id: check for check in self.found.checks}

    @property
    def conditions(self) -> Mapping[str, Mapping[str, Any]]:
        """By condition its n, and successes and interval (as rates) by score."""
        numbers: Mapping[str, Mapping[str, Any]] = self.evidence["conditions"]
        return numbers

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the evidence as JSON, whole or not at all; StorageError when it cannot be."""
        write_evidence(Path(path), self.found)

    def plot(self) -> Picture:
        """The gate at a glance; a notebook shows it, `.save("gate.svg")` writes it."""
        from lpca.report.figures.gate import gate_figure

        return Picture(gate_figure(self.found))

    def to_frame(self, table: str = "conditions") -> Any:
        """The gate as a pandas data frame; rates are proportions.

        Args:
            table: "conditions", "criteria", or "episodes" with each condition's success.

        Raises:
            RequestError: it is none of these, or pandas is not installed.
        """
        rows = table_rows(self.found, table)
        try:
            pandas = import_module("pandas")
        except ImportError:
            raise RequestError("to_frame: pandas is not installed; pip install pandas") from None
        return pandas.DataFrame(rows)

    def __bool__(self) -> bool:
        """A gate that failed must not pass for one that did: TypeError."""
        raise TypeError("a GateRun is neither true nor false; compare its verdict")

    def __str__(self) -> str:
        if self.recipe is None:
            return "\n".join(gate_lines(self.found, self.verdict))
        parts = [*map(str, self.by_seed.values()), "\n".join(self.recipe.lines())]
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return f"<GateRun {(self.recipe or self.found).label}: {self.verdict}>"

    def _repr_html_(self) -> str:
        if self.recipe is None:
            return gate_html(self.found)
        runs = [run.found for run in self.by_seed.values()]
        return recipe_html(self.recipe.label, self.verdict, self.recipe.told, runs)


def run_gate(
    gate: str,
    *,
    codec: object = None,
    packets: str | os.PathLike[str] | None = None,
    receiver: str | Receiver = RECEIVER,
    k: int | None = None,
    spec: str | os.PathLike[str] = "gate_specs.yaml",
    device: str = "auto",
    dtype: str = "auto",
    attn: str = "auto",
    device_map: str = "none",
    batch_size: int = 32,
    split: Literal["test", "validation"] = "test",
    train_seeds: Sequence[int] | None = None,
    console: Console | None = None,
) -> GateRun:
    """Decide one gate of a spec, as `pytest gates/ -m GATE` does.

    Evidence and ledger go to `.lpca/` beside the spec.

    Args:
        gate: its name in the spec.
        codec: None for the one that `pytest gates/` takes; a checkpoint's folder, or
            "org/name@revision" of the Hugging Face Hub;
            "package.module:factory", whose sides run in processes of their own; a
            factory(receiver, k); or a codec itself, which both run in this one ("trusted").
        packets: a file of packets made elsewhere, in place of a codec; as `--packets`.
        receiver: as for `--receiver`, or one that `load_receiver` gave.
        k: number of latents; the gate's own, else 4, when None.
        spec: the spec file.
        device: as for `load_receiver`; a receiver that is loaded already stays where it is.
        dtype, attn, device_map: likewise.
        batch_size: episodes at a time.
        split: validation episodes are there to choose on: everything is shown, nothing enters the
            ledger, and the verdict is EXPLORED. Evidence then goes to `.lpca/evidence/validation`.
        train_seeds: two or more seeds, at each of which the codec is trained and judged on the
            same episodes: one verdict about the recipe, every seed must hold.
        console: where progress is shown; standard error when None.

    Returns:
        The verdict with everything it rests on.

    Raises:
        SpecError: the spec cannot be read.
        RequestError: the spec is unsound, or what is asked for cannot be had.
        RunError: something met on the way keeps the gate from being measured.

    Example:
        With a gate `base` of 60 episodes in the spec `gate_specs.yaml`:

        >>> from lpca import run_gate
        >>> run = run_gate("base", receiver="stub", device="cpu")
        >>> run
        <GateRun base: PASS>
        >>> run.conditions["p1"]["n"], run.conditions["p1"]["likelihood"]["successes"]
        (60, 60)
        >>> [name for name, check in run.checks.items() if check.passed is False]
        []
    """
    checked = sound_spec(spec)
    at = _checked_k(checked, gate, k)
    if batch_size < 1:
        raise RequestError(f"batch_size {batch_size}: allowed: 1 or more")
    if split not in SPLITS_READ:
        raise RequestError(f"split {split!r}: {suggestion(str(split), SPLITS_READ)}")
    seeds = _checked_seeds(checked, gate, at, codec, train_seeds or ())
    if packets is not None:
        if codec is not None or seeds:
            raise RequestError("packets: allowed without codec and train_seeds")
        refuse_drawn_views(checked)
    home = Path(spec).resolve().parent
    checkpoint, own = _codec(codec, home)
    options = Options(
        receiver=receiver,
        device=device,
        dtype=dtype,
        attn=attn,
        device_map=device_map,
        checkpoint=checkpoint,
        batch_size=batch_size,
        cache=cache_dir(),
        evidence=evidence_folder(home / EVIDENCE, split),
        ledger=home / LEDGER,
        runs=home / EVIDENCE / RUNS,
        codec=own,
        packets=None if packets is None else Path(packets).absolute(),
        split=split,
        train_seeds=seeds,
        wall=Wall(),
    )
    clear_unfinished([options.cache, home / EVIDENCE / RUNS, options.ledger])
    origin = Origin(uuid.uuid4().hex, ["lpca.run_gate", gate])
    with ExitStack() as stack:
        # it is not to speak of work that an error has ended
        shown = console or stack.enter_context(StderrConsole())
        runner = Runner(checked, options, origin, shown)
        stack.callback(runner.close)
        if not seeds:
            return GateRun(runner.evidence(gate, at))
        by_seed = {seed: GateRun(runner.evidence(gate, at, seed=seed)) for seed in seeds}
    return _recipe_run(checked, gate, at, by_seed)


def _recipe_run(spec: Spec, gate: str, k: int | None, by_seed: Mapping[int, GateRun]) -> GateRun:
    """One run of a recipe, from that of each seed."""
    verdicts = {seed: run.verdict for seed, run in by_seed.items()}
    tables = {
        seed: {run.found.k or 0: table_of_evidence(run.found)}
        for seed, run in by_seed.items()
        if run.verdict is Verdict.FAIL
    }
    recipe = recipe_verdict(spec, spec.gates[gate], k, verdicts, tables)
    worst, runs = gate_verdict(verdicts.values()), list(by_seed.values())
    decides = next((run for run in runs if run.verdict is worst), runs[0])
    return GateRun(decides.found, recipe, by_seed)


def _checked_seeds(
    spec: Spec, gate: str, k: int | None, codec: object, seeds: Sequence[int]
) -> tuple[int, ...]:
    """The training seeds that are judged together; RequestError where they cannot be."""
    if not seeds:
        return ()
    found = parse_seeds(",".join(map(str, seeds)))
    refuse_drawn(spec)
    if codec is not None:
        raise RequestError(
            "train_seeds and codec: allowed: one of them; each seed trains a codec of lpca's"
        )
    if k is None:
        raise RequestError(f"train_seeds: gate {gate} needs no codec; allowed: none")
    if spec.gates[gate].any_k:
        raise RequestError(
            f"train_seeds: any of several k suffices for gate {gate}; "
            "allowed: pytest gates/ --train-seeds, which reads all of them"
        )
    return found


def _checked_k(spec: Spec, gate: str, k: int | None) -> int | None:
    if gate not in spec.gates:
        raise RequestError(f"gate {gate[:60]!r}: {suggestion(gate, spec.gates)}")
    asked = () if k is None else parse_ks(str(k))
    if not needs_codec(spec, gate):
        return None
    ks = ks_of(spec.gates[gate], asked)
    if len(ks) > 1:
        raise RequestError(f"gate {gate} declares several k; allowed: {', '.join(map(str, ks))}")
    return ks[0]


def _codec(codec: object, home: Path) -> tuple[Path | None, Source | None]:
    """A checkpoint's folder, or the source of the user's own codec; neither for None."""
    if codec is None:
        return None, None
    if isinstance(codec, str) and ":" in codec and not Path(codec).is_dir():
        return None, codec_named(codec, (Path.cwd(), home))
    if isinstance(codec, str | os.PathLike):
        others = ", package.module:factory, a factory or a codec"
        return checkpoint_folder(os.fspath(codec), "codec", others), None
    return None, codec_given(codec)
