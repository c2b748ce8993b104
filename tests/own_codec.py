"""A gate without trained parts, and a codec that passes it at k=16, for own-codec tests."""

from __future__ import annotations

from gate_project import ROOT

OPEN = """
  open:
    title: The channel carries the message
    answers: all
    requires: [base]
    conditions: [p0, p1, normal, null, shuffle]
    expect: {p0: 0.25, p1: 0.95, normal: 0.95, null: 0.25, shuffle: 0.02}
    criteria:
      - {id: above_p0, claim: normal - p0 > 0.10}
      - {id: above_null, claim: normal - null > 0}
      - {id: above_shuffle, claim: normal - shuffle > 0}
"""
CUT = (ROOT / "examples" / "own_codec.py").read_text()
