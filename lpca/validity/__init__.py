"""Validity checks: they read what B was really given, and ask the model again."""
