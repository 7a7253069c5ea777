"""Tests of the store of vectors."""

import errno
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from embeddings.store import VectorStore
from embeddings.vectors import finish


class CountingEncoder:
    """A deterministic encoder that notes what it was asked for."""

    def __init__(self, identity="one", dimension=8):
        self.identity, self.dimension = identity, dimension
        self.asked = []

    def encode(self, texts):
        self.asked += texts
        rows = [hashlib.sha256((self.identity + text).encode()).digest()[: self.dimension] for text in texts]
        numbers = np.array([list(row) for row in rows], dtype=np.float32).reshape(-1, self.dimension)
        return finish(numbers - 127)


def texts_up_to(n):
    return [f"text {i}" for i in range(n)]


def size(folder):
    return sum(path.stat().st_size for path in folder.glob("*/*/*"))


def test_only_new_texts_are_encoded(tmp_path):
    encoder, store = CountingEncoder(), VectorStore(tmp_path)
    first, n_first = store.encode(encoder, texts_up_to(10))
    encoder.asked.clear()
    second, n_second = store.encode(encoder, [*texts_up_to(12), "text 11"])
    assert (n_first, n_second) == (10, 2)
    assert encoder.asked == ["text 10", "text 11"]
    np.testing.assert_array_equal(second, CountingEncoder().encode([*texts_up_to(12), "text 11"]))
    np.testing.assert_array_equal(first, second[:10])


def test_encoders_do_not_share_vectors(tmp_path):
    store = VectorStore(tmp_path)
    store.encode(CountingEncoder("one"), texts_up_to(3))
    vectors, n_new = store.encode(CountingEncoder("two"), texts_up_to(3))
    assert n_new == 3
    np.testing.assert_array_equal(vectors, CountingEncoder("two").encode(texts_up_to(3)))


@pytest.mark.parametrize("texts", [[], [""], ["same"] * 4])
def test_none_one_and_equal_texts(tmp_path, texts):
    for expected in (len(set(texts)), 0):
        vectors, n_new = VectorStore(tmp_path).encode(CountingEncoder(), texts)
        assert vectors.shape == (len(texts), 8)
        assert n_new == expected


@pytest.mark.parametrize("name", ["vectors.npy", "keys.npy", "manifest.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "gone"])
def test_a_damaged_shard_is_made_again(tmp_path, name, harm):
    encoder, store = CountingEncoder(), VectorStore(tmp_path)
    expected, _new = store.encode(encoder, texts_up_to(20))
    (path,) = tmp_path.glob(f"one/*/{name}")
    content = bytearray(path.read_bytes())
    content[-3] ^= 0x55
    path.write_bytes({"flip": content, "cut": content[:40], "empty": b"", "gone": b""}[harm])
    if harm == "gone":
        path.unlink()
    vectors, n_new = store.encode(encoder, texts_up_to(20))
    np.testing.assert_array_equal(vectors, expected)
    assert n_new == 20
    assert store.encode(encoder, texts_up_to(20))[1] == 0


def test_a_shard_that_cannot_be_opened_now_is_there_later(tmp_path, monkeypatch):
    store = VectorStore(tmp_path)
    store.encode(CountingEncoder(), texts_up_to(10))

    def busy(*_args, **_more):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as now:
        now.setattr(np, "load", busy)
        store.encode(CountingEncoder(), texts_up_to(2))
    encoder = CountingEncoder()
    store.encode(encoder, texts_up_to(10))
    assert encoder.asked == []


def test_the_least_recently_used_go_when_there_is_no_room(tmp_path):
    encoder, store = CountingEncoder(), VectorStore(tmp_path)
    store.encode(encoder, ["old"])
    one = size(tmp_path)
    store = VectorStore(tmp_path, max_bytes=int(2.5 * one))
    for text in ("kept", "newest"):
        store.encode(encoder, ["kept"])
        store.encode(encoder, [text])
    assert size(tmp_path) <= store.max_bytes
    assert store.encode(encoder, ["kept"])[1] == 0
    assert store.encode(encoder, ["old"])[1] == 1


def test_many_shards_are_joined_and_nothing_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr("embeddings.store._MANY", 4)
    encoder, store = CountingEncoder(), VectorStore(tmp_path)
    for i in range(12):
        store.encode(encoder, [f"text {i}"])
    assert len(list(tmp_path.glob("one/*"))) <= 5
    vectors, n_new = store.encode(encoder, texts_up_to(12))
    assert n_new == 0
    np.testing.assert_array_equal(vectors, encoder.encode(texts_up_to(12)))


def test_a_folder_that_cannot_be_written_still_gives_vectors(tmp_path):
    (tmp_path / "file").write_text("in the way")
    vectors, n_new = VectorStore(tmp_path / "file" / "store").encode(CountingEncoder(), texts_up_to(3))
    assert n_new == 3
    np.testing.assert_array_equal(vectors, CountingEncoder().encode(texts_up_to(3)))


def test_several_processes_at_once_do_no_harm(tmp_path):
    code = (
        "import sys; from pathlib import Path; import embeddings.store as s; s._MANY = 3\n"
        "from tests.test_embeddings_store import CountingEncoder, texts_up_to\n"
        "store, start = s.VectorStore(Path(sys.argv[1])), int(sys.argv[2])\n"
        "for i in range(20):\n"
        "    texts = [f'text {k}' for k in range(start + 10 * i, start + 10 * i + 30)]\n"
        "    assert (store.encode(CountingEncoder(), texts)[0] == CountingEncoder().encode(texts)).all()\n"
    )
    root = Path(__file__).resolve().parents[1]
    runs = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(start)], cwd=root)
        for start in (0, 50, 100)
    ]
    assert [run.wait(timeout=120) for run in runs] == [0, 0, 0]
    texts = texts_up_to(220)
    vectors, n_new = VectorStore(tmp_path).encode(CountingEncoder(), texts)
    assert n_new <= 0
    np.testing.assert_array_equal(vectors, CountingEncoder().encode(texts))


def test_no_file_is_a_pickle(tmp_path):
    VectorStore(tmp_path).encode(CountingEncoder(), texts_up_to(3))
    (shard,) = tmp_path.glob("one/*")
    for name in ("keys", "vectors"):
        assert len(np.load(shard / f"{name}.npy", allow_pickle=False)) == 3
    assert json.loads((shard / "manifest.json").read_text())["rows"] == 3
