"""An attempt's glance figure; matplotlib is imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def glance(kept: Mapping[str, Any]) -> bytes:
    """Return the figure as SVG; FigureError where the evidence cannot be drawn."""
    from lpca.report.figures import gate_figure, svg

    return svg(gate_figure(kept))
