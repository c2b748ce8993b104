"""Pictures from evidence. Importing this imports matplotlib: do so only where one is drawn."""

from lpca.report.figures.gate import gate_figure
from lpca.report.figures.render import FORMATS, render, svg
from lpca.report.figures.style import FigureError
from lpca.report.figures.training import training_figure

__all__ = ["FORMATS", "FigureError", "gate_figure", "render", "svg", "training_figure"]
