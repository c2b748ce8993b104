"""Pictures from evidence. Importing this imports matplotlib: do so only where one is drawn."""

from lpca.report.figures.capability import capability_figure
from lpca.report.figures.diagnosis import noise_figure, reversals_figure
from lpca.report.figures.gate import gate_figure
from lpca.report.figures.lab import lab_figure
from lpca.report.figures.rates import rates_figure
from lpca.report.figures.render import FORMATS, render, svg
from lpca.report.figures.scales import scales_figure
from lpca.report.figures.similarity import similarity_figure
from lpca.report.figures.style import FigureError
from lpca.report.figures.training import training_figure

__all__ = [
    "FORMATS",
    "FigureError",
    "capability_figure",
    "gate_figure",
    "lab_figure",
    "noise_figure",
    "rates_figure",
    "render",
    "reversals_figure",
    "scales_figure",
    "similarity_figure",
    "svg",
    "training_figure",
]
