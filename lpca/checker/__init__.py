"""Refuses unsound gate specs before any model runs."""
