"""What a campaign's work is known by: labels that are its own, by template, network or topic."""

import numpy as np
from numpy.typing import NDArray

from campaigns.groups import Group, accounts_in
from campaigns.laws import Ints, effective_number
from campaigns.traffic import Traffic

OURS, OURS_ROWS = 0.3, 5  # a good part, and the rows that make it more than an accident
OURS_IN_MAIN = 0.1  # least part of a label that holds much of what the members wrote
NETWORK, TOPICS = "network", "topics"
MARKS = ("run", "skeleton", NETWORK)  # what can be a campaign's own, the more exact first
COVERED = 0.8  # part of the members' work that makes a template or a network the mark of the campaign
FEW = 4.0  # such labels, as equal ones: many are the families of a harvest
OURS_ACCOUNTS = 0.1  # least part of the members that a label of theirs has


def found_in(log: Traffic, group: Group, labels: dict[str, Ints]) -> dict[str, NDArray[np.bool_]]:
    """Return by view the rows (n,) in labels that are the group's."""
    return {view: _theirs(log, group, label) for view, label in labels.items()}


def mark_of(found: dict[str, NDArray[np.bool_]], labels: dict[str, Ints], work: Ints) -> str | None:
    """Return the view in which a few labels of its own cover a group's work, if there is one."""
    for view in MARKS:
        if view in found and found[view][work].mean() >= COVERED:
            own = np.bincount(labels[view][work][found[view][work]])
            if effective_number(own) <= FEW:
                return view
    return None


def _theirs(log: Traffic, group: Group, label: Ints) -> NDArray[np.bool_]:
    """Return (n,) bool, rows whose label is the group's.

    Such a label has at least OURS_ROWS rows of members, from at least two of them and a tenth, and these are
    either a part OURS of the label, or as much of all labelled rows of members and OURS_IN_MAIN of the label.
    """
    n = int(label.max(initial=0)) + 1
    own = np.isin(log.account, group.members) & (label >= 0)
    size = np.maximum(np.bincount(label[label >= 0], minlength=n), 1)
    theirs = np.bincount(label[own], minlength=n)
    accounts = accounts_in(log, label, np.flatnonzero(own))
    enough = (theirs >= OURS_ROWS) & (accounts >= max(OURS_ACCOUNTS * len(group.members), 2))
    main = (theirs >= OURS * own.sum()) & (theirs >= OURS_IN_MAIN * size)
    mine: NDArray[np.bool_] = (label >= 0) & (enough & ((theirs >= OURS * size) | main))[label]
    return mine
