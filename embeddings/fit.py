"""The default encoder, fitted on the prompts themselves: latent semantic analysis as vectors of tokens.

Deerwester et al. 1990: truncated singular value decomposition of the TF-IDF matrix of texts and tokens. A
text's vector is the sum of its tokens', so the model is a bag of static vectors and a sentence-transformers
`StaticEmbedding` holds it. How the tokens' vectors are weighed was chosen by benchmarks/encoders.
"""

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from safetensors.numpy import save_file
from scipy import sparse

from embeddings import models
from embeddings.tokens import Pieces, Tokens, cut, words_of_json
from embeddings.vectors import Vectors, one_thread, product, unknown_vector
from embeddings.vocabulary import tokenizer_of, vocabulary, words_of

_log = logging.getLogger(__name__)
_FAINT = 1e-3  # length of the vectors of unknown words and slots: they speak only where nothing else does
_OVERSAMPLE = 16
_IDF_FLOOR = 0.1  # so that a word that all texts have keeps a vector
_LENGTH = 0.5  # power of a token's length that is kept
_OWN = 1e-6  # size of the entries that tell apart tokens which the decomposition leaves at zero
_MODULES = [
    {
        "idx": 0,
        "name": "0",
        "path": "",
        "type": "sentence_transformers.sentence_transformer.modules.static_embedding.StaticEmbedding",
    },
    {
        "idx": 1,
        "name": "1",
        "path": "1_Normalize",
        "type": "sentence_transformers.base.modules.normalize.Normalize",
    },
]
PROMPTS = {"document": "", "query": ""}  # what there is for `prompt_name`
_CONFIG = {
    "model_type": "SentenceTransformer",
    "default_prompt_name": None,
    "prompts": PROMPTS,
    "similarity_fn_name": "cosine",
}
_NORMALIZE = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class FitSettings:
    """How the default encoder is fitted."""

    dimension: int = Field(default=256, ge=8, le=2048, description="Dimensions of the vectors.")
    words: int = Field(default=30_000, ge=100, description="Most frequent words that get a vector.")
    pieces: int = Field(default=8_000, ge=0, description="Pieces of other words that get a vector.")
    min_count: int = Field(default=3, ge=1, description="Fewest occurrences of a word or piece.")
    max_texts: int = Field(default=400_000, ge=1, description="Texts to fit on; of more, a sample is taken.")
    svd_texts: int = Field(default=60_000, ge=1, description="Texts to decompose; a sample of those.")
    max_characters: int = Field(default=8_000, ge=1, description="Characters of a text that are looked at.")


def fit_encoder(
    texts: Sequence[str], counts: NDArray[np.int64] | None, folder: Path, settings: FitSettings, seed: int
) -> str:
    """Fit an encoder on distinct texts and write it to `folder`; return its identity.

    counts (n,) is how often each text occurs, None for once; a text weighs 1 + log of that. The folder is a
    SentenceTransformer's and appears whole or not at all; an encoder that is there already is replaced.
    Same texts and seed, same bytes.
    """
    start = perf_counter()
    chosen = _sample(len(texts), settings.max_texts, seed)
    kept = [texts[i][: settings.max_characters] for i in chosen]
    often = np.ones(len(kept)) if counts is None else 1 + np.log(np.maximum(counts, 1))[chosen]
    pieces = cut(kept)
    tokenizer = read_with(pieces, settings)
    words = words_of_json(tokenizer)
    tokens = words.of_pieces(pieces)
    weights = fit_weights(tokens, often, words.tokenizer.get_vocab_size(), settings, seed)
    write_encoder(folder, tokenizer, weights)
    identity = models.digest(folder, "", None)
    seconds = perf_counter() - start
    _log.info("encoder fitted on %d texts, %d tokens, %.1f s", len(kept), len(weights), seconds)
    return identity


def _sample(n: int, most: int, seed: int) -> NDArray[np.int64]:
    """Return `most` of n row numbers in order, all where there are no more."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


def read_with(pieces: Pieces, settings: FitSettings) -> str:
    """Choose the vocabulary of texts that are cut and return the tokenizer that reads with it, as JSON."""
    words = words_of(pieces.distinct, np.bincount(pieces.of, minlength=len(pieces.distinct)))
    tokens = vocabulary(words, settings.words, settings.pieces, settings.min_count)
    return tokenizer_of(tokens).to_str()


def fit_weights(
    tokens: Tokens, often: NDArray[np.float64], n_tokens: int, settings: FitSettings, seed: int
) -> Vectors:
    """Return (n_tokens, d) float32 vectors of tokens, for texts as token ids that weigh `often` each."""
    bag = bag_of(tokens, n_tokens)
    idf = inverse_frequency(bag)
    chosen = _sample(bag.shape[0], settings.svd_texts, seed)
    part = tf_idf(bag[chosen], idf)
    part = sparse.csr_array(sparse.diags_array(np.sqrt(often[chosen]).astype(np.float32)) @ part)
    weights = idf[:, None] * directions(part, settings.dimension, seed)
    weights[:2] = _FAINT * unknown_vector(settings.dimension)
    return weights.astype(np.float32)


def directions(matrix: sparse.csr_array, dimension: int, seed: int) -> Vectors:
    """Return (tokens, d) vectors from the decomposition of a (texts, tokens) matrix.

    The first component is what all texts have in common and is left out (Mu & Viswanath 2018). The others
    are scaled by their singular values, and a token's length by a power: at 1, as in plain LSA, a rare word
    is faint however much it tells, and at 0 the fixed words of a template drown in those of its slots.
    """
    vectors = right_vectors(matrix, dimension + 1, seed)[:, 1:]
    vectors *= np.linalg.norm(matrix @ vectors, axis=0)
    vectors += _OWN * np.random.default_rng(seed).standard_normal(vectors.shape, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True) ** (1 - _LENGTH)


def bag_of(tokens: Tokens, n_tokens: int) -> sparse.csr_array:
    """Return the (texts, tokens) matrix of counts, float32."""
    ones = np.ones(len(tokens.ids), dtype=np.float32)
    shape = (len(tokens.starts) - 1, n_tokens)
    bag = sparse.csr_array((ones, tokens.ids, tokens.starts), shape=shape, copy=True)
    bag.sum_duplicates()
    return bag


def inverse_frequency(bag: sparse.csr_array) -> NDArray[np.float32]:
    """Return (tokens,) the inverse document frequency; zero for the unknown token and the slot."""
    seen = np.bincount(bag.indices, minlength=bag.shape[1])
    idf = (_IDF_FLOOR + np.log((1 + bag.shape[0]) / (1 + seen))).astype(np.float32)
    idf[:2] = 0
    return idf


def tf_idf(bag: sparse.csr_array, idf: NDArray[np.float32]) -> sparse.csr_array:
    """Return counts as (1 + log count) * idf, each row at length one."""
    part = bag.copy()
    part.data = (1 + np.log(part.data)) * idf[part.indices]
    lengths = np.sqrt(np.asarray(part.multiply(part).sum(axis=1))).ravel()
    scale = np.divide(1.0, lengths, where=lengths > 0, out=np.zeros_like(lengths))
    return sparse.csr_array(sparse.diags_array(scale.astype(np.float32)) @ part)


def right_vectors(matrix: sparse.csr_array, k: int, seed: int, rounds: int = 3) -> NDArray[np.float32]:
    """Return the first k right singular vectors of a sparse (n, m), as (m, k); zeros where fewer exist.

    Subspace iteration from a random start (Halko, Martinsson & Tropp 2011, algorithm 4.4), signs fixed so
    that each vector's largest entry is positive.
    """
    back = sparse.csr_array(matrix.T)
    start = np.random.default_rng(seed).standard_normal((matrix.shape[0], k + _OVERSAMPLE), dtype=np.float32)
    with one_thread():
        basis = _orthonormal(product(back, start))
        for _ in range(rounds):
            basis = _orthonormal(product(back, product(matrix, basis)))
        image = product(matrix, basis)
        values, turn = np.linalg.eigh((image.T @ image).astype(np.float64))
        vectors = basis @ turn[:, ::-1][:, :k].astype(np.float32)
    found = np.zeros((matrix.shape[1], k), dtype=np.float32)
    real = values[::-1][:k] > 1e-7 * max(values[-1], 1e-30)
    found[:, : vectors.shape[1]] = np.where(real, vectors, 0)
    largest = np.abs(found).argmax(axis=0)
    return found * np.where(found[largest, np.arange(k)] < 0, np.float32(-1), np.float32(1))


def _orthonormal(columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an orthonormal basis of the columns, zero columns where they depend on each other.

    From the eigenvectors of their inner products: ten times as fast as QR on a tall matrix.
    """
    for _ in range(2):  # the second round mends what single precision lost in the first
        values, turn = np.linalg.eigh((columns.T @ columns).astype(np.float64))
        scale = np.where(values > 1e-7 * max(values[-1], 1e-30), 1 / np.sqrt(np.maximum(values, 1e-30)), 0)
        columns = columns @ (turn * scale).astype(np.float32)
    return columns


def write_encoder(folder: Path, tokenizer: str, weights: Vectors) -> None:
    """Write a SentenceTransformer folder beside its place and rename it there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        made.chmod(0o755)
        (made / "1_Normalize").mkdir()
        _json(made / "modules.json", _MODULES)
        _json(made / "config_sentence_transformers.json", _CONFIG)
        _json(made / "1_Normalize" / "config.json", _NORMALIZE)
        (made / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
        save_file({"embedding.weight": np.ascontiguousarray(weights)}, made / "model.safetensors")
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
