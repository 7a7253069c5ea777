"""Where accounts come from: addresses of their own, or some that others use too. Describes, does not decide.

A pool of addresses is what any proxy, office or campus looks like, and an operator with residential proxies
shows none: weighed as a likelihood ratio, it changed no report on the proving ground.
"""

from campaigns.evidence.finding import Finding, not_tested
from campaigns.groups import Group, accounts_in
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status


def shared_addresses(log: Traffic, group: Group) -> Finding:
    """Count the members at each of their addresses, and the requests from addresses of two or more."""
    if not log.has("ip"):
        return not_tested(Signal.ADDRESSES, "no ip column")
    codes = log.codes("ip")
    work = group.member_rows(log)
    rows = work[codes[work] >= 0]
    if not len(rows):
        return not_tested(Signal.ADDRESSES, "no request of the group has an address")
    users = accounts_in(log, codes, rows)
    each, common = float(users[users > 0].mean()), float((users[codes[rows]] > 1).sum()) / len(work)
    return Finding(
        Signal.ADDRESSES,
        Status.TESTED,
        None,
        each,
        common,
        None,
        None,
        len(rows),
        f"An address of the group is used by {each:.1f} of its accounts on average; {common:.0%} of the "
        "requests come from one that two or more of them use.",
    )
