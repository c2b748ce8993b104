"""What to look at inside a codec, on validation episodes: never a verdict."""
