"""What a group is after, by words in its prompts, against the rest of the log. Describes, does not decide."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from campaigns.evidence.finding import Finding
from campaigns.groups import Group
from campaigns.laws import Ints
from campaigns.traffic import Traffic
from campaigns.vocabulary import Capability, Signal, Status

# First match wins; lower case, Rust regular expressions. Words a template carries, not topics.
RULES: Mapping[Capability, str] = {
    Capability.GRADING: r"\b(rubric|score the|rate the (response|answer)|grade (the|this)|which (response|answer|output) is better|evaluat(e|ing) the (response|answer|quality)|as a judge|评分|打分)\b",
    Capability.SAFETY_REWRITE: r"\b(rewrite .{0,40}(neutral|safe|sensitive|harmless)|sensitive (question|topic)|without (refus|political))",
    Capability.DATA_CLEANING: r"\b(clean(ed)? (up )?(the|this)|remove (duplicate|boilerplate)|normali[sz]e the (text|following)|fix the formatting|reasoning trace|transcript below)\b",
    Capability.REASONING: r"(step[ -]by[ -]step|chain of thought|show your (reasoning|work)|<think|internal reasoning|reason(ing)? (process|aloud|in detail)|explain your reasoning|一步一步|逐步)",
    Capability.AGENTIC: r"\b(tool[ _]call|function call|api call|call the (function|tool|api)|available tools|agent\b.{0,40}\b(task|plan)|you have access to|browser|json schema)",
    Capability.CODING: r"(\bdef [a-z_]+\(|```|\bpython\b|\bjavascript\b|\bfunction\b|\bclass [a-z]+|\bsql\b|unit tests?|\bc\+\+|\bcompile|#include|\bbug\b|refactor)",
    Capability.TRANSLATION: r"(\btranslat(e|ion|ing)\b|翻译|翻譯)",
    Capability.SYNTHETIC_DATA: r"\b(generate (a |an |\d+ |new |diverse )*(instruction|question|example|task|sample|dataset|prompt)s?|come up with (a |an |\d+ )*(task|question|instruction)|synthetic)",
    Capability.MATHEMATICS: r"(\bhow many\b|\bsolve\b|\bequation|\bcalculate\b|\bprove\b|\\frac|\btheorem\b|\bintegral\b)",
    Capability.QUESTION_ANSWERING: r"\?|？|^(who|what|when|where|which|why|how)\b",
}


def capabilities(texts: pl.Series) -> Ints:
    """Return (n,) int64 the place in `Capability` of each text, by the first rule that matches it."""
    kinds = list(Capability)
    lower = texts.str.slice(0, 4_000).str.to_lowercase()
    label = pl.lit(kinds.index(Capability.GENERAL))
    for kind, rule in reversed(list(RULES.items())):
        label = pl.when(pl.col("text").str.contains(rule)).then(kinds.index(kind)).otherwise(label)
    return lower.alias("text").to_frame().select(label.alias("kind"))["kind"].to_numpy().astype(np.int64)


def capability(log: Traffic, group: Group, kinds: Ints) -> tuple[Finding, Capability]:
    """Find the capability that the group asks for most above the log's own rate; kinds (n,) by row."""
    rows = group.member_rows(log)
    inside = np.bincount(kinds[rows], minlength=len(Capability)) / max(len(rows), 1)
    base = (np.bincount(kinds, minlength=len(Capability)) + 1) / (len(kinds) + len(Capability))
    excess = inside * np.log(np.maximum(inside, 1e-12) / base)
    best = int(np.argmax(excess))
    kind = list(Capability)[best]
    sentence = (
        f"{inside[best]:.0%} of the group's requests look like {kind.replace('_', ' ')}, by their words; "
        f"{base[best]:.0%} in the whole log."
    )
    return (
        Finding(
            Signal.CAPABILITY,
            Status.TESTED,
            None,
            float(inside[best]),
            float(inside[best] / base[best]),
            None,
            None,
            len(rows),
            sentence,
        ),
        kind,
    )
