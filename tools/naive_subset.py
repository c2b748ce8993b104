"""What a subset chosen by null's own failures claims for noise (docs/lab/subset.md).

A simulation, no model: 4,000 episodes, each with its own success rate drawn from U(0, 0.5); three
runs with that same rate stand for a random prefix, for null, and for a second run of null.
"""

from __future__ import annotations

import numpy as np
from screening import Screened, screen

from lpca.stats.proportions import tango
from lpca.stats.tables import PairedTable

SEED, EPISODES, HIGHEST_RATE = 5, 4000, 0.5


def main() -> None:
    """Print the page's table."""
    generator = np.random.default_rng(SEED)
    rate = generator.uniform(0.0, HIGHEST_RATE, EPISODES)
    prefix, null, again = ((generator.random(EPISODES) < rate).tolist() for _ in range(3))
    show(screen(prefix, null, again))


def show(found: Screened) -> None:
    """Print the table of a difference on the three sets of episodes."""
    print("| episodes | n | random - null | 95 % interval |\n|---|---|---|---|")
    for name in ("whole", "naive", "screened"):
        table: PairedTable = getattr(found, name)
        low, high = vars(tango(table)).values()
        print(f"| {name} | {table.n} | {table.difference:+.3f} | [{low:+.3f}, {high:+.3f}] |")


if __name__ == "__main__":
    main()
