"""One template, many fillings: what the texts of a group have in common. Describes, does not decide."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice

from campaigns.evidence.finding import Finding
from campaigns.vocabulary import Signal, Status

UNSPACED = r"\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
TOKEN = re.compile(rf"[{UNSPACED}]|\d+|[^\W\d_{UNSPACED}]+")
GRAM = 4
MOST_TOKENS = 400


def grams(text: str) -> set[tuple[str, ...]]:
    """Return the distinct runs of four tokens of a text's first 400 tokens; CJK and Thai by character."""
    tokens = [match.group().lower() for match in islice(TOKEN.finditer(text), MOST_TOKENS)]
    return set(zip(*(tokens[i:] for i in range(GRAM)), strict=False))


def template(texts: Sequence[str], n_distinct: int, n_rows: int) -> Finding:
    """Find the run of four tokens that most of a group's texts contain, and how often fillings repeat.

    `texts` are distinct prompts of the group, some dozens. Statistic: the share of them with the
    commonest run. Effect: distinct prompts a row; near 1 under a rigid template means every filling is new.
    A tool's users share a template as well, so this never decides.
    """
    counts = Counter(gram for text in texts for gram in grams(text))
    top = max(counts.values(), default=0) / max(len(texts), 1)
    fresh = n_distinct / max(n_rows, 1)
    return Finding(
        Signal.TEMPLATE,
        Status.TESTED,
        None,
        top,
        fresh,
        None,
        None,
        len(texts),
        f"{top:.0%} of {len(texts)} of the group's prompts share one run of four words; {fresh:.0%} of its "
        "requests are distinct prompts. A shared tool shows the same.",
    )
