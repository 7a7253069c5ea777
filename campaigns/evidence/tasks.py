"""What accounts ask: people have interests of their own, a queue deals the same mix to everyone."""

import numpy as np

from campaigns.aspects import aspect, log_ratio, tightness
from campaigns.evidence.finding import Finding, log_e_value, not_tested
from campaigns.groups import Group
from campaigns.laws import Ints, effective_number
from campaigns.people import People
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status

TEMPER = 0.4  # what a topic tells, of what it would if topics were what accounts want


def shared_tasks(log: Traffic, group: Group, people: People, topics: Ints) -> Finding:
    """Weigh the topics of the members' held-out rows: the crowd's mix against each one's own.

    topics (n,) int64 by row of the log. Statistic and null as for the hours, over topics in place of slots.
    Effect: the number of topics the group really uses, exp(entropy): one template alone says nothing here.

    The log ratio counts by two fifths (a tempered likelihood, Gruenwald and van Ommen 2017): topics are as
    good as the encoder, and what a crowd asks in a language that it cannot read falls to topics at random.
    """
    member = group.members
    rows = group.member_rows(log)
    view = aspect(log, group.rows, member, topics, people.topics)
    if not len(view.data.held) or not view.data.n_seen.sum():
        return not_tested(Signal.TASKS, "no rows in one of the halves")
    breadth = effective_number(np.bincount(topics[rows]))
    tight, ratio = tightness(view), TEMPER * log_ratio([view], people.tasks)
    return Finding(
        Signal.TASKS,
        Status.TESTED,
        None,
        tight,
        breadth,
        f"people's interests: Dirichlet-multinomial, concentration at most {people.tasks:.0f}",
        log_e_value(ratio),
        int(view.data.held.sum()),
        f"The group spreads over about {breadth:.1f} topics, and "
        + (
            "every account draws on the same mix of them."
            if ratio > 0
            else "accounts have mixes of their own."
        ),
        ratio,
    )
