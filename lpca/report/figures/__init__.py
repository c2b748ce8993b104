"""Pictures from evidence. Its modules import matplotlib: import them only where one is drawn."""
