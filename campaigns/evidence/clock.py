"""At what minutes? A job that is run by a clock keeps to its minute of the hour, a queue has none."""

import numpy as np

from campaigns.evidence.finding import Finding, log_e_value, not_tested, share_ratio
from campaigns.groups import Group
from campaigns.laws import BYSTANDERS, Floats, Ints
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status

BIN = 0.5  # minutes: how finely the minute of a job is looked for
NEAR = 2.5  # minutes before and after it that are still on time
ON_TIME = 0.5  # least of its activity that a job has at its minute, or at everybody's
TIMES = (1, 2, 3, 4, 6)  # an hour that a clock runs a job


def off_the_clock(log: Traffic, group: Group) -> Finding:
    """Weigh the share of activity at the minute of the hour that is each account's own, or everybody's.

    Statistic: an account's active hours are dealt in turn to two halves; on time is a row within NEAR minutes
    of the busiest minute that the account, or the group, has in the other half, a sixth of all if minutes are
    alike. A row weighs one over the rows of its hour: a run of many requests is one event. Linking has looked
    at no minutes. Null: jobs run by a clock, at least one half on time, once an hour or at each half, third,
    quarter or sixth of it: the least ratio counts. Not tested where the log's own times are rounded.
    """
    if log.rounded:
        return not_tested(Signal.CLOCK, "the log's times are rounded, most to a few minutes of the hour")
    rows = group.member_rows(log)
    place = log.places(group.members)[log.account[rows]]
    minute = log.minute[rows]
    event = _events(place * (log.n_slots + 1) + log.hour[rows], minute)
    weight, m = 1 / np.bincount(event)[event], len(group.members)
    first = np.full(m, event.max(initial=0))
    np.minimum.at(first, place, event)
    half = (event - first[place]) % 2
    other = place + (1 - half) * m
    at = np.isin(other, place + half * m)  # where an account had but one hour, none tells its minute
    n_told = len(np.unique(place[at]))
    if n_told <= max(BYSTANDERS) * m:  # who may all be bystanders
        return not_tested(Signal.CLOCK, "hardly any account has two hours to compare")
    found = []
    for times in TIMES:  # half an hour is an hour of a clock that runs twice as fast
        fast = minute * times % 60
        own = _busiest(place + half * m, fast, weight, 2 * m)
        shared = _busiest(half, fast, weight, 2)
        on_time = (_apart(fast, own[other]) <= NEAR) | (_apart(fast, shared[1 - half]) <= NEAR)
        found.append(share_ratio(on_time[at], place[at], ON_TIME, weight=weight[at]))
    ratio, share = min(found, key=lambda said: (said[0], -said[1]))
    return Finding(
        Signal.CLOCK,
        Status.TESTED,
        None,
        share,
        share / (4 * NEAR / 60),
        f"jobs run by a clock: at least {ON_TIME:.0%} of their activity at one minute of it or of a part",
        log_e_value(ratio),
        len(np.unique(event[at])),
        f"{share:.0%} of the activity is at each account's own minute of the hour, or of a part of it, or at "
        f"everybody's; where all minutes are alike it is {4 * NEAR / 60:.0%}.",
    )


def _events(hour: Ints, minute: Floats) -> Ints:
    """Return (r,) numbers of the hours in which an account sent, one for two that a single run lies in.

    hour (r,): differs from account to account. A run that a new hour cuts would seem to come twice, on time.
    """
    found, event = np.unique(hour, return_inverse=True)
    first, last = np.full(len(found), 60.0), np.zeros(len(found))
    np.minimum.at(first, event, minute)
    np.maximum.at(last, event, minute)
    run_on = (np.diff(found) == 1) & (first[1:] + 60 - last[:-1] <= 2 * NEAR)
    run_on &= (last[1:] <= 2 * NEAR) | (first[:-1] >= 60 - 2 * NEAR)
    return np.append(0, np.cumsum(~run_on))[event]


def _apart(minute: Floats, other: Floats) -> Floats:
    """Return how many minutes apart two minutes of the hour are, at most 30."""
    apart = np.abs(minute - other)
    return np.minimum(apart, 60 - apart)


def _busiest(account: Ints, minute: Floats, weight: Floats, m: int) -> Floats:
    """Return (m,) the minute of the hour around which each account has most weight, the first of equals."""
    n = int(60 / BIN)
    held = np.bincount(account * n + (minute / BIN).astype(int), weights=weight, minlength=m * n).reshape(
        m, n
    )
    wide = int(2 * NEAR / BIN)
    around = np.cumsum(np.concatenate([held, held[:, :wide]], axis=1), axis=1)
    return (np.argmax(around[:, wide:] - around[:, :-wide], axis=1) + 1 + wide / 2) * BIN % 60
