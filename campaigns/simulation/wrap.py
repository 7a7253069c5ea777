"""Make requests of tasks, in the shape that a scenario declares."""

from zlib import crc32

import numpy as np
import polars as pl
from numpy.random import Generator

from campaigns.simulation.generator import fill_any, load_table
from campaigns.simulation.ordinary import compose_template, template_pools
from campaigns.simulation.pack import Ints, Pack
from campaigns.simulation.scenario import Scenario, Shape

_LISTED = {
    Shape.RUBRIC: "rubric",
    Shape.CLEANING: "cleaning",
    Shape.REWRITE: "rewrite",
    Shape.TRANSLATION: "translation",
}


def wrap(
    tasks: pl.Series, family: Ints, scenario: Scenario, variant: int, pack: Pack, split: str, rng: Generator
) -> pl.Series:
    """Put each task (n,) into the scenario's shape: strings (n,).

    `variant` numbers the wording, `split` says from which half of the written ones it is taken.
    """
    n, shape = tasks.len(), scenario.shape
    if shape is Shape.TASK or not n:
        return tasks
    pools = template_pools(rng)
    if shape in (Shape.PREAMBLE, Shape.LONG_PREAMBLE, Shape.LIBRARY):
        many = 40 if shape is Shape.LIBRARY else 1
        templates = compose_template(many, pools, rng, clauses=int(rng.integers(3, 7)))
        if shape is Shape.LONG_PREAMBLE:
            pages = " ".join(pools["prose"].gather(rng.integers(0, 4000, 75)).to_list())
            templates = pages + "\n" + templates
        which = np.floor(many * rng.random(n) ** 2).astype(np.int64)
        return _text(templates.gather(which) + tasks)
    if shape is Shape.EXACT:
        edits = pl.Series(["", "", "", "", "", "", "", " please", "!", " thanks", "\n(in short)"])
        return _text(tasks + edits.gather(rng.integers(0, edits.len(), n)))
    if shape is Shape.SUFFIX:
        return _text(tasks + "\n" + wording("suffix", variant, split))
    if shape is Shape.HARNESS:
        return _text(wording("harness", variant, split) + "\n\nUser: " + tasks)
    if shape is Shape.INJECTED:
        return _inject(tasks, family, wording("injected", variant, split), pack, rng)
    if shape is Shape.PARAPHRASED:
        return _text(_paraphrases(n, split, rng) + "\n" + tasks)
    return _listed(tasks, family, wording(_LISTED[shape], variant, split), pack, rng)


def wording(table: str, variant: int, split: str) -> str:
    """Return one of the written wordings of a split: the first half of each list is for tuning."""
    texts: list[str] = load_table("templates.toml")[table]["texts"]
    half = max(len(texts) // 2, 1)
    mine = texts[:half] if split == "tuning" else texts[half:]
    return mine[(crc32(table.encode()) + variant) % len(mine)]


def _text(series: pl.Series) -> pl.Series:
    return series.alias("text")


def _fragments(pack: Pack, family: Ints, pieces: int, rng: Generator) -> pl.Series:
    """Return texts of one to `pieces` free pieces of each task's family (n,): answers, traces, pages."""
    n = len(family)
    count = rng.integers(1, pieces + 1, n)
    columns = []
    for i in range(pieces):
        text = pack.texts.gather(pack.free(family, rng.integers(0, 1 << 30, n)))
        columns.append(pl.select(pl.when(pl.Series(count > i)).then(text)).to_series().alias(str(i)))
    return pl.select(pl.concat_str(*columns, separator=" ", ignore_nulls=True)).to_series()


def _inject(tasks: pl.Series, family: Ints, line: str, pack: Pack, rng: Generator) -> pl.Series:
    """Put a line between pieces before and after the task, at a place that varies."""
    n = tasks.len()
    before, after = _fragments(pack, family, 2, rng), _fragments(pack, family, 2, rng)
    front = pl.Series(rng.random(n) < 0.5)
    head = pl.select(pl.when(front).then(tasks + "\n" + before).otherwise(before)).to_series()
    tail = pl.select(pl.when(front).then(after).otherwise(after + "\n" + tasks)).to_series()
    return _text(head + "\n" + line + "\n" + tail)


def _paraphrases(n: int, split: str, rng: Generator) -> pl.Series:
    """Say one thing n times in wordings drawn clause by clause."""
    table = load_table("templates.toml")["paraphrase"][split]
    clauses = [fill_any(table[key], {}, n, rng).alias(key) for key in sorted(table)]
    return pl.select(pl.concat_str(*clauses, separator=" ")).to_series()


def _listed(tasks: pl.Series, family: Ints, form: str, pack: Pack, rng: Generator) -> pl.Series:
    """Fill a written form: {task}, {answer} and {trace} by pieces of the pack, {language} by name."""
    n = tasks.len()
    languages = pl.Series(load_table("templates.toml")["translation"]["languages"])
    fillings = {
        "{task}": lambda: tasks,
        "{answer}": lambda: _fragments(pack, family, 2, rng),
        "{trace}": lambda: _fragments(pack, family, 4, rng),
        "{language}": lambda: languages.gather(np.arange(n) % languages.len()),
    }
    parts: list[pl.Series] = []
    chosen: dict[str, pl.Series] = {}
    for i, part in enumerate(_split_form(form)):
        if part in fillings:
            chosen.setdefault(part, fillings[part]())
            parts.append(chosen[part].alias(str(i)))
        else:
            parts.append(pl.Series(str(i), [part]).new_from_index(0, n))
    return pl.select(pl.concat_str(*parts)).to_series().alias("text")


def _split_form(form: str) -> list[str]:
    out = [form]
    for slot in ("{task}", "{answer}", "{trace}", "{language}"):
        out = [piece for part in out for piece in _around(part, slot)]
    return [piece for piece in out if piece]


def _around(part: str, slot: str) -> list[str]:
    pieces = part.split(slot)
    return [x for piece in pieces for x in (piece, slot)][:-1] if len(pieces) > 1 else pieces


def wrapper_length(scenario: Scenario, variant: int, pack: Pack, split: str) -> int:
    """Return roughly how many characters the shape adds to a task."""
    rng = np.random.default_rng(0)
    family = rng.choice(len(pack.size), 32, p=pack.weight)
    made = wrap(pl.Series(["x"] * 32), family, scenario, variant, pack, split, rng)
    return int(np.median(made.str.len_chars().to_numpy())) - 1
