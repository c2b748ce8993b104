"""The record of attempts: one page and one JSON file each, and an index over all of them."""
