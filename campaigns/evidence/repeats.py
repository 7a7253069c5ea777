"""The same prompt again: people, bots and jobs repeat themselves and each other; a harvest does not."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, lambertw, logsumexp, xlogy

from campaigns.evidence.finding import Finding, log_e_value, not_tested, share_ratio
from campaigns.groups import Group
from campaigns.laws import Floats, Ints
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status

BANK = 0.2  # least share of requests that are asked often where the same inputs are asked over and over
OFTEN = 8  # times: an operator who asks for a few answers to one prompt is no question bank
MANY = 0.25  # of as many accounts as the group has: what went round, or what all run, reached so many
AGAIN = 2.0  # times an account: the same inputs, again and again
PEOPLES = 2 / 3  # of an account's usual rate, what a service's customers repeat at least
SEVERAL = 0.1  # weight of operators who ask for several answers to each prompt: most ask once
SOON = 600_000_000  # microseconds: what is sent again so soon is the same try, however often
REFUSED = 400  # HTTP status from which a request was not answered
TESTABLE = 0.01  # a log of free text, where hardly anything repeats, cannot tell by repeats


class Repeats(NamedTuple):
    """What is known of each row's exact text, (n,) each, and how often people's come again.

    again: 1.0 where it was asked at another time too, else 0.0; usual: its mean over accounts, not rows: one
    nightly evaluation is not what people do. asked, askers: how many times, and by how many accounts, it was
    asked in all, sampling undone. tried: the row is only tried again. times, share (k,): the share of an
    account's requests, on average, whose text was asked so many times.
    """

    again: Floats
    usual: float
    asked: Floats
    askers: Floats
    tried: NDArray[np.bool_]
    times: Ints
    share: Floats

    def usual_among(self, n: int) -> float:
        """Return the share that is usually asked again among so many of the log's requests, by anyone.

        Rarefaction (Hurlbert 1971): each other request of the text is among them with n in N.
        """
        missed = (1 - n / len(self.again)) ** np.maximum(self.times - 1, 0)
        return float(self.share @ (1 - missed))


def repeated(log: Traffic) -> Repeats:
    """Find the requests that are asked again, by the same account or another.

    Sent again with nothing in between, soon or only once, or after a refusal, a request is only tried again,
    as everybody's are.
    """
    text: Ints = log.rows["text"].to_numpy().astype(np.int64)
    moment = log.rows["timestamp"].dt.epoch("us").to_numpy()
    order = np.lexsort((text, moment, log.account))
    same = (np.diff(log.account[order], prepend=-1) == 0) & (np.diff(text[order], prepend=-1) == 0)
    once = ~np.append(False, same[:-1])  # an account that sends one prompt all week asks it again
    tried = np.empty(len(text), dtype=bool)
    tried[order] = same & (once | (np.diff(moment[order], prepend=0) <= SOON))
    if log.has("status"):
        tried |= log.rows["status"].fill_null(200).to_numpy() >= REFUSED
    weight, n = log.rows["weight"].to_numpy(), int(text.max(initial=-1)) + 1
    times, place = np.unique(np.bincount(text[~tried], minlength=n)[text], return_inverse=True)
    by_account = 1 / np.maximum(log.sent, 1)[log.account] / max(log.n_accounts, 1)
    share: Floats = np.bincount(place, weights=by_account).astype(float)
    again = (times[place] > 1).astype(float)
    asked: Floats = np.bincount(text[~tried], weight[~tried], n).astype(float)[text]
    asker = np.flatnonzero(~tried)  # one row of each account and text
    asker = asker[np.unique(text[asker] * max(log.n_accounts, 1) + log.account[asker], return_index=True)[1]]
    askers: Floats = np.bincount(text[asker], weight[asker], n).astype(float)[text]
    return Repeats(again, float(again @ by_account), asked, askers, tried, times, share)


def repeats(log: Traffic, group: Group, known: Repeats, topics: Ints) -> Finding:
    """Weigh how few of the members' requests come again, or how evenly they do, against people's repeats.

    Null: each request repeats with at least two thirds of the log's usual rate, as those of a service's
    customers do: anywhere in the log, and among the group's own requests, where fewer meet; and of one topic
    some prompts are far more popular than others. A weighted mean of the three: what one operator asks others
    may ask too, a benchmark say, but it asks each of it once, or some few times. Not tested in a log of free
    text: there nobody repeats. topics (n,) int64 by row of the log.
    """
    if known.usual < TESTABLE:
        return not_tested(Signal.REPEATS, f"prompts hardly repeat in this log ({known.usual:.1%})")
    rows = group.member_rows(log)
    _, first, place = np.unique(log.rows["text"].to_numpy()[rows], return_index=True, return_inverse=True)
    asked = np.bincount(place, weights=~known.tried[rows]).astype(float)
    account, usually = log.account[rows], known.usual_among(len(rows))
    among, inside = share_ratio(asked[place] > 1, account, PEOPLES * usually)
    said = (
        f"are asked again, word for word, in the log, and {inside:.1%} among the group's own, but for what "
        f"an account sends twice running; usually it is {known.usual:.1%}, and {usually:.1%} among so many"
    )
    alike = log_e_value(_alike(asked, topics[rows][first]))
    if alike > np.log(3 / SEVERAL):  # speaks for an operator even if nothing else does
        said += (
            "; but those of one topic come about as often, all of them, as from a list that is gone through"
        )
    anywhere = known.again[rows]
    least = PEOPLES * known.usual
    found = _finding(Signal.REPEATS, anywhere, account, known.usual, least, "people's repeats", said)
    weights = [(1 - SEVERAL) / 2, (1 - SEVERAL) / 2, SEVERAL]
    return found._replace(log_e=float(logsumexp([found.log_e or 0.0, log_e_value(among), alike], b=weights)))


def _alike(asked: Floats, topic: Ints) -> float:
    """Return the log-likelihood ratio of prompts all as popular to prompts of very different popularity.

    asked (k,): how many times each prompt was; topic (k,). Statistic: how many were asked once, of each
    topic. Of those that come n times on average it is 1 in n by a geometric law, and more where a few draw
    more; where all come alike it is fewer, as by Poisson's law (both of prompts that were asked at all). The
    mean is fitted to the same counts, so the ratio is divided by what it is on average where geometric counts
    have that mean: of k such that add up to t all are as likely (compositions of t into k parts).
    """
    asked, topic = asked[asked > 0], topic[asked > 0]
    prompts, times, once = (
        np.bincount(topic, weights).astype(float) for weights in (None, asked, asked == 1)
    )
    again = times > prompts
    prompts, times, once = prompts[again], times[again], once[again]
    if not len(prompts):
        return 0.0
    mean = times / prompts
    rate = mean + lambertw(-mean * np.exp(-mean)).real  # of Poisson's law without nought, by its mean
    poisson, geometric = rate * np.exp(-rate) / -np.expm1(-rate), 1 / mean

    def ratio(k: Floats, t: Ints) -> Floats:
        """Return the log-likelihood ratio of k prompts asked once in topics t."""
        rest = prompts[t] - k
        return xlogy(k, (poisson / geometric)[t]) + rest * np.log((1 - poisson) / (1 - geometric))[t]

    topics = np.arange(len(prompts))
    t = np.repeat(topics, prompts.astype(int))
    starts = np.searchsorted(t, topics)
    k = (np.arange(len(t)) - starts[t]).astype(float)  # all but one at most: some came again
    ways = _choose(prompts[t], k) + _choose((times - prompts)[t] - 1, prompts[t] - k - 1)
    usual = np.logaddexp.reduceat(ratio(k, t) + ways - _choose(times[t] - 1, prompts[t] - 1), starts)
    return float((ratio(once, topics) - usual).sum())


def _choose(n: Floats, k: Floats) -> Floats:
    """Return the logarithm of n over k, minus infinity where k is more than n."""
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def question_bank(log: Traffic, group: Group, known: Repeats) -> Finding:
    """Weigh the share that is asked often: a viral prompt, a question bank, jobs over fixed inputs.

    Null: one request in five. An operator may well ask for a few answers to one prompt, or for some to each
    of a long list, and ask what others ask. So what is often asked is so by a good part of as many accounts
    as the group has, or again and again by those that do.
    """
    rows = group.member_rows(log)
    asked, askers = known.asked[rows], known.askers[rows]
    fixed = (askers >= MANY * len(group.members)) | (asked >= AGAIN * askers)
    often = (asked >= OFTEN) & fixed & (known.again[rows] > 0)  # one row may stand for many
    said = (
        f"are in the log {OFTEN} times or more, word for word, from many accounts or over and over from some"
    )
    return _finding(Signal.QUESTION_BANK, often, log.account[rows], BANK, BANK, "one set of prompts", said)


def _finding(
    signal: Signal,
    asked: Floats | NDArray[np.bool_],
    account: Ints,
    beside: float,
    least: float,
    null: str,
    said: str,
) -> Finding:
    """Weigh the mean of `asked` (r,), by request; the effect is how many times `beside` it is."""
    ratio, share = share_ratio(asked, account, least)
    return Finding(
        signal,
        Status.TESTED,
        None,
        share,
        share / max(beside, 1e-9),
        f"{null}: at least {least:.1%} of requests",
        log_e_value(ratio),
        len(asked),
        f"{share:.1%} of the requests {said}.",
    )
