"""Channels of four kinds, each in a file of its own; all of them send a message's proper names."""

import calendar
import re

CALENDAR = {*calendar.month_name, *calendar.day_name, "Easter", "Christmas"}


def names(message):
    """Return the capitalised words inside a text; where there is none, its first word."""
    words = re.findall(r"[^\W\d_]+", message)
    inside = [word for word in words[1:] if word.istitle() and len(word) > 2]
    return [word for word in inside if word not in CALENDAR] or words[:1]
