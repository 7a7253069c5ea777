"""Does the work go on? A class, a course or a release has its day, a harvest goes on."""

import numpy as np
from numpy.typing import NDArray

from campaigns.evidence.finding import Finding, log_e_value, not_tested, share_ratio
from campaigns.evidence.round_clock import NO_HALF, events, round_the_day
from campaigns.groups import Group
from campaigns.laws import Ints
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status

RUSH = 48  # hours before a deadline, or after a release, in which its crowd is at work
SITTINGS = 2  # days on which a participant sits at a training
LESSON = 4  # hours of the day in which a course meets, every day or some
RUSHED = 0.75  # least of the activity that falls in those


def sustained(log: Traffic, group: Group) -> Finding:
    """Weigh the share of held-out activity in two days or at one time of the day, as those of a class are.

    Three readings, of which the one that says least counts: the two busiest days on end; the two busiest
    days of each account that was seen on two; the four busiest hours of the day. Busiest in the linking half,
    so the held-out share is not a maximum over itself. Null: a crowd of one date, a training at which each
    sits on a day or two, or a course that meets at one time of the day, at least three quarters. Accounts in
    hour blocks are counted, not rows. Not tested in windows of which two days are most, and where no account
    was seen on two days unless the crowd has its date: each may have sat at a training, on its one day.
    """
    if 24 * log.n_days * RUSHED <= RUSH:
        return not_tested(Signal.SUSTAINED, "the window is too short to tell a rush from steady work")
    seen, held = events(log, group)
    if not len(held) or not len(seen):
        return not_tested(Signal.SUSTAINED, NO_HALF)
    account, slot = np.divmod(held, log.n_slots)
    before = seen % log.n_slots
    readings = [
        share_ratio(_in_rush(before, slot, log.n_slots), account, RUSHED),
        share_ratio(_in_lessons(before, slot), account, RUSHED),
    ]
    sits, told = _in_sittings(log, seen, held)
    if told.any():
        readings.append(share_ratio(sits[told], account[told], RUSHED))
    ratio, share = min(readings)
    if ratio > 0 and not told.any():
        return not_tested(Signal.SUSTAINED, "no account was seen on two days")
    return Finding(
        Signal.SUSTAINED,
        Status.TESTED,
        None,
        share,
        share / RUSHED,
        f"a class: at least {RUSHED:.0%} of its activity in two days, or at one time of the day",
        log_e_value(ratio),
        len(held),
        f"{share:.0%} of the activity in one half of the requests is in the two days, the group's or each "
        f"account's own, or the {LESSON} hours of the day that are the busiest in the other half; of a class "
        f"it is {RUSHED:.0%} and more.",
    )


def _in_rush(seen: Ints, held: Ints, n_slots: int) -> NDArray[np.bool_]:
    """Return which of the held-out slots are in the two days on end that are the busiest of those seen."""
    reached = np.append(0, np.cumsum(np.bincount(seen, minlength=n_slots)))
    start = int(np.argmax(reached[RUSH:] - reached[:-RUSH]))
    return (held >= start) & (held < start + RUSH)


def _in_sittings(log: Traffic, seen: Ints, held: Ints) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which held-out events are in their account's two busiest days of those seen, and which can tell.

    Of an account that was seen on fewer days it is not known on which it sat.
    """
    days = log.n_days
    account, slot = np.divmod(np.concatenate([seen, held]), log.n_slots)
    accounts, place = np.unique(account, return_inverse=True)
    cell = place * days + slot // 24
    counts = np.bincount(cell[: len(seen)], minlength=len(accounts) * days).reshape(-1, days)
    busiest = np.argsort(-counts, axis=1, kind="stable")[:, :SITTINGS]
    sits = np.zeros(counts.shape, dtype=bool)
    np.put_along_axis(sits, busiest, True, axis=1)
    told = (counts > 0).sum(axis=1) >= SITTINGS
    return sits.ravel()[cell[len(seen) :]], told[place[len(seen) :]]


def _in_lessons(seen: Ints, held: Ints) -> NDArray[np.bool_]:
    """Return which of the held-out slots are in the hours of the day that are busiest in those seen."""
    counts = np.bincount(seen % 24, minlength=24)
    start = int(np.argmax(round_the_day(counts, LESSON)))
    return (held - start) % 24 < LESSON
