"""Prefect, files, clocks and the command line: the only room that knows the other two."""
