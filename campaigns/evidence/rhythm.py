"""When accounts write: people come back to sessions and hours of their own, a queue has none."""

import numpy as np

from campaigns.aspects import Aspect, aspect, hours_of_others, lives, log_ratio, tightness, while_alive
from campaigns.evidence.finding import Finding, log_e_value, not_tested
from campaigns.groups import Group
from campaigns.laws import log_mean_exp
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
    member = group.members
    rows = group.member_rows(log)
    view = aspect(log, group.rows, member, log.hour, people.hours)
    seen = rows[~log.held_out[rows]]
    days = lives(log, seen, member)
    wide = while_alive(view.data, days, people.hours)
    views = [Aspect(view.data, crowd, wide) for crowd in hours_of_others(log, seen, member, view.data, days)]
    if not len(view.data.held) or not view.data.n_seen.sum():
        return not_tested(Signal.RHYTHM, "no rows in one of the halves")
    tight = tightness(views[0])
    ratio = log_mean_exp(np.array([log_ratio(crowd, people.rhythm) for crowd in views]))
    own = float((view.data.held * (view.data.seen > 0)).sum() / view.data.held.sum())
    return Finding(
        Signal.RHYTHM,
        Status.TESTED,
        None,
        tight,
        own,
        f"people's hours: Dirichlet-multinomial, concentration at most {people.rhythm:.0f}",
        log_e_value(ratio),
        int(view.data.held.sum()),
        f"{own:.0%} of the held-out rows fall in an hour in which the account was seen in the other half; "
        + (
            "its own history says little about when an account writes, as with accounts fed from one queue."
            if tight > people.rhythm
            else "accounts keep sessions and hours of their own, as people do."
        ),
        ratio,
    )
