"""What a group is after, by words in its prompts, against the rest of the log. Describes, does not decide."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from campaigns.evidence.finding import Finding
from campaigns.groups import Group
from campaigns.laws import Ints
from campaigns.traffic import Traffic
from campaigns.vocabulary import Capability, Signal, Status, readable

LEAST = 1 / 3  # of a group's requests, or it is not what the group is after
READ = 4_000  # characters of a text
OFTEN = 1.5  # times as often as in the rest of the log
_LANGUAGES = (
    "arabic|bengali|chinese|czech|danish|dutch|english|farsi|finnish|french|german|greek|hebrew|hindi|hungarian|"
    "indonesian|italian|japanese|korean|malay|mandarin|norwegian|persian|polish|portuguese|romanian|russian|"
    "spanish|swahili|swedish|tamil|thai|turkish|ukrainian|urdu|vietnamese"
)
# Lower case, Rust regular expressions: what a request asks the model to do. One may ask for several things.
RULES: Mapping[Capability, str] = {
    Capability.GRADING: r"\b(rubric|grad(e|es|ing) (the|this|these|each|answers?|responses?)|scor(e|ing) (the|this|each|from|between|it|on|of|\d+)|(you|to) grade|judge (the|this|these|each) (reply|response|answer|output)|reward model|evaluate the candidate|rate (the|this|each) (response|answer|output)|which (response|answer|output) is better|evaluat(e|ing) the (response|answer|quality)|as a judge)\b|评分|打分",
    Capability.SAFETY_REWRITE: r"\b((rewrite|rephrase|reword|version)\b.{0,60}\b(neutral|safe|sensitive|harmless|acceptable)|(neutral|safe|harmless|sanitised|sanitized) (version|wording)|sensitive (question|topic|subject)|without (refus|political))",
    Capability.DATA_CLEANING: r"\b(clean(ed)? (up )?(the|this|these|trace|text|data)|(remove|drop|cut|delete|strip)\b.{0,60}\bfalse starts|remove (the )?(duplicat\w*|boilerplate|repetitions?)|normali[sz]e (the|this)|fix (the )?formatting|(raw|reasoning) trace|(this|the) transcript)\b",
    Capability.REASONING: r"step[ -]by[ -]step|one (numbered )?step at a time|every step of|chain of (thought|reasoning)|\b(every|each|all) (of )?(your )?(intermediate )?thoughts?\b|intermediate (thoughts?|reasoning)|<reason|scratchpad|reason (it |this )?through|show your (reasoning|work)|<think|\b(your|internal|inner|hidden|private) (thinking|thoughts?|reasoning|deliberations?|considerations)\b|reason(ing)? (process|aloud|in (full )?detail)|think\b.{0,30}\b(aloud|out loud)|explain your reasoning|一步一步|逐步",
    Capability.AGENTIC: r"\b(tool[ _]call|function call|api call|call the (function|tool|api)|available tools|agent\b.{0,40}\b(task|plan)|autonomous agent|action input|thought, action|you have access to|browser|json schema)",
    Capability.CODING: r"(\bdef [a-z_]+\(|```|\bpython\b|\bjavascript\b|\bfunction\b|\bclass [a-z]+|\bsql\b|unit tests?|\bc\+\+|\bcompile|#include|\bbug\b|refactor)",
    Capability.TRANSLATION: rf"\b(translat(e|ion|ing)|(in|into|from) (natural |plain |fluent )?({_LANGUAGES})|({_LANGUAGES}) version)\b|翻译|翻譯",
    Capability.SYNTHETIC_DATA: r"\b(generate (a |an |\d+ |new |diverse )*(instruction|question|example|task|sample|dataset|prompt)s?|come up with (a |an |\d+ )*(task|question|instruction)|(new|given|harder) prompt|synthetic|persona\b[^.]{0,99}\b(create|ask|write)s?\b)",
    Capability.MATHEMATICS: r"(\bhow many\b|\bsolve\b|\bequation|\bcalculate\b|\bprove\b|\\frac|\btheorem\b|\bintegral\b)",
    Capability.QUESTION_ANSWERING: r"\?|？|^(who|what|when|where|which|why|how)\b",
}


def capabilities(texts: pl.Series) -> NDArray[np.bool_]:
    """Return (n, k) whether each text asks for each of the k capabilities in `RULES`; for none: general.

    Of a long text its beginning and its end are read: that is where instructions stand.
    """
    ends = texts.str.head(READ // 2) + "\n" + texts.str.tail(READ // 2)
    short = texts.str.len_chars() <= READ
    lower = pl.select(pl.when(short).then(texts).otherwise(ends).str.to_lowercase().alias("text"))
    asks = lower.select(pl.col("text").str.contains(rule).alias(kind) for kind, rule in RULES.items())
    return asks.to_numpy()


def capability(
    log: Traffic, group: Group, asks: NDArray[np.bool_], everybody: Ints
) -> tuple[Finding, Capability]:
    """Find what the group asks for most above the rest of the log: what its template says, if it has one.

    asks (n, k) by row of the log, as `capabilities` says of its text; everybody (k,) rows of the log by each.
    """
    rows = group.member_rows(log)
    theirs = asks[rows].sum(axis=0)
    inside = theirs / max(len(rows), 1)
    base = (everybody - theirs + 1) / (len(asks) - len(rows) + 2)
    often = (inside >= LEAST) & (inside >= OFTEN * base)
    excess = np.where(often, inside * np.log(np.maximum(inside, LEAST) / base), 0.0)
    best = int(np.argmax(excess))
    if not often.any():
        kind, share, times = Capability.GENERAL, None, None
        sentence = (
            "By its words the group asks for nothing in particular more often than the rest of the log."
        )
    else:
        kind, share, times = list(RULES)[best], float(inside[best]), float(inside[best] / base[best])
        sentence = (
            f"{share:.0%} of the group's requests ask for {readable(kind)}, by their words; "
            f"{base[best]:.0%} in the rest of the log."
        )
    aim = Finding(Signal.CAPABILITY, Status.TESTED, None, share, times, None, None, len(rows), sentence)
    return aim, kind
