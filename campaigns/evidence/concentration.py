"""How much of the members' traffic is the group's: high is telling, low is not. Only describes."""

import numpy as np

from campaigns.evidence.finding import Finding
from campaigns.groups import Group
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status


def concentration(log: Traffic, group: Group) -> Finding:
    """Return the median share of a member's sampled rows that belong to the group.

    Resold accounts mix unrelated traffic in, so a low share speaks for nothing; a tool's accounts have a
    high share too.
    """
    member = group.members
    inside = np.bincount(log.account[group.rows], minlength=log.n_accounts)[member]
    everything = log.sent[member]
    share = inside / np.maximum(everything, 1)
    single = float((share > 0.8).mean())
    return Finding(
        Signal.CONCENTRATION,
        Status.TESTED,
        None,
        float(np.median(share)),
        single,
        None,
        None,
        len(member),
        f"Half of the accounts send at least {np.median(share):.0%} of their requests to this work; "
        f"{single:.0%} of them do hardly anything else.",
    )
