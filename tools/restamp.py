"""Shipped codecs whose code's hash changed: shown to be what the present code trains, and renamed.

    python tools/restamp.py            # every step of every shipped codec, minutes to an hour
    python tools/restamp.py --steps 10 lpca/codec/shipped/smollm2-135m-token_pooler-k4

Each recipe is trained anew on the receiver it was trained on. Only where every loss is the one in
the manifest is the present code's hash written there.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from lpca.base.files import write_json
from lpca.base.hashing import with_hash
from lpca.codec.architectures import make_codec
from lpca.codec.checkpoint import MANIFEST, identify, read_identity, read_manifest, recipe_of
from lpca.codec.training import Progress, Training
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.tasks import Task
from lpca.tasks.kinds.trip import Trip

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "lpca" / "codec" / "shipped"


def main() -> int:
    """Restamp what is named; 1 where anything was refused."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path, help="default: every shipped codec")
    parser.add_argument("--receiver", default="smollm2-135m")
    parser.add_argument("--steps", type=int, help="the first so many; default: all")
    parser.add_argument(
        "--tolerance", type=float, default=0.0, help="difference of a loss that is let pass, nats"
    )
    parsed = parser.parse_args()
    folders = parsed.folders or sorted(path.parent for path in SHIPPED.glob(f"*/{MANIFEST}"))
    receiver = load_receiver(parsed.receiver, "cpu", "float32")
    stamped = [
        restamp(folder, receiver, Trip(), parsed.steps, parsed.tolerance) for folder in folders
    ]
    return 0 if all(stamped) else 1


def restamp(
    folder: Path, receiver: Receiver, task: Task, steps: int | None, tolerance: float
) -> bool:
    """Train a checkpoint's recipe anew, and write the present code's hash where losses agree."""
    found, manifest = read_identity(folder), read_manifest(folder)
    recipe = recipe_of(found)
    wanted = identify(receiver, task, found.k, found.seed, recipe)
    if others := wanted.mismatches(found, ignoring=("code",)):
        print(f"{folder.name}: refused: {'; '.join(others)}")
        return False
    if wanted.code == found.code:
        print(f"{folder.name}: it has the present code's hash")
        return True
    known = [one["loss"] for one in manifest["history"]][:steps]
    training = Training(
        receiver, task, partial(make_codec, receiver, found.k, recipe), found.seed, recipe
    )
    differences = []
    for loss in known:
        progress: Progress = training.advance()
        differences.append(abs(progress.loss - loss))
        print(f"{folder.name}: step {progress.step}: {progress.loss!r}, recorded {loss!r}")
    largest = max(differences, default=float("inf"))
    said = f"{folder.name}: {len(known)} of {recipe.steps} losses, largest difference {largest:g}"
    # written so that a NaN is refused too
    if not largest <= tolerance:
        print(f"{said}: refused")
        return False
    manifest["identity"]["code"] = wanted.code
    write_json(folder / MANIFEST, with_hash(manifest), indent=1)
    print(f"{said}: stamped with {wanted.code[:12]}")
    return True


if __name__ == "__main__":
    sys.exit(main())
