"""An attempt's glance figure; matplotlib is imported only when one is drawn."""

from __future__ import annotations

from lpca.evidence import Evidence


def glance(evidence: Evidence) -> bytes:
    """Return the figure as SVG; FigureError where the evidence cannot be drawn."""
    from lpca.report.figures import gate_figure, svg

    return svg(gate_figure(evidence))
