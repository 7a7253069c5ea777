"""Which groups are judged: by the rows that made them groups, and what campaigns leave of them."""

from dataclasses import replace

import numpy as np

from campaigns.groups import (
    TELLING,
    Group,
    gathered,
    linked_groups,
    membership,
    network_groups,
    networks,
    profile_groups,
)
from campaigns.laws import Ints
from campaigns.link import LinkSettings
from campaigns.members import alike, parts
from campaigns.people import People, people
from campaigns.traffic import Traffic


def candidates(
    log: Traffic, topics: Ints, profiles: Ints, settings: LinkSettings, seed: int
) -> tuple[list[Group], People, Ints]:
    """Return all groups to be judged, the law of people that they are judged by, and the networks (n,)."""
    network = networks(log, settings)
    groups = [
        *linked_groups(log, settings),
        *profile_groups(log, profiles, settings),
        *network_groups(log, network),
    ]
    law = people(log, topics, seed)
    groups = [group for group in groups + gathered(log, groups) if _telling(log, group)]
    least = settings.min_accounts
    groups = [group for group in _distinct(log, groups) if len(group.candidates) >= least]
    return _distinct(log, parts(log, groups, law, least)), law, network


def left(
    log: Traffic,
    groups: list[Group],
    campaigns: list[Group],
    law: People,
    labels: dict[str, Ints],
    least: int,
) -> list[Group]:
    """Return the groups without the members of known campaigns, to be judged by all that the rest sent.

    A cluster of one topic may hold some of the work of several operators, more of one account's than of
    another's; all that they sent is even, once the accounts of known operators are out. Only accounts alike
    in hours and choices in the linking half stay (`alike`). Left out are groups of fewer accounts than
    `least`, of fewer linking-half rows than TELLING, and those that have been judged by all that they sent
    already. labels: as for `grown`.
    """
    known = np.flatnonzero(membership(log, campaigns).any(axis=0))
    rest = [replace(group.without(known), whole=True) for group in groups]
    rest = [group for group in rest if len(group.members) >= least]
    rest = [
        replace(group, rows=group.member_rows(log))
        for group in alike(log, rest, law, labels)
        if len(group.members) >= least
    ]
    more = [group for group in rest if len(group.rows) < log.sent[group.members].sum()]  # else looked at
    return _distinct(log, [group for group in more if _telling(log, group)])


def _telling(log: Traffic, group: Group) -> bool:
    """Return whether a group has linking-half rows enough to be worth a test: each costs the others power."""
    return int((~log.held_out[group.rows]).sum()) >= TELLING


def _key(log: Traffic, group: Group) -> bytes:
    return group.members.tobytes() + b"/" + group.member_rows(log).tobytes()


def _distinct(log: Traffic, groups: list[Group]) -> list[Group]:
    """Drop groups of the same accounts and rows as one before them."""
    first: dict[bytes, Group] = {}
    for group in groups:
        first.setdefault(_key(log, group), group)
    return list(first.values())
