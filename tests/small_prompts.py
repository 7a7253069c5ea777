"""A small deterministic corpus of prompts: five topics, and one line of each of many scripts."""

import numpy as np

TOPICS = (
    "bake bread flour yeast oven dough crust knead proof loaf",
    "python function list loop class import module error stack debug",
    "travel flight hotel beach visa airport luggage ticket island tour",
    "tax income refund deduction audit filing salary bracket form credit",
    "guitar chord scale tuning melody rhythm solo string amp fret",
)
SCRIPTS = (
    "请用简单的语言解释量子计算机的工作原理和应用",
    "これは日本語の文章であり、分かち書きはされません",
    "ประเทศไทยมีประชากรหลายล้านคนและมีอาหารอร่อย",
    "인공지능 모델을 학습시키는 방법을 설명해 주세요",
    "كيف يمكنني تعلم البرمجة بسرعة في المنزل",
    "Объясни, пожалуйста, как работает двигатель внутреннего сгорания",
    "मुझे भारत के इतिहास के बारे में विस्तार से बताइए",
    "def f(x): return [i ** 2 for i in range(x) if i % 2 == 0]",
)


def small_prompts(n: int) -> list[str]:
    """Return n prompts, prompt i about topic i % 5."""
    rng = np.random.default_rng(7)
    openings = ("how to", "explain the", "give me a", "what is", "write about")
    prompts = []
    for i in range(n):
        words = rng.choice(TOPICS[i % 5].split(), 5)
        prompts.append(f"{openings[rng.integers(5)]} {' '.join(words)} number {i}")
    return prompts
