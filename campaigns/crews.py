"""One operator or two: whether accounts send at one rate and to the same models, whatever they ask."""

from collections.abc import Callable
from functools import cache, partial
from itertools import combinations
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from campaigns.groups import Group
from campaigns.laws import Floats, Ints, cells, dirichlet_multinomial
from campaigns.marks import TOPICS, found_in, mark_of
from campaigns.people import People
from campaigns.traffic import Traffic
from campaigns.volumes import volumes

OTHER_OPERATOR = -np.log(20)  # log-likelihood ratio to two operators from which accounts are not of one
FEW = 12  # accounts of which no crews are made
FAR = (0.1, 0.9)  # quantiles of what accounts send, in the middle of which many and few requests part
KINDS = 6  # of accounts, by what they ask, that are put together to crews
PLAINLY = OTHER_OPERATOR - np.log(2 ** (KINDS - 1) - 1)  # the same over all ways to make two of the kinds
FOLDS = 5  # in which accounts are guessed from the others
FAMILIAR = 0.1  # of a topic that no other account of a kind has asked about: few of many topics are anybody's
OWN = (0.1, 0.3)  # concentrations of what each account has a choice of its own in
ALIKE = (1.0, 4.0, 16.0, 64.0, 256.0)  # concentrations of what the accounts of a campaign choose

Kinds = frozenset[int]  # of accounts, put together
K = TypeVar("K", np.bool_, np.int64)


class Fit(NamedTuple):
    """Log-likelihoods of all that some accounts sent: at one rate or nearly, and to one mix of models."""

    rate: float
    models: float
    n_models: int
    n_accounts: int


def one_or_two(log: Traffic, accounts: Ints, others: Ints, people: People) -> float:
    """Return the log-likelihood ratio of one operator for all to one for either, by all that they sent.

    By rates, and by the models that are asked where these speak against one operator: that two crews ask the
    same models says nothing, since all use the few that there are. Accounts of both are left out: as of two
    operators they would have to be explained twice.
    """
    accounts, others = np.setdiff1d(accounts, others), np.setdiff1d(others, accounts)
    if not len(accounts) or not len(others):
        return 0.0
    return _ratio(*(_fit(log, some, people) for some in (np.union1d(accounts, others), accounts, others)))


def _ratio(both: Fit, one: Fit, other: Fit) -> float:
    """Return the log-likelihood ratio of one operator to two.

    Each share of a model that either of them asks, and the concentration, that are fitted cost half a log of
    the accounts (Schwarz 1978).
    """
    more = np.log(one.n_accounts * other.n_accounts / both.n_accounts)
    models = both.models - one.models - other.models + both.n_models / 2 * more
    return float(both.rate - one.rate - other.rate + min(models, 0.0))


def crews(
    log: Traffic,
    group: Group,
    people: People,
    labels: dict[str, Ints],
    *,
    linking: bool = False,
    least: float = OTHER_OPERATOR,
) -> list[Group]:
    """Split a campaign into crews, largest first; itself where it is of one, or of fewer than FEW members.

    Two harvests of the same topics are found in one piece, or one with a template beside one without. With a
    mark, accounts go by their commonest label of it, then by whether they mostly write runs; kinds of
    accounts stay together unless two rates fit them better than one. Without, they go by topics where these
    tell the models that they ask, by models that topics tell, and by volumes that topics tell: of one
    operator's accounts what they ask says nothing of how much they send. labels: as for `grown`. linking: all
    of that is read in the linking half alone. least: the log-likelihood ratio of one operator to two below
    which kinds are two crews.
    """
    members, work = group.members, group.member_rows(log)
    if len(members) < FEW:
        return [group]
    if linking:
        work = work[~log.held_out[work]]
        labels = {view: np.where(log.held_out, -1, label) for view, label in labels.items()}
    found, topics = found_in(log, group, labels), labels[TOPICS]
    mark = mark_of(found, labels, work)
    fit = partial(_fit, log, people=people, by_chance=True, linking=linking)
    if mark:
        apart, marked = [members], work[found[mark][work]]
        runs = (labels.get("run", labels[mark]) >= 0).astype(np.int64)  # of a run, or without the view: all
        for label in (labels[mark], runs):
            kinds = [_commonest(_shares(log, part, marked, label)) for part in apart]
            both = zip(apart, kinds, strict=True)
            apart = [crew for part, kind in both for crew in _by_kind(part, kind, fit, least)]
    else:
        apart, asked = [members], partial(_shares, log, rows=work, label=topics)
        if len(people.models) > 1:
            rows = _sent(log, members, linking=linking)

            def of_models(some: Ints) -> Fit:
                return _of_models(log, _sent(log, some, linking=linking), some, people)

            apart = _by_kind(members, _kinds(asked(members)), of_models, PLAINLY)
            apart = [crew for part in apart for crew in _by_models(log, part, rows, asked(part))]
        sent = log.linking if linking else log.sent
        apart = [
            crew
            for part in apart
            for crew in _by_rate(part, sent[part] / log.exposure[part], asked(part), fit, least)
        ]
    crew = [group.without(np.setdiff1d(members, part)) for part in apart]
    return sorted(crew, key=lambda part: -len(part.members))


def _by_kind(accounts: Ints, kind: Ints, fit: Callable[[Ints], Fit], least: float) -> list[Ints]:
    """Return the crews that some accounts (m,) are of, put together by their kinds (m,)."""

    @cache
    def of(kinds: Kinds) -> Fit:
        return fit(accounts[np.isin(kind, list(kinds))])

    return _joined(accounts, kind, lambda one, other: _ratio(of(one | other), of(one), of(other)), least)


def _by_rate(
    accounts: Ints, sent: Floats, asked: sparse.csr_array, fit: Callable[[Ints], Fit], least: float
) -> list[Ints]:
    """Return the crews that some accounts (m,) are of, by what they ask, shares (m, k), and send, (m,).

    Those who send more are told from those who send less by what they ask alone, as what others of either ask
    lets guess. How much an account sends itself has no part in that, but that who sends more may ask about
    more: so one way to make two of the accounts is weighed, and not the best of many.
    """
    if len(accounts) < FEW:
        return [accounts]
    more = _guessed(asked, sent > np.quantile(sent, FAR).mean())
    if more.all() or not more.any():
        return [accounts]
    if _ratio(fit(accounts), fit(accounts[more]), fit(accounts[~more])) >= least:
        return [accounts]
    return [
        crew
        for part in (more, ~more)
        for crew in _by_rate(accounts[part], sent[part], asked[part], fit, least)
    ]


def _guessed(asked: sparse.csr_array, kind: NDArray[K]) -> NDArray[K]:
    """Return (m,) which of the kinds (m,) each account is by what it asks, shares (m, k): cross-validated."""
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.naive_bayes import MultinomialNB

    law, folds = MultinomialNB(alpha=FAMILIAR, fit_prior=False), KFold(FOLDS, shuffle=True, random_state=0)
    order = np.lexsort((kind, *asked.toarray().T))  # whatever accounts are called
    said = np.empty_like(kind)
    said[order] = cross_val_predict(law, asked[order], kind[order], cv=folds)
    return said


def _by_models(log: Traffic, accounts: Ints, rows: Ints, asked: sparse.csr_array) -> list[Ints]:
    """Return the crews that some accounts (m,) are of, put together by the models that they ask in some rows.

    That says nothing of what they ask, shares (m, k) of topics: where these tell which kind an account is of,
    cross-validated, the kinds are different crews. In one crew each may have a model of its own, for
    whatever it asks.
    """
    from sklearn.metrics import confusion_matrix, mutual_info_score

    if len(accounts) < FEW:
        return [accounts]
    model = log.codes("model")
    kind = _kinds(_shares(log, accounts, rows[model[rows] >= 0], model))
    guessed = _guessed(asked, kind)
    counts = confusion_matrix(kind, guessed, labels=np.arange(KINDS))

    def ratio(one: Kinds, other: Kinds) -> float:
        pair = [list(one), list(other)]
        right = np.array([[counts[np.ix_(theirs, said)].sum() for said in pair] for theirs in pair])
        if right[0, 0] * right[1, 1] <= right[0, 1] * right[1, 0]:
            return 0.0
        n = right.sum()  # the guesses are one parameter, worth half a log (Schwarz 1978)
        return float(np.log(n) / 2 - n * mutual_info_score(None, None, contingency=right))

    return _joined(accounts, kind, ratio, PLAINLY)


def _joined(accounts: Ints, kind: Ints, ratio: Callable[[Kinds, Kinds], float], least: float) -> list[Ints]:
    """Join kinds (m,) of accounts (m,), the most alike first, until the ratio of any two is below `least`."""
    apart = [frozenset({int(i)}) for i in np.unique(kind)]
    while len(apart) > 1:
        best = max(combinations(apart, 2), key=lambda pair: ratio(*pair))
        if ratio(*best) < least:
            break
        apart = [kinds for kinds in apart if kinds not in best] + [best[0] | best[1]]
    return [accounts[np.isin(kind, list(kinds))] for kinds in apart]


def _shares(log: Traffic, accounts: Ints, rows: Ints, label: Ints) -> sparse.csr_array:
    """Return (m, k) the roots of accounts' shares of the labels (n,) in some rows (Hellinger)."""
    place = log.places(accounts)[log.account[rows]]
    theirs = rows[place >= 0]
    used, number = np.unique(label[theirs], return_inverse=True)
    place = place[place >= 0]
    at = place.astype(np.int32), number.astype(np.int32)  # as scikit-learn wants them
    counts = sparse.csr_array((np.ones(len(place)), at), shape=(len(accounts), len(used)))
    return counts.multiply(1 / np.maximum(counts.sum(axis=1), 1)[:, None]).tocsr().sqrt()


def _kinds(shares: sparse.csr_array) -> Ints:
    """Return (m,) the kind of each account by its shares (m, k): k-means, whatever accounts are called."""
    from sklearn.cluster import KMeans

    n = min(KINDS, *shares.shape)
    if n < 2:
        return np.zeros(shares.shape[0], dtype=np.int64)
    order = np.lexsort(shares.toarray().T)
    kind = np.empty(len(order), dtype=np.int64)
    kind[order] = KMeans(n, n_init=10, random_state=0).fit_predict(shares[order])
    return kind


def _commonest(shares: sparse.csr_array) -> Ints:
    """Return (m,) the kind of each account by its commonest label; the rarer kinds are as the commonest."""
    theirs = shares.toarray()
    kind = np.where(theirs.any(axis=1), theirs.argmax(axis=1), -1)
    most = np.bincount(kind[kind >= 0], minlength=theirs.shape[1])
    common = np.argsort(-most, kind="stable")[:KINDS]
    return np.where(np.isin(kind, common), kind, common[0])


def _fit(
    log: Traffic, accounts: Ints, people: People, *, by_chance: bool = False, linking: bool = False
) -> Fit:
    """Return how well one operator fits some accounts, by all that they sent or the linking half of it.

    by_chance: rows fall to accounts by chance and are not dealt out in turn, where one kind of accounts may
    be a row ahead of another.
    """
    rows = _sent(log, accounts, linking=linking)
    ones = np.ones(len(accounts))
    group = Group(clusters=(), rows=rows, candidates=accounts, confidence=ones, least=int(not linking))
    sent = volumes(log, group, people)
    rate = sent.one_rate_by_chance if by_chance else sent.one_rate
    return _of_models(log, rows, accounts, people)._replace(rate=rate)


def _sent(log: Traffic, accounts: Ints, *, linking: bool) -> Ints:
    """Return the rows that some accounts sent, all or those of the linking half."""
    rows = log.rows_of(accounts)
    return rows[~log.held_out[rows]] if linking else rows


def _of_models(log: Traffic, rows: Ints, accounts: Ints, people: People) -> Fit:
    """Return how well one mix fits the models that some accounts asked in their rows, rates left out."""
    n = len(people.models)
    if n < 2:
        return Fit(0.0, 0.0, 0, len(accounts))
    model = log.codes("model")
    rows = rows[model[rows] >= 0]
    place = log.places(accounts)[log.account[rows]]
    asked = cells(place, model[rows], np.ones(len(rows), dtype=bool), len(accounts), n)
    each = np.bincount(asked.bin, asked.held / asked.n_held[asked.account], n) + people.models
    mix: Floats = each / each.sum()
    fit = dirichlet_multinomial(asked, mix[asked.bin], (*OWN, *ALIKE)).sum(axis=1)
    return Fit(0.0, float(fit.max()), len(np.unique(asked.bin)), len(accounts))
