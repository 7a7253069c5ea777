"""When accounts write: people come back to sessions and hours of their own, a queue has none."""

import numpy as np

from campaigns.aspects import (
    Aspect,
    OthersHours,
    aspect,
    hours_of_others,
    lives,
    log_ratio,
    tightness,
    while_alive,
)
from campaigns.evidence.finding import Finding, log_e_value, not_tested
from campaigns.groups import Group
from campaigns.laws import Cells, Floats, log_mean_exp
from campaigns.people import People
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status


def rhythm(log: Traffic, group: Group, people: People) -> Finding:
    """Weigh the hour slots of the members' held-out rows: the crowd's hours against each one's own.

    Statistic: the concentration at which an account's own history and the crowd predict best together.
    Null: people of the log's own looseness (Dirichlet-multinomial over the hours of the window, updated by
    the account's linking half), around the crowd's hours or the log's. Either is held to fall mostly between
    the account's first and last day in the linking half: that an account is new, or gone, is not a rhythm.
    """
    data, crowds, wide = _hours(log, group, people)
    if not len(data.held) or not data.n_seen.sum():
        return not_tested(Signal.RHYTHM, "no rows in one of the halves")
    views = [Aspect(data, crowd, wide) for crowd in (crowds.profile, crowds.bursts)]
    tight = tightness(views[0])
    ratio = float(log_mean_exp(np.array([log_ratio(crowd, people.rhythm) for crowd in views])))
    own = float((data.held * (data.seen > 0)).sum() / data.held.sum())
    return Finding(
        Signal.RHYTHM,
        Status.TESTED,
        None,
        tight,
        own,
        f"people's hours: Dirichlet-multinomial, concentration at most {people.rhythm:.0f}",
        log_e_value(ratio),
        int(data.held.sum()),
        f"{own:.0%} of the held-out rows fall in an hour in which the account was seen in the other half; "
        + (
            "its own history says little about when an account writes, as with accounts fed from one queue."
            if ratio > 0
            else "accounts keep sessions and hours of their own, as people do."
        ),
        ratio,
    )


def _hours(log: Traffic, group: Group, people: People) -> tuple[Cells, OthersHours, Floats]:
    """Return the members' rows by hour slot, what the others do in each cell, and what the whole log does."""
    rows = group.member_rows(log)
    seen = rows[~log.held_out[rows]]
    data = aspect(log, group.rows, group.members, log.hour, people.hours).data
    days = lives(log, seen, group.members)
    return data, hours_of_others(log, seen, group.members, data, days), while_alive(data, days, people.hours)
