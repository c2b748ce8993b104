"""Decides gates from outcomes, without any model."""
