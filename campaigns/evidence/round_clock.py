"""Does the group sleep? One class, office or country does, six hours a day; a queue need not."""

import numpy as np

from campaigns.evidence.finding import Finding, log_e_value, not_tested, share_ratio
from campaigns.groups import Group
from campaigns.laws import Ints
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status

QUIET = 6  # hours
NO_HALF = "no rows in one of the halves"
AWAKE = 0.1  # most of its requests that a crowd of one time zone sends in its quietest six hours


def round_clock(log: Traffic, group: Group) -> Finding:
    """Weigh the share of held-out requests in the six quietest hours of the day, 0.25 if all hours are alike.

    The quiet hours are those of the linking half, so the held-out share is not a minimum over itself. Null:
    a crowd of one time zone, at most a tenth in its night. Accounts in hour blocks are counted, not rows: a
    burst is one event. Each of them by itself: accounts that take turns differ in their hours most of all.
    """
    seen, held = (event % log.n_slots for event in events(log, group))
    if not len(held) or not len(seen):
        return not_tested(Signal.ROUND_CLOCK, NO_HALF)
    start = log.start_hour
    profile = np.bincount((seen + start) % 24, minlength=24)
    night = (np.argmin(round_the_day(profile, QUIET)) + np.arange(QUIET)) % 24
    awake = np.isin((held + start) % 24, night)
    ratio, share = share_ratio(awake, np.arange(len(held)), AWAKE, above=True)
    return Finding(
        Signal.ROUND_CLOCK,
        Status.TESTED,
        None,
        share,
        share / (QUIET / 24),
        f"a crowd of one time zone: at most {AWAKE:.0%} of activity in its night",
        log_e_value(ratio),
        len(held),
        f"{share:.0%} of the group's activity in one half of its requests is in the six hours that are the "
        "quietest in the other half; use round the clock gives 25%.",
    )


def round_the_day(profile: Ints, hours: int) -> Ints:
    """Return (24,) the sums of so many hours on end, from each hour of the day; profile (24,) by hour."""
    reached = np.cumsum(np.concatenate([[0], profile, profile[: hours - 1]]))
    return reached[hours:] - reached[:-hours]


def events(log: Traffic, group: Group) -> tuple[Ints, Ints]:
    """Return the members' activity in the linking and in the held-out half, as account * slots + hour slot.

    One for each account and slot with a row: a burst is one event.
    """
    rows = group.member_rows(log)
    seen, held = (
        np.unique(log.account[half] * log.n_slots + log.hour[half])
        for half in (rows[~log.held_out[rows]], rows[log.held_out[rows]])
    )
    return seen, held
