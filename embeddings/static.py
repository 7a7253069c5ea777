"""Static encoders: a text's vector is the mean of its tokens' vectors, at length one.

Runs a sentence-transformers `StaticEmbedding` folder (fitted here, or pretrained) without torch: the ids are
the tokenizer's own, the sum is one sparse product. `SentenceTransformer(folder).encode` gives the same
vectors, only slower, except that it leaves a text without tokens at zero.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from scipy import sparse

from embeddings.tokens import Words
from embeddings.vectors import Vectors, finish, product

_BLOCK_CHARACTERS = 16_000_000  # text tokenised at a time: bounds memory whatever the size of the log


class StaticEncoder:
    """Tokens' vectors, added up. `identity` names the files and settings that the vectors depend on."""

    def __init__(self, identity: str, words: Words, weights: Vectors, prompt: str = "") -> None:
        self.identity = identity
        self.dimension = int(weights.shape[1])
        self._words = words
        self._weights = np.ascontiguousarray(weights, dtype=np.float32)
        self._prompt = prompt

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return (n, d) float32 unit rows; texts without a token get `vectors.unknown_vector`."""
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for start, stop in blocks(texts, _BLOCK_CHARACTERS):
            part = [self._prompt + text for text in texts[start:stop]] if self._prompt else texts[start:stop]
            ids, starts = self._words.tokens(part)
            bag = (np.ones(len(ids), dtype=np.float32), ids, starts)
            shape = (stop - start, len(self._weights))
            product(sparse.csr_array(bag, shape=shape), self._weights, out=vectors[start:stop])
        return finish(vectors)


def blocks(texts: Sequence[str], characters: int) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of runs of texts with at most `characters` in all, or one text."""
    start = taken = 0
    for stop, text in enumerate(texts):
        if taken and taken + len(text) > characters:
            yield start, stop
            start, taken = stop, 0
        taken += len(text)
    if start < len(texts):
        yield start, len(texts)


def read_static(folder: Path) -> tuple[str, Vectors]:
    """Read the tokenizer's JSON and the (tokens, d) vectors of a StaticEmbedding or model2vec folder."""
    tokenizer = (folder / "tokenizer.json").read_text(encoding="utf-8")
    stored = load_file(folder / "model.safetensors")
    if "embedding.weight" in stored:
        return tokenizer, stored["embedding.weight"].astype(np.float32)
    weights = stored["embeddings"]
    if "mapping" in stored:
        weights = weights[stored["mapping"].astype(np.int64)]
    weights = weights.astype(np.float32)
    if "weights" in stored:
        weights = weights * stored["weights"][:, None].astype(np.float32)
    return tokenizer, weights
