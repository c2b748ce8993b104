"""How a codec's training went."""

from __future__ import annotations

from matplotlib.figure import Figure

from lpca.evidence import Evidence
from lpca.report.figures.readings import name_of
from lpca.report.figures.style import BLUE, MUTED, VERMILLION, FigureError, picture


@picture
def training_figure(evidence: Evidence) -> Figure:
    """Draw the codec's training loss and the shuffled-minus-right gap, both in nats, by step.

    Raises:
        FigureError: the evidence is incomplete, or its codec has no training history.
    """
    codec = evidence.codec
    if codec is None or not codec.history:
        raise FigureError(f"{name_of(evidence)}: its codec has no training history")
    history = codec.history
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(
        [one.step for one in history],
        [one.loss for one in history],
        color=BLUE,
        linewidth=1.3,
        label="training loss",
    )
    gaps = [(one.step, one.gap) for one in history if one.gap is not None]
    axes.plot(
        [step for step, _ in gaps],
        [gap for _, gap in gaps],
        color=VERMILLION,
        linewidth=1.0,
        linestyle=(0, (4, 2)),
        marker="s",
        markersize=3.5,
        label="gap: loss with another message − with the right one (validation)",
    )
    axes.axhline(0.0, color=MUTED, linewidth=0.6)
    axes.set_xlabel("training step")
    axes.set_ylabel("nats per answer token")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    title = f"{name_of(evidence)}: {codec.architecture}, training seed {codec.seed}"
    axes.set_title(title, loc="left", size=9)
    if gaps and max(gap for _, gap in gaps) <= 0.0:
        axes.text(0.99, 0.95, "the gap never rises above 0", transform=axes.transAxes, ha="right")
    return figure
