"""Tests of the encoder that is fitted on the prompts."""

import hashlib
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from embeddings.encoders import EncoderSettings, load_encoder
from embeddings.fit import FitSettings, fit_encoder, right_vectors
from embeddings.vectors import unknown_vector
from tests.small_prompts import SCRIPTS, small_prompts

SMALL = FitSettings(dimension=16, words=500, pieces=200)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder") / "fitted"
    fit_encoder(small_prompts(400), None, folder, SMALL, seed=1)
    return folder


def encoder_at(folder):
    return load_encoder(str(folder), EncoderSettings())


def test_sentence_transformers_gives_the_same_vectors(fitted):
    from sentence_transformers import SentenceTransformer

    texts = [*small_prompts(50), *SCRIPTS, "word\x0bword \x0c tab\tline\nend", "x" * 9000, "<*> how to <*>"]
    theirs = SentenceTransformer(str(fitted), device="cpu").encode(texts)
    np.testing.assert_allclose(encoder_at(fitted).encode(texts), theirs, atol=2e-6)


def test_texts_about_one_thing_lie_together(fitted):
    vectors = encoder_at(fitted).encode(small_prompts(200))
    near = vectors @ vectors.T
    np.fill_diagonal(near, -2)
    topic = np.arange(200) % 5
    assert (topic[near.argmax(axis=1)] == topic).mean() > 0.95


def test_any_script_is_read(tmp_path):
    texts = [f"{line[: 8 + i]} {line[i:]}" for line in SCRIPTS for i in range(8)]
    fit_encoder(texts, None, tmp_path / "e", SMALL, seed=1)
    vectors = encoder_at(tmp_path / "e").encode(texts)
    near = vectors @ vectors.T
    np.fill_diagonal(near, -2)
    assert not (vectors == unknown_vector(vectors.shape[1])).all(axis=1).any()
    assert np.array_equal(near.argmax(axis=1) // 8, np.arange(len(texts)) // 8)


def test_a_character_that_was_never_seen_costs_no_more_than_itself(tmp_path):
    rng = random.Random(1)
    known = [chr(0x4E00 + i) for i in range(300)]
    texts = ["".join(rng.choices(known, k=20)) for _ in range(400)]
    fit_encoder(texts, None, tmp_path / "e", SMALL, seed=1)
    encoder = encoder_at(tmp_path / "e")
    odd = [text[:10] + chr(0x7000 + i) + text[11:] for i, text in enumerate(texts[:50])]
    near = encoder.encode(odd) @ encoder.encode(texts).T
    assert (near.argmax(axis=1) == np.arange(50)).mean() > 0.9


def test_rows_have_length_one_and_unknown_texts_one_vector(fitted):
    encoder = encoder_at(fitted)
    vectors = encoder.encode(["", "   ", "how to bake", "ꙮꙮ", "y" * 100_000])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors.dtype == np.float32
    unknown = (vectors == unknown_vector(vectors.shape[1])).all(axis=1)
    assert unknown.tolist() == [True, True, False, True, False]


@pytest.mark.parametrize("texts", [[], [""], ["one"], ["same words here"] * 5, ["a", "b"]])
def test_few_or_empty_texts_can_be_fitted_on(tmp_path, texts):
    fit_encoder(texts, np.ones(len(texts), dtype=np.int64), tmp_path / "e", SMALL, seed=0)
    vectors = encoder_at(tmp_path / "e").encode([*texts, "other"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_two_processes_write_the_same_bytes(fitted, tmp_path):
    code = (
        "from pathlib import Path; from embeddings.fit import FitSettings, fit_encoder\n"
        "from tests.small_prompts import small_prompts\n"
        f"print(fit_encoder(small_prompts(400), None, Path({str(tmp_path / 'again')!r}), "
        "FitSettings(dimension=16, words=500, pieces=200), seed=1))"
    )
    root = Path(__file__).resolve().parents[1]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == encoder_at(fitted).identity
    assert digests(tmp_path / "again") == digests(fitted)


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_identity_follows_content_and_not_the_folder(fitted, tmp_path):
    same = fit_encoder(small_prompts(400), None, tmp_path / "same", SMALL, seed=1)
    other = fit_encoder(small_prompts(400), None, tmp_path / "other", SMALL, seed=2)
    assert same == encoder_at(fitted).identity != other


def test_right_vectors_are_those_of_the_full_decomposition():
    matrix = sparse.random_array((80, 40), density=0.3, rng=np.random.default_rng(3), dtype=np.float32)
    matrix = sparse.csr_array(matrix @ sparse.diags_array(np.float32(0.8) ** np.arange(40)))
    exact = np.linalg.svd(matrix.toarray())[2][:6]
    overlap = np.abs(np.sum(right_vectors(matrix, 6, seed=0).T * exact, axis=1))
    np.testing.assert_allclose(overlap, 1, atol=1e-3)
