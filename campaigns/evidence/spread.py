"""How many accounts share the work: a gate, and an effect size. Describes, does not decide."""

import numpy as np

from campaigns.evidence.finding import Finding
from campaigns.groups import Group
from campaigns.laws import effective_number
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status


def spread(log: Traffic, group: Group) -> Finding:
    """Count the accounts, and the number of equal accounts that would be as spread out: exp(entropy)."""
    rows = group.member_rows(log)
    effective = effective_number(np.bincount(log.account[rows]))
    n = len(group.members)
    return Finding(
        Signal.SPREAD,
        Status.TESTED,
        None,
        float(n),
        effective,
        None,
        None,
        len(rows),
        f"{len(rows):,} requests come from {n:,} accounts, as spread out as {effective:.0f} equal ones.",
    )
