"""The same prompt from several accounts: people, classes and jobs repeat; a harvest asks everything once."""

import numpy as np

from campaigns.evidence.finding import Finding, log_e_value, not_tested
from campaigns.groups import Group
from campaigns.laws import Floats, Ints
from campaigns.traffic import Traffic
from campaigns.vocabulary import Signal, Status

BANK = 0.2  # least share of repeated requests where many answer the same questions
TESTABLE = 0.01  # a log of free text, where hardly anything repeats, cannot tell by repeats


def repeated(log: Traffic) -> Floats:
    """Return (n,) 1.0 where the row's exact text was sent by at least two accounts, else 0.0."""
    text: Ints = log.rows["text"].to_numpy().astype(np.int64)
    pairs = np.unique(text * log.n_accounts + log.account)
    accounts = np.bincount(pairs // log.n_accounts)
    return (accounts[text] > 1).astype(float)


def repeats(log: Traffic, group: Group, again: Floats) -> Finding:
    """Weigh how few of the members' requests another account has sent too, against people's repeats.

    again (n,): `repeated(log)`. Null: each request repeats with at least a quarter of the log's own rate, as
    the requests of a service's customers do. Not tested in a log of free text: there nobody repeats.
    """
    usual = float(again.mean())
    if usual < TESTABLE:
        return not_tested(Signal.REPEATS, f"prompts hardly repeat in this log ({usual:.1%})")
    return _finding(Signal.REPEATS, log, group, again, usual / 4, "people's repeats")


def question_bank(log: Traffic, group: Group, again: Floats) -> Finding:
    """Weigh the same share against one in five: a class, an exam, a viral prompt, jobs over fixed inputs."""
    return _finding(Signal.QUESTION_BANK, log, group, again, BANK, "many accounts, one set of prompts")


def _finding(signal: Signal, log: Traffic, group: Group, again: Floats, least: float, null: str) -> Finding:
    rows = group.member_rows(log)
    share, usual = float(again[rows].mean()), float(again.mean())
    return Finding(
        signal,
        Status.TESTED,
        None,
        share,
        share / max(usual, 1e-9),
        f"{null}: at least {least:.1%} of requests",
        log_e_value(_shortfall(len(rows), share, least)),
        len(rows),
        f"{share:.1%} of the requests have been sent by another account too; {usual:.1%} in the whole log.",
    )


def _shortfall(n: int, share: float, least: float) -> float:
    """Return the log-likelihood ratio of the observed share to the least innocent one, 0 at or above it.

    The share seen is shrunk by half a row for the numerator, so that it is not a maximum over itself.
    """
    if share >= least:
        return -1.0
    fitted = (n * share + 0.5) / (n + 1)
    return n * (share * np.log(fitted / least) + (1 - share) * np.log((1 - fitted) / (1 - least)))
