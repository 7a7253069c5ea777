"""When accounts write: people come back to sessions and hours of their own, a queue has none."""

from typing import NamedTuple

import numpy as np

from campaigns.aspects import (
    OPERATOR,
    PEOPLE,
    Aspect,
    OthersHours,
    aspect,
    hours_of_others,
    lives,
    log_ratio,
    surely_alive,
    tightness,
    while_alive,
)
from campaigns.evidence.finding import RARE, Finding, log_e_value, not_tested
from campaigns.groups import Group
from campaigns.laws import Cells, Floats, dirichlet_multinomial
from campaigns.people import People
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status

HOURS = 24.0  # most of people's hours of the day: a shift or an evening of one's own is no more alike
DAYS = 8.0  # concentration of a program's days: there is more to do on one than on the next


class Hours(NamedTuple):
    """Accounts' held-out hours beside the crowd's, as a profile and in bursts, and those of all others."""

    views: list[Aspect]
    others: OthersHours

    @property
    def data(self) -> Cells:
        """The members' rows by hour slot."""
        return self.views[0].data


def rhythm(log: Traffic, group: Group, people: People) -> Finding:
    """Weigh the hour slots of the members' held-out rows: the crowd's hours against each one's own.

    Statistic: the concentration at which an account's own history and the crowd predict best together.
    Null: people of the log's own looseness (Dirichlet-multinomial over the hours of the window, updated by
    the account's linking half), around the crowd's hours or the log's. Either is held to fall mostly between
    the account's first and last day in the linking half: that an account is new, or gone, is not a rhythm.
    People may also keep hours of the day of their own on any day, whose past tells an hour and no slot.
    One crowd in a thousand may be of programs, which keep no hours either: where these explain it as well, no
    more than that is said.
    """
    hours = _hours(log, group, people)
    if hours is None:
        return not_tested(Signal.RHYTHM, "no rows in one of the halves")
    data, tight = hours.data, tightness(hours.views[0])
    habits = _habits(log, group, hours)
    said = ratio = log_ratio(hours.views, people.rhythm, habits)
    if ratio > RARE:
        more = np.concatenate([habits, _programs(log, group, hours.others.days)])
        said = ratio if log_ratio(hours.views, people.rhythm, more) > 0 else float(RARE)
    own = float((data.held * (data.seen > 0)).sum() / data.held.sum())
    return Finding(
        Signal.RHYTHM,
        Status.TESTED,
        None,
        tight,
        own,
        f"people's hours: Dirichlet-multinomial, concentration at most {people.rhythm:.0f}",
        log_e_value(said),
        int(data.held.sum()),
        f"{own:.0%} of the held-out rows fall in an hour in which the account was seen in the other half; "
        + _said(ratio, tight),
        ratio,
    )


def one_queue(log: Traffic, group: Group, people: People) -> bool:
    """Return whether the members' hours speak for one queue, without what `rhythm` says beside that."""
    hours = _hours(log, group, people)
    if hours is None or log_ratio(hours.views, people.rhythm) <= 0:  # habits can only explain more
        return False
    return log_ratio(hours.views, people.rhythm, _habits(log, group, hours)) > 0


def _hours(log: Traffic, group: Group, people: People) -> Hours | None:
    """Return what the members' hours are held against, None without rows in one of the halves."""
    rows = group.member_rows(log)
    seen = rows[~log.held_out[rows]]
    data = aspect(log, group.rows, group.members, log.hour, people.hours).data
    if not len(data.held) or not len(seen):
        return None
    alive = lives(log, seen, log.places(group.members)[log.account[seen]], len(group.members))
    others = hours_of_others(log, seen, group.members, data, alive)
    wide = while_alive(data, alive, log.n_slots, surely_alive(data.n_seen))(people.hours)
    views = [Aspect(data, crowd, wide) for crowd in (others.profile, others.bursts)]
    return Hours(views, others)


def _said(ratio: float, tight: float) -> str:
    if ratio <= 0 and tight < OPERATOR[0]:
        return "accounts keep sessions and hours of their own, as people do."
    also = (
        "as with accounts fed from one queue" if ratio > 0 else "but people's hours explain as much or more"
    )
    return f"its own history says little about when an account writes, {also}."


def _habits(log: Traffic, group: Group, seen: Hours) -> Floats:
    """Return (g, m) log-likelihoods of people with hours of the day of their own, on the days of the others.

    They keep no sessions: a journal every evening, a shift, a market for small jobs.
    """
    data, others = seen.data, seen.others
    hours = aspect(log, group.rows, group.members, log.of_day, np.full(24, 1 / 24)).data
    days = data.held * np.log(others.days[data.account, data.bin // 24])
    loose = [c for c in PEOPLE if c <= HOURS]
    of_hours = dirichlet_multinomial(hours, others.hours[hours.account, hours.bin], loose)
    return of_hours + np.bincount(data.account, days, minlength=len(group.members))


def _programs(log: Traffic, group: Group, others: Floats) -> Floats:
    """Return (g, m) log-likelihoods of programs: days of their own, and any hour of the day alike.

    others (m, days): the days of the others' rows, which an account's own are around.
    """
    n_days = others.shape[1]
    days = aspect(log, group.rows, group.members, log.hour // 24, np.full(n_days, 1 / n_days)).data
    loose = [c for c in PEOPLE if c <= DAYS]
    return dirichlet_multinomial(days, others[days.account, days.bin], loose) - days.n_held * np.log(24)
