"""Views: what each keeps of a prompt."""

import math
import random
from collections import Counter

import numpy as np
import pytest

from embeddings.views import SLOT, View, ViewSettings, view_texts

WORDS = [f"w{i}" for i in range(5000)]


def say(rng: random.Random, n: int) -> str:
    return " ".join(rng.choices(WORDS, k=n))


def plain_skeletons(texts: list[str], n: int, least: int) -> list[str]:
    """The same rule for spaced words, as a loop."""
    seen: dict[tuple[str, ...], set[int]] = {}
    for row, text in enumerate(texts):
        words = text.split()
        for at in range(len(words) - n + 1):
            seen.setdefault(tuple(words[at : at + n]), set()).add(row)
    lines = []
    for text in texts:
        words = text.split()
        keep = [False] * len(words)
        for at in range(len(words) - n + 1):
            if len(seen[tuple(words[at : at + n])]) >= least:
                keep[at : at + n] = [True] * n
        line: list[str] = []
        for word, kept in zip(words, keep, strict=True):
            if kept or not line or line[-1] != SLOT:
                line.append(word if kept else SLOT)
        lines.append(" ".join(line) if any(keep) else "")
    return lines


def plain_grams(text: str, n: int) -> list[tuple[str, ...]]:
    words = text.split()
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def plain_run(
    grams: list[tuple[str, ...]], counts: Counter[tuple[str, ...]], least: int, generic: float, n: int
) -> str:
    """The weightiest recurring stretch, and what goes on from there, as a loop."""
    recurs = [counts[gram] if counts[gram] >= least else 0 for gram in grams]
    weight, first, texts = 0.0, 0, 0
    for i in range(len(grams)):
        for m in range(1, n + 2):
            shared = min(recurs[i : i + m]) if i + m <= len(grams) else 0
            alone = not any(recurs[at] for at in (i - 1, i + m) if 0 <= at < len(grams))
            known = shared if m == n + 1 or alone else min(shared, generic)
            if shared and (n + m - 1) * math.log(known) > weight + 1e-9:
                weight, first, texts = (n + m - 1) * math.log(known), i, shared
    if not texts:
        return ""
    last = first
    while first and 2 * recurs[first - 1] >= texts:
        first -= 1
    while last + 1 < len(grams) and 2 * recurs[last + 1] >= texts:
        last += 1
    return " ".join([*(gram[0] for gram in grams[first:last]), *grams[last]])


def test_the_full_view_is_the_text() -> None:
    assert view_texts(View.FULL, ["a b", ""], ViewSettings()) == ["a b", ""]


def test_the_ends_view_drops_the_middle_of_a_long_text_only() -> None:
    settings = ViewSettings(head=3, tail=4)
    assert view_texts(View.ENDS, ["abcdefg", "abcXXXXdefg"], settings) == ["abcdefg", f"abc {SLOT} defg"]


def test_the_skeleton_is_what_a_plain_loop_finds() -> None:
    rng = random.Random(0)
    fixed = say(rng, 12)
    texts = [f"{say(rng, rng.randint(0, 9))} {fixed} {say(rng, 5)}".strip() for _ in range(40)]
    texts += [" ".join(rng.choices(WORDS[:4], k=30)) for _ in range(60)] + [say(rng, 20) for _ in range(20)]
    settings = ViewSettings(min_prompts=8, run_share=0)
    assert view_texts(View.SKELETON, texts, settings) == plain_skeletons(texts, 4, 8)


def test_a_preamble_before_varied_questions_is_all_that_is_left() -> None:
    rng = random.Random(1)
    texts = [f"You are a careful grader of essays . {say(rng, 9)}" for _ in range(8)]
    assert set(view_texts(View.SKELETON, texts, ViewSettings())) == {
        f"You are a careful grader of essays . {SLOT}"
    }


def test_seven_prompts_are_too_few_for_a_skeleton() -> None:
    rng = random.Random(2)
    texts = [f"You are a careful grader of essays {say(rng, 9)}" for _ in range(7)]
    assert view_texts(View.SKELETON, texts, ViewSettings()) == [""] * 7


def test_a_text_that_repeats_itself_counts_once() -> None:
    assert view_texts(View.SKELETON, ["go on and on " * 20], ViewSettings()) == [""]


@pytest.mark.parametrize(
    "fixed", ["请把下面的文字翻译成英文", "次の文章を英語に翻訳してください", "แปลข้อความต่อไปนี้เป็นภาษาอังกฤษ"]
)
def test_scripts_without_spaces_have_skeletons(fixed: str) -> None:
    rng = np.random.default_rng(3)
    texts = [fixed + "".join(map(chr, rng.integers(0x4E00, 0x9FFF, 15))) for _ in range(9)]
    for line in view_texts(View.SKELETON, texts, ViewSettings()):
        assert line.replace(" ", "") == fixed + SLOT


def test_a_line_injected_anywhere_into_long_requests_stands_alone() -> None:
    rng = random.Random(4)
    line = say(rng, 20)
    texts = []
    for _ in range(60):  # ordinary requests share short phrases
        words = " ".join(f"{rng.choice(PHRASES)} {say(rng, rng.randrange(4))}" for _ in range(300)).split()
        at = rng.randrange(len(words))
        texts.append(" ".join([*words[:at], line, *words[at:]]))
    kept = view_texts(View.SKELETON, texts, ViewSettings())
    assert all(line in text for text in kept)
    assert np.mean([len(text.split()) for text in kept]) < 40


PHRASES = [say(random.Random(100 + i), 5) for i in range(1000)]


def test_no_text_no_view_and_an_empty_text_an_empty_view() -> None:
    for view in View:
        assert view_texts(view, [], ViewSettings()) == []
        assert view_texts(view, ["", "  "], ViewSettings(head=5))[0] == ""


def test_near_duplicates_keep_what_they_share() -> None:
    texts = [f"Write a story about a dragon and a brave knight , version {i}" for i in range(50)]
    assert set(view_texts(View.SKELETON, texts, ViewSettings())) == {texts[0][:-1] + SLOT}


def test_blocks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(6)
    texts = [f"please answer as json with a key {say(rng, 6)}" for _ in range(30)]
    whole = view_texts(View.SKELETON, texts, ViewSettings())
    monkeypatch.setattr("embeddings.ngrams._BLOCK_CHARACTERS", 100)
    assert view_texts(View.SKELETON, texts, ViewSettings()) == whole


def test_the_run_view_is_the_fixed_part_to_the_letter_wherever_it_stands() -> None:
    rng = random.Random(3)
    line = "please keep the complete reasoning in view and number every step of it"
    texts = []
    for _ in range(40):
        words = say(rng, 300).split()
        at = rng.randrange(300)
        texts.append(" ".join([*words[:at], line, *words[at:]]))
    texts += [say(rng, 60) for _ in range(40)]
    seen = view_texts(View.RUN, texts, ViewSettings())
    assert {run.strip(f"{SLOT} ") for run in seen[:40]} == {line}
    assert set(seen[40:]) == {""}


def test_the_run_view_takes_the_longer_of_two_runs_and_not_what_often_follows_it() -> None:
    rng = random.Random(4)
    long, short, popular = " ".join(WORDS[:20]), " ".join(WORDS[100:110]), " ".join(WORDS[200:210])
    texts = [f"{long} {say(rng, 5)} {short} {say(rng, 5)}" for _ in range(50)]
    texts += [f"{long} {popular} {say(rng, 5)}" for _ in range(12)]
    seen = view_texts(View.RUN, texts, ViewSettings())
    assert {run.strip(f"{SLOT} ") for run in seen} == {long}


def test_a_preamble_is_the_run_even_where_a_longer_popular_question_follows_it() -> None:
    rng = random.Random(5)
    preamble, question = " ".join(WORDS[:18]), " ".join(WORDS[100:160])
    texts = [f"{preamble} {say(rng, 5)}" for _ in range(60)]
    texts += [f"{preamble} {question} {say(rng, 5)}" for _ in range(20)]
    seen = view_texts(View.RUN, texts, ViewSettings())
    assert {run.strip(f"{SLOT} ") for run in seen} == {preamble}


def test_a_short_line_is_the_run_whichever_popular_text_stands_beside_it() -> None:
    rng = random.Random(6)
    line, popular = " ".join(WORDS[:12]), [" ".join(WORDS[40 * i : 40 * i + 30]) for i in range(1, 5)]
    texts = [f"{line} {popular[i % 4]} {say(rng, 5)}" for i in range(80)]
    texts += [f"{say(rng, 5)} {popular[i % 4]} {line}" for i in range(80)]
    texts += [say(rng, 5) for _ in range(6000)]
    assert set(view_texts(View.RUN, texts, ViewSettings())[:160]) == {line}


def test_what_anybody_writes_does_not_stand_for_the_page_it_is_in() -> None:
    rng = random.Random(8)
    phrase, before, after = (" ".join(WORDS[at : at + k]) for at, k in ((0, 10), (100, 60), (200, 60)))
    texts = [f"{before} {phrase} {after} {say(rng, 5)}" for _ in range(20)]
    texts += [f"{say(rng, 5)} {phrase} {say(rng, 5)}" for _ in range(400)]
    seen = view_texts(View.RUN, texts, ViewSettings())
    assert set(seen[:20]) == {f"{before} {phrase} {after}"}
    assert seen[20:].count(phrase) > 390


def test_the_run_is_what_a_plain_loop_finds() -> None:
    rng = random.Random(7)
    lines = [" ".join(WORDS[30 * i : 30 * i + rng.randrange(6, 28)]) for i in range(8)]
    texts = [" ".join(rng.choice([*lines, say(rng, 4)]) for _ in range(4)) for _ in range(300)]
    settings = ViewSettings(min_prompts=6, run=5)
    grams = [plain_grams(text, 5) for text in texts]
    counts = Counter(gram for there in grams for gram in set(there))
    assert view_texts(View.RUN, texts, settings) == [plain_run(there, counts, 6, 9, 5) for there in grams]
