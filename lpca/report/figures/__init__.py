"""Pictures from evidence. Importing this imports matplotlib: do so only where one is drawn."""

from lpca.report.figures.capability import capability_figure, rates_figure
from lpca.report.figures.diagnosis import (
    noise_figure,
    reversals_figure,
    scales_figure,
    similarity_figure,
    training_figure,
)
from lpca.report.figures.gate import gate_figure
from lpca.report.figures.lab import lab_figure
from lpca.report.figures.style import FORMATS, FigureError, name_of, render, svg

__all__ = [
    "FORMATS",
    "FigureError",
    "capability_figure",
    "gate_figure",
    "lab_figure",
    "name_of",
    "noise_figure",
    "rates_figure",
    "render",
    "reversals_figure",
    "scales_figure",
    "similarity_figure",
    "svg",
    "training_figure",
]
