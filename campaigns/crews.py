"""One operator or two: whether accounts send at one rate and to the same models, whatever they ask."""

from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy import sparse

from campaigns.groups import Group
from campaigns.laws import Floats, Ints, cells, dirichlet_multinomial
from campaigns.marks import TOPICS, found_in, mark_of
from campaigns.people import People
from campaigns.traffic import Traffic
from campaigns.volumes import volumes

OTHER_OPERATOR = -np.log(20)  # log-likelihood ratio to two operators from which accounts are not of one
KINDS = 6  # of accounts, by what they ask, that are put together to crews
PLAINLY = OTHER_OPERATOR - np.log(2 ** (KINDS - 1) - 1)  # the same over all ways to make two of the kinds
OWN = (0.1, 0.3)  # concentrations of what each account has a choice of its own in
ALIKE = (1.0, 4.0, 16.0, 64.0, 256.0)  # concentrations of what the accounts of a campaign choose


class Fit(NamedTuple):
    """Log-likelihoods of all that some accounts sent: at one rate or nearly, and to one mix of models."""

    rate: float
    models: float


def one_or_two(log: Traffic, accounts: Ints, others: Ints, people: People) -> float:
    """Return the log-likelihood ratio of one operator for all to one for either, by all that they sent.

    By rates, and by the models that are asked where these speak against one operator: that two crews ask the
    same models says nothing, since all use the few that there are.
    """
    return _ratio(*(_fit(log, some, people) for some in (np.union1d(accounts, others), accounts, others)))


def _ratio(both: Fit, one: Fit, other: Fit) -> float:
    return both.rate - one.rate - other.rate + min(both.models - one.models - other.models, 0.0)


def crews(
    log: Traffic,
    group: Group,
    people: People,
    labels: dict[str, Ints],
    *,
    linking: bool = False,
    least: float = OTHER_OPERATOR,
) -> list[Group]:
    """Return the crews that a campaign is of, largest first: itself where it is of one.

    Two harvests of the same topics are found in one piece, or one with a template beside one without.
    Accounts are put together by what they ask, and that says nothing of how much they send: those who send at
    one rate, and ask models in one way, are of one crew, others of another operator's. Where the campaign has
    a mark, accounts are put together by their commonest label of it: who works with one template is of one
    crew at any rate. labels as for `grown`; linking: rates and models are read in the linking half alone;
    least: the log-likelihood ratio to two operators below which kinds of accounts are two crews.
    """
    members, work = group.members, group.member_rows(log)
    if len(members) < 2 * KINDS:
        return [group]
    found = found_in(log, group, labels)
    mark = mark_of(found, labels, work)
    kind = (
        _by_label(log, members, work[found[mark][work]], labels[mark])
        if mark
        else _by_topics(log, members, work, labels[TOPICS])
    )

    @cache
    def fit(kinds: frozenset[int]) -> Fit:
        accounts = members[np.isin(kind, list(kinds))]
        return _fit(log, accounts, people, by_chance=True, linking=linking)

    def ratio(pair: tuple[frozenset[int], frozenset[int]]) -> float:
        one, other = pair
        return _ratio(fit(one | other), fit(one), fit(other))

    apart = [frozenset({int(i)}) for i in np.unique(kind)]
    while len(apart) > 1:
        best = max(combinations(apart, 2), key=ratio)
        if ratio(best) < least:
            break
        apart = [kinds for kinds in apart if kinds not in best] + [best[0] | best[1]]
    crew = [group.without(members[~np.isin(kind, list(kinds))]) for kinds in apart]
    return sorted(crew, key=lambda part: -len(part.members))


def _by_topics(log: Traffic, members: Ints, work: Ints, topics: Ints) -> Ints:
    """Return (m,) the kind of each account by its shares of topics: k-means on their roots (Hellinger)."""
    from sklearn.cluster import KMeans

    used, topic = np.unique(topics[work], return_inverse=True)
    place = log.places(members)[log.account[work]]
    at = place.astype(np.int32), topic.astype(np.int32)  # as scikit-learn wants them
    counts = sparse.csr_array((np.ones(len(work)), at), shape=(len(members), len(used)))
    shares = counts.multiply(1 / counts.sum(axis=1)[:, None]).tocsr().sqrt()
    kind = KMeans(min(KINDS, len(used)), n_init=4, random_state=0).fit_predict(shares)
    return kind.astype(np.int64)


def _by_label(log: Traffic, members: Ints, work: Ints, label: Ints) -> Ints:
    """Return (m,) the kind of each account by its commonest label; the rarer kinds are as the commonest."""
    used, number = np.unique(label[work], return_inverse=True)
    counts = np.zeros((len(members), len(used)))
    np.add.at(counts, (log.places(members)[log.account[work]], number), 1)
    kind = np.where(counts.any(axis=1), counts.argmax(axis=1), -1)
    most = np.bincount(kind[kind >= 0], minlength=len(used))
    common = np.argsort(-most, kind="stable")[:KINDS]
    return np.where(np.isin(kind, common), kind, common[0])


def _fit(
    log: Traffic, accounts: Ints, people: People, *, by_chance: bool = False, linking: bool = False
) -> Fit:
    """Return how well one operator fits some accounts, by all that they sent or the linking half of it.

    by_chance: rows fall to accounts by chance and are not dealt out in turn, where one kind of accounts may
    be a row ahead of another.
    """
    rows = log.rows_of(accounts)
    if linking:
        rows = rows[~log.held_out[rows]]
    ones = np.ones(len(accounts))
    group = Group(clusters=(), rows=rows, candidates=accounts, confidence=ones, least=int(not linking))
    sent = volumes(log, group, people)
    return Fit(sent.one_rate_by_chance if by_chance else sent.one_rate, _models(log, rows, accounts, people))


def _models(log: Traffic, rows: Ints, accounts: Ints, people: People) -> float:
    """Return the log-likelihood of the models that some accounts asked in their rows, around one mix.

    Each share and the concentration that are fitted cost half a log of the accounts (Schwarz 1978).
    """
    n = len(people.models)
    if n < 2:
        return 0.0
    model = log.codes("model")
    rows = rows[model[rows] >= 0]
    place = log.places(accounts)[log.account[rows]]
    asked = cells(place, model[rows], np.ones(len(rows), dtype=bool), len(accounts), n)
    each = np.bincount(asked.bin, asked.held / asked.n_held[asked.account], n) + people.models
    mix: Floats = each / each.sum()
    fit = dirichlet_multinomial(asked, mix[asked.bin], (*OWN, *ALIKE)).sum(axis=1)
    return float(fit.max()) - n / 2 * float(np.log(len(accounts)))
