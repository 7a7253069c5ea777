"""Describing clusters: values worked out by hand, and templates of filled-in texts."""

import random

import numpy as np
import pytest

from embeddings.describe import DescribeSettings, Description, describe, template

WORDS = ["the", "a", "cat", "dog", "Paris", "London", "bank", ",", "of", "in", "sells", "quick", "grey"]


def say(rng: random.Random, least: int, most: int) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(least, most)))


def test_fillings_of_any_length_become_one_slot() -> None:
    rng = random.Random(0)
    made = [f"You are a careful grader. Essay: {say(rng, 1, 60)} Score it from 1 to 5." for _ in range(30)]
    found = template(made)
    assert found.text == "You are a careful grader. Essay: <*> Score it from 1 to 5."


def test_two_slots_with_a_short_word_between_are_two_slots() -> None:
    rng = random.Random(1)
    to = ["French", "German", "Classical Chinese"]
    found = template([f"Translate {say(rng, 2, 9)} to {rng.choice(to)}: be literal" for _ in range(30)])
    assert found.text == "Translate <*> to <*> : be literal"


def test_templates_work_in_scripts_without_spaces() -> None:
    rng = random.Random(2)
    fill = ["".join(rng.choices("天地玄黄宇宙洪荒日月", k=rng.randint(2, 12))) for _ in range(30)]
    found = template([f"请把“{text}”翻译成英文。" for text in fill])
    assert found.text == "请把“ <*> ”翻译成英文。"


def test_what_was_left_out_of_long_texts_is_a_slot() -> None:
    fixed = [" ".join(f"{word}{i}" for i in range(800)) for word in ("before", "after")]
    texts = [f"{fixed[0]} {' '.join(f'own{n}x{i}' for i in range(300))} {fixed[1]}" for n in range(20)]
    found = template(texts).text
    assert "<*>" in found
    assert "own" not in found


def test_texts_with_nothing_in_common_are_one_slot() -> None:
    assert template(["alpha beta", "gamma", "delta epsilon"]) == ("<*>", 0.0)


def test_one_text_is_its_own_template_and_none_has_none() -> None:
    assert template(["same text"] * 3) == ("same text", 1.0)
    assert template([]) == ("", 0.0)


def test_rigidity_is_the_share_of_tokens_that_are_fixed() -> None:
    found = template([f"one two three {a}" for a in ("red", "blue", "green", "pink", "grey")])
    assert found.rigidity == pytest.approx(3 / 4)


def test_common_words_in_long_fillings_are_not_skeleton() -> None:
    rng = random.Random(3)
    found = template([f"Summarise this article: {say(rng, 60, 90)}" for _ in range(30)])
    assert found.text == "Summarise this article: <*>"


def planted() -> list[Description]:
    texts = [f"refund my order number {i}" for i in range(20)] + [
        f"bake sourdough bread {i}" for i in range(20)
    ]
    texts += [f"noise {i} order bread" for i in range(10)]
    labels = np.repeat([0, 1, -1], [20, 20, 10])
    return describe(texts, labels, DescribeSettings())


def test_clusters_are_described_in_label_order_and_noise_is_not() -> None:
    assert [one.label for one in planted()] == [0, 1]


def test_keywords_set_a_cluster_apart() -> None:
    first, second = planted()
    assert {"refund", "number"} < set(first.keywords[:3])  # "my" sets nothing apart in any log
    assert "my" not in first.keywords
    assert {"bake", "sourdough", "bread"} == set(second.keywords[:3])


def test_addresses_and_keys_are_no_words() -> None:
    said = ("mail jane.doe@example.com", "mail jane . doe @ example . com", "key qwertyuiop-asdfghjkl9")
    texts = [f"refund my order, {who}, {i}" for i in range(20) for who in said]
    texts += [f"noise {i}" for i in range(60)]
    (found, _) = describe(texts, np.repeat([0, 1], 60), DescribeSettings())
    assert set(found.keywords) == {"refund", "order", "mail", "key"}


def test_words_of_scripts_without_blanks_are_found_wherever_they_begin() -> None:
    noun = "猫狗鸟鱼马牛羊虎鹿蛇"
    texts = [f"{i}. 请介绍编程语言{noun[i % 10]}" for i in range(40)]
    texts += [f"用Python编写一个{noun[i % 10]}函数{i}" for i in range(40)]
    texts += [f"hello world {i}" for i in range(40)]
    labels = np.repeat([0, 1, -1], 40)
    told, asked = describe(texts, labels, DescribeSettings(keywords=20))
    assert {"介绍", "编程", "语言"} <= set(told.keywords)
    assert "python" in asked.keywords


def test_no_cluster_no_description() -> None:
    assert describe([], np.empty(0, dtype=np.int64), DescribeSettings()) == []
