"""What a verdict costs: outcomes, evaluation and validity checks, where Gate 0 passes and fails.

Gate 1 of the default spec with codecs that nobody trained (noise that follows from the message):
the same work as with trained ones. `positions` are those that went through the receiver, padding
included, which no other process disturbs; `processor` is the time that this one ran. Run it by the
code of another version (`PYTHONPATH`) to compare the two.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from measured import ROOT, publish, receiver_parser

from lpca.base.hashing import named_seed
from lpca.codec.channel import Channel
from lpca.evaluation.block import Computed, Job, run_block
from lpca.gate.measure import STEPS, Subject, measured
from lpca.gate.plan import task_of
from lpca.gatespec.claims import parse_claim
from lpca.gatespec.load import load_spec
from lpca.gatespec.model import Spec
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver

GATE, K = "gate1", 4
FALSE = "p0 - p1 > 0.20"
"""A claim of Gate 0 that no receiver meets which reads the message."""


class Untrained:
    """Noise for each message, or the same for all."""

    def __init__(self, receiver: Receiver, sees: bool) -> None:
        self.width, self.sees = receiver.d_model, sees

    def encode(self, messages: Sequence[str]) -> torch.Tensor:
        seeds = [named_seed("benchmark", message if self.sees else "") for message in messages]
        drawn = [torch.Generator().manual_seed(seed) for seed in seeds]
        return torch.stack([0.1 * torch.randn(K, self.width, generator=one) for one in drawn])

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return latents


def main() -> None:
    arguments = receiver_parser(__doc__, repeats=1, dtype="float32")
    arguments.add_argument("--episodes", type=int, default=120, metavar="N")
    given = arguments.parse_args()
    spec = load_spec(ROOT / "gate_specs.yaml").on_at_most(GATE, given.episodes)
    receiver = load_receiver(given.receiver, given.device, given.dtype)
    cases = {"passes": spec, "fails": failing(spec)}
    rows = [{"Gate 0": name, **cost(one, receiver)} for name, one in cases.items()]
    settings = {"receiver": given.receiver, "dtype": given.dtype, "n": given.episodes, "gate": GATE}
    publish("verdict", rows, given.out, settings)


def failing(spec: Spec) -> Spec:
    gate = spec.gates["gate0"]
    wrong = replace(gate.criteria[-1], claim=parse_claim(FALSE), text=FALSE)
    criteria = (*gate.criteria[:-1], wrong)
    return replace(spec, gates={**spec.gates, "gate0": replace(gate, criteria=criteria)})


def cost(spec: Spec, receiver: Receiver) -> dict[str, Any]:
    """What one measurement takes, nothing being kept from before."""
    positions, outcomes, phase = Counter[str](), Counter[str](), ["evaluate"]
    started = {"evaluate": time.process_time()}

    def passed(_: torch.nn.Module, __: Any, given: Mapping[str, Any]) -> None:
        ids = given.get("input_ids")
        rows = given.get("inputs_embeds") if ids is None else ids
        positions[phase[0]] += rows.shape[0] * rows.shape[1]

    def counted(receiver: Receiver, jobs: Sequence[Job], batch_size: int) -> Computed:
        outcomes[phase[0]] += sum(len(job.episodes) for job in jobs)
        return run_block(receiver, jobs, batch_size)

    def checking() -> None:
        phase[0], started["check"] = "check", time.process_time()

    channels = (Channel(receiver, Untrained(receiver, sees), K) for sees in (True, False))
    subject = Subject(receiver, receiver.state_hash(), task_of(spec), *channels)
    steps = replace(STEPS, run_block=counted)
    handle = receiver.model.register_forward_pre_hook(passed, with_kwargs=True)
    # the hook is part of the receiver's state
    subject = replace(subject, receiver_hash=receiver.state_hash())
    try:
        with tempfile.TemporaryDirectory() as folder:
            own = (spec, GATE, subject, Path(folder) / "cache", Path(folder) / "ledger")
            with measured(*own, checking=checking, steps=steps):
                ended = time.process_time()
    finally:
        handle.remove()
    evaluated, checked = started["check"] - started["evaluate"], ended - started["check"]
    return {
        "outcomes": outcomes["evaluate"],
        "positions": positions["evaluate"],
        "processor, s": evaluated,
        "checks' positions": positions["check"],
        "checks' processor, s": checked,
        "checks / evaluation": checked / evaluated,
    }


if __name__ == "__main__":
    main()
