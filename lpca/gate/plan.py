"""What measuring a gate takes: its conditions, whether it depends on k, where evidence goes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import platformdirs

from lpca.base.errors import RequestError
from lpca.base.files import cache_dir
from lpca.base.numbers import plural
from lpca.base.tables import source_at
from lpca.checker.check import check_spec, has_errors
from lpca.gatespec.load import SpecError, load_spec
from lpca.gatespec.model import AT_K, Gate, Spec
from lpca.tasks import MAX_TASK_SEED, TASKS, EpisodeSet, Task, TaskError, make_task
from lpca.tasks.family import Family

LEDGER = ".lpca/ledger"
"""Where a project keeps its ledgers."""
DEFAULT_K = 4
SPLITS_READ = ("test", "validation")
"""The episodes that a gate may be read on; those of validation decide nothing."""


class GateKey(NamedTuple):
    """A gate at its k, of the codec trained at a seed where those of several are judged."""

    gate: str
    k: int | None = None
    seed: int | None = None


def sound_spec(path: str | os.PathLike[str]) -> Spec:
    """Load a spec that may be run; SpecError where it cannot be, RequestError with every fault."""
    spec = load_spec(path)
    _refuse_unscored(spec, task_of(spec))
    findings = check_spec(spec)
    if has_errors(findings):
        raise RequestError("\n".join(map(str, findings)))
    return spec


def task_of(spec: Spec) -> Task:
    """Build a spec's task.

    A user's own episodes are drawn for every gate, so that too few are found before any model is.

    Raises:
        SpecError: it cannot be built, or not measured as a gate asks; with the place at fault.
    """
    task = spec.task
    try:
        if not 0 <= task.seed <= MAX_TASK_SEED:
            raise TaskError(f"seed is {task.seed}; allowed: 0 to {MAX_TASK_SEED}", "seed")
        made = make_task(task.name, task.settings, Path(spec.file).parent)
    except TaskError as error:
        place = task.places.get(error.setting or "", task.places["name"])
        raise SpecError(place, str(error)) from error
    kind = TASKS[task.name]
    if not kind.tells_facts:
        _refuse_facts(spec)
    if not kind.may_run_out:
        _refuse_senders(spec, 1)
    if kind.may_run_out and made.is_at_hand:
        _refuse_too_few(spec, made)
    return made


def files_of(spec: Spec) -> list[Path]:
    """Return what tells a gate's episodes, be it in an earlier version: hidden from what is judged.

    Args:
        spec: as it was loaded from its file.

    Returns:
        The spec, its episodes' file, the repositories it lies in, and the account's own cache.
    """
    path = Path(spec.file).absolute()
    file = spec.task.settings.get("file")
    found = [path, *(_kept(file, path.parent) if isinstance(file, str) else [])]
    for folder in dict.fromkeys([*path.parents, *path.resolve().parents]):
        found += _repository(folder)
    return [*found, cache_dir() / "questions", Path(platformdirs.user_cache_dir("lpca"))]


def _kept(written: str, folder: Path) -> list[Path]:
    """Where a task's rows lie: their file, or a data set's folder and the cache of its library."""
    source = source_at(written, folder)
    if isinstance(source, Path):
        return [source]
    cache = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    local = [Path(source.name)] if Path(source.name).is_absolute() else []
    return [*local, cache / "datasets"]


def _repository(folder: Path) -> list[Path]:
    """What git keeps of a folder: `.git`, and where that is a file (a worktree) what it names."""
    git = folder / ".git"
    found = [git] if git.exists() else []
    with suppress(OSError, ValueError):
        named = git.read_text(encoding="utf-8").partition("gitdir:")[2].strip()
        place = (folder / named).resolve()
        common = place / "commondir"
        found += [place, *([place / common.read_text().strip()] if common.exists() else [])]
    return found


def _refuse_unscored(spec: Spec, task: Task) -> None:
    """Raise SpecError where a run cannot score answers as the evaluation asks."""
    evaluation = spec.evaluation
    giving = [name for name, kind in TASKS.items() if issubclass(kind, Family)]
    if evaluation.score == "graded" and not task.gives_credit:
        verified = "; or a `verifier` beside the task's name" if task.may_run_out else ""
        raise SpecError(
            evaluation.places["score"],
            f"score is 'graded', and task {spec.task.name} gives answers no credit; allowed: "
            f"likelihood, greedy, or a task of free answers: {', '.join(giving)}{verified}",
        )
    if evaluation.score == "likelihood" and evaluation.temperature is not None:
        raise SpecError(
            evaluation.places["temperature"],
            f"temperature is {evaluation.temperature:g} beside score 'likelihood', which reads "
            "what options score and samples no answer; allowed: score: greedy or graded, or none",
        )


def _refuse_facts(spec: Spec) -> None:
    telling = [name for name, kind in TASKS.items() if kind.tells_facts]
    for gate in spec.gates.values():
        if "p5" in gate.conditions:
            raise SpecError(
                gate.places.get("conditions", gate.position),
                f"gate {gate.name} runs p5, and task {spec.task.name} has no facts to be told as "
                f"structured text; allowed: task {', '.join(telling)}",
            )


def _refuse_too_few(spec: Spec, task: Task) -> None:
    sizes = {(gate.answers, spec.episodes(gate)): gate for gate in reversed(spec.gates.values())}
    for (answers, n), gate in reversed(sizes.items()):
        try:
            drawn = task.evaluation_set("test", answers, n, spec.task.seed)
        except TaskError as error:
            place = gate.places.get("n") or spec.evaluation.places.get("n", gate.position)
            place = spec.task.places.get(error.setting or "", place)
            raise SpecError(place, f"gate {gate.name}: {error}") from error
        _refuse_senders(spec, len(drawn.episodes[0].messages))


def _refuse_senders(spec: Spec, senders: int) -> None:
    """Raise SpecError where a gate shuffles the message of a sender that no episode has."""
    for gate in spec.gates.values():
        for name in gate.conditions:
            number = name.removeprefix("shuffle_")
            if number.isdigit() and int(number) > senders:
                raise SpecError(
                    gate.places.get("conditions", gate.position),
                    f"gate {gate.name} runs {name}, and task {spec.task.name} has "
                    f"{plural(senders, 'sender')}; allowed: episodes whose message is a list of "
                    "as many texts",
                )


def gate_conditions(spec: Spec, name: str) -> list[str]:
    """Return the conditions of a gate and of those it requires, in a fixed order."""
    reached = _with_required(spec, name)
    return list(dict.fromkeys(c for other in reached for c in spec.gates[other].conditions))


def _with_required(spec: Spec, name: str) -> list[str]:
    waiting, reached = [name], dict[str, None]()
    while waiting:
        other = waiting.pop()
        if other not in reached:
            reached[other] = None
            waiting += reversed(spec.gates[other].requires)
    return list(reached)


def required_conditions(spec: Spec, name: str) -> list[str]:
    """Return those conditions that the gates which a gate requires need, in the same order."""
    own = {c for other in spec.gates[name].requires for c in gate_conditions(spec, other)}
    return [condition for condition in gate_conditions(spec, name) if condition in own]


def max_bits(spec: Spec, name: str) -> float | None:
    """Return the least `max_bits` of a gate and those it requires; None where none sets any."""
    limits = [spec.gates[other].max_bits for other in _with_required(spec, name)]
    return min((limit for limit in limits if limit is not None), default=None)


def gate_episodes(spec: Spec, gate: Gate, task: Task) -> EpisodeSet:
    """Return the episodes that a gate declares, as its task makes them.

    With a stopping rule they come group by group: a look sees whole groups alone.
    """
    made = task.evaluation_set(spec.task.split, gate.answers, spec.episodes(gate), spec.task.seed)
    return _by_group(made) if gate.sequential and spec.evaluation.cluster == "group" else made


def _by_group(episodes: EpisodeSet) -> EpisodeSet:
    """The same episodes with the same donors, groups in the order in which they first appear."""
    first: dict[str, int] = {}
    for index, episode in enumerate(episodes):
        first.setdefault(episode.group, index)
    order = sorted(range(len(episodes)), key=lambda i: first[episodes.episodes[i].group])
    place = {index: i for i, index in enumerate(order)}
    donors = tuple(place[episodes.donors[index]] for index in order)
    return EpisodeSet(tuple(episodes.episodes[index] for index in order), donors)


def on_validation(spec: Spec, name: str, task: Task) -> Spec:
    """The spec to explore a gate by: validation episodes, at most as many as differ.

    Raises:
        TaskError: fewer than two can be had.
    """
    gate = spec.gates[name]
    n = spec.episodes(gate)
    whole = task.evaluation_set("validation", gate.answers, n, spec.task.seed)
    # where there are too few rows they come again, which would count them twice
    differ = len({(episode.message, *episode.context) for episode in whole})
    return replace(spec.on_at_most(name, differ), task=replace(spec.task, split="validation"))


def needs_codec(spec: Spec, name: str) -> bool:
    """Whether a gate has a condition that depends on k, as latents do."""
    return any(condition in AT_K for condition in gate_conditions(spec, name))


def needs_control(spec: Spec, name: str) -> bool:
    """Whether a gate needs the trained prefix that ignores messages."""
    return "static" in gate_conditions(spec, name)


def ks_of(gate: Gate, asked: Sequence[int]) -> Sequence[int]:
    """Return the k a gate runs at: those asked for, else all that it declares, else 4."""
    return asked or gate.family or (DEFAULT_K,)


def declares(gate: Gate, k: int | None) -> bool:
    """Whether a gate may run at a k: at any, unless it declares its own."""
    return k is None or not gate.family or k in gate.family


def refuse_drawn_views(spec: Spec) -> None:
    """Raise RequestError where what A is to encode follows from what it has encoded."""
    if spec.task.drawn:
        raise RequestError(
            f"{spec.task.places.get('seed', spec.file)}: seed is drawn, which needs the packets "
            "first; allowed: a number"
        )


def shown_with(spec: Spec, gate: Gate, k: int | None, seed: int | None = None) -> list[GateKey]:
    """Return the gates shown beside one that runs at a k and seed, each with its own."""
    found = [
        GateKey(name, k, seed) if needs_codec(spec, name) else GateKey(name)
        for name in gate.shown_with
    ]
    return [key for key in found if declares(spec.gates[key.gate], key.k)]


def label_of(gate: str, k: int | None, seed: int | None = None) -> str:
    """A gate at its k and training seed, for people."""
    at_k = gate if k is None else f"{gate} k={k}"
    return at_k if seed is None else f"{at_k} seed={seed}"


def evidence_folder(folder: Path, split: str) -> Path:
    """Where evidence of a split goes: what explores takes nothing's place."""
    return folder if split == "test" else folder / split


def evidence_path(folder: Path, name: str, k: int | None, seed: int | None = None) -> Path:
    """Where a gate's evidence stands."""
    of_seed = "" if seed is None else f"-seed{seed}"
    return folder / (f"{name}.json" if k is None else f"{name}-k{k}{of_seed}.json")
