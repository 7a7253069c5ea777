"""Where accounts come from: people have addresses of their own, a pool is drawn on by everyone."""

from campaigns.aspects import aspect, log_ratio, tightness
from campaigns.evidence.finding import Finding, log_e_value, not_tested
from campaigns.groups import Group, accounts_in
from campaigns.people import People
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status


def shared_addresses(log: Traffic, group: Group, people: People) -> Finding:
    """Weigh the addresses of the members' held-out rows: a common pool against addresses of their own.

    Statistic: accounts an address. Null: own addresses or the log's at large (Dirichlet-multinomial). A
    group that shares nothing is neutral: residential proxies leave no trace here.
    """
    if not log.has("ip"):
        return not_tested(Signal.ADDRESSES, "no ip column")
    codes, wide = log.codes("ip")
    member = group.members
    rows = group.member_rows(log)
    rows = rows[codes[rows] >= 0]
    view = aspect(log, group.rows, member, codes, wide)
    if not len(view.data.held) or not view.data.n_seen.sum():
        return not_tested(Signal.ADDRESSES, "no addresses in one of the halves")
    users = accounts_in(log, codes, rows)
    shared = float(users[users > 0].mean())
    ratio = log_ratio(view, people.addresses)
    return Finding(
        Signal.ADDRESSES,
        Status.TESTED,
        None,
        shared,
        tightness(view),
        f"own addresses: Dirichlet-multinomial, concentration at most {people.addresses:.0f}",
        log_e_value(ratio),
        int(view.data.held.sum()),
        f"An address of the group is used by {shared:.1f} of its accounts on average.",
        ratio,
    )
