"""Does the work go on? A class, an exam or a release has its day, a harvest goes on."""

import numpy as np

from campaigns.evidence.finding import Finding, log_e_value, not_tested, share_ratio
from campaigns.evidence.round_clock import events
from campaigns.groups import Group
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status

RUSH = 48  # hours before a deadline, or after a release, in which its crowd is at work
RUSHED = 0.75  # least of its activity that a crowd of one date has in those


def sustained(log: Traffic, group: Group) -> Finding:
    """Weigh the share of held-out activity in the two busiest days on end.

    Those are of the linking half, so the held-out share is not a maximum over itself. Null: a crowd of one
    date, at least three quarters. Accounts in hour blocks are counted, not rows. Not tested in windows of
    which two days are most.
    """
    if log.n_slots * RUSHED <= RUSH:
        return not_tested(Signal.SUSTAINED, "the window is too short to tell a rush from steady work")
    seen, held = events(log, group)
    if not len(held):
        return not_tested(Signal.SUSTAINED, "no rows in one of the halves")
    reached = np.append(0, np.cumsum(np.bincount(seen, minlength=log.n_slots)))
    start = int(np.argmax(reached[RUSH:] - reached[:-RUSH]))
    n = len(held)
    share = float(((held >= start) & (held < start + RUSH)).mean())
    ratio = share_ratio(n, share, RUSHED) if share < RUSHED else -1.0
    return Finding(
        Signal.SUSTAINED,
        Status.TESTED,
        None,
        share,
        share / (RUSH / log.n_slots),
        f"a crowd of one date: at least {RUSHED:.0%} of its activity in two days",
        log_e_value(ratio),
        n,
        f"{share:.0%} of the group's activity is in its two busiest days; steady work over the window gives "
        f"{RUSH / log.n_slots:.0%}.",
    )
