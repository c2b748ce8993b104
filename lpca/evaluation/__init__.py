"""Conditions x episodes -> outcomes: what B receives and what it makes of it."""
