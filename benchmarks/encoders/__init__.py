"""Encoders: how fast they are and what they tell apart. `python -m benchmarks.encoders --help`."""
