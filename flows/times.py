"""Moments as the numbers that windows are made of."""

from calendar import timegm
from datetime import datetime


def microseconds(moment: datetime) -> int:
    """Return a moment as microseconds UTC; without a zone it is UTC."""
    return timegm(moment.utctimetuple()) * 1_000_000 + moment.microsecond  # Prefect's cannot be divided
