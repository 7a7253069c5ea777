"""Moments, and the numbers of microseconds UTC that windows are made of."""

from calendar import timegm
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from flows.errors import InputError

DAY = 86_400_000_000  # microseconds
Window = tuple[int | None, int | None]  # microseconds UTC, the end excluded; None where the log decides
# 0001-01-01 and 9999-12-30 in microseconds: days that Python, DuckDB and Spark can show with their ends
EARLIEST, LATEST = -62_135_596_800_000_000, 253_402_214_399_999_999


def zone_of(name: str, option: str = "zone") -> ZoneInfo:
    """Return a time zone; raises InputError, in the words of the option, where there is none of that name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InputError(f"{option} {name}: expected a time zone such as Europe/Berlin") from None


def microseconds(moment: datetime) -> int:
    """Return a moment as microseconds UTC; without a zone it is UTC."""
    return timegm(moment.utctimetuple()) * 1_000_000 + moment.microsecond  # Prefect's cannot be divided


def moment(microseconds: int) -> datetime:
    """Return microseconds since 1970 as a UTC time."""
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(
        microsecond=microseconds % 1_000_000
    )


def day(microseconds: int) -> str:
    """Return the day of a time, as in date=…."""
    return instant(microseconds)[:10]


def instant(microseconds: int) -> str:
    """Return a time in ISO 8601, UTC."""
    return moment(microseconds).isoformat()
