"""One schedule for all: jobs run at hours of their own or at any hour, a queue has the same hours for all."""

import numpy as np

from campaigns.aspects import Aspect, log_ratio
from campaigns.evidence.finding import Finding, log_e_value, not_tested
from campaigns.evidence.rhythm import hours_of
from campaigns.groups import Group
from campaigns.people import People
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status


def schedule(log: Traffic, group: Group, people: People) -> Finding:
    """Weigh the hours of the members' held-out rows: the crowd's, against each one's own or no hours at all.

    Statistic: how far the hours of day lean to one side, 0 when all are alike, 1 when there is but one. Null:
    as for the rhythm, and besides, however tightly, the crowd's days with all hours alike, as jobs of many
    customers make them together.
    """
    data, crowds, wide = hours_of(log, group, people)
    if not len(data.held) or not data.n_seen.sum():
        return not_tested(Signal.SCHEDULE, "no rows in one of the halves")
    ratio = log_ratio(Aspect(data, crowds.profile, wide), people.rhythm, crowds.any_hour)
    hours = log.hour[group.member_rows(log)] % 24
    pull = float(abs(np.exp(2j * np.pi * hours / 24).mean()))
    return Finding(
        Signal.SCHEDULE,
        Status.TESTED,
        None,
        pull,
        float(np.bincount(hours, minlength=24).max() / len(hours)),
        f"hours of their own, at concentration {people.rhythm:.0f} at most, or any hour of the crowd's days",
        log_e_value(ratio),
        int(data.held.sum()),
        "Accounts share the hours of day at which the group is busy"
        + (
            ", and have none of their own."
            if ratio > 0
            else " no more than jobs at any hour, or people of their own hours, would."
        ),
    )
