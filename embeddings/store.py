"""Vectors kept by content, so that nothing is embedded twice: digest of text, under an encoder's identity.

    FOLDER/<identity>/<shard>/keys.npy       (n, 2) uint64, the text's 128-bit digest, sorted
                              vectors.npy    (n, d) float32
                              manifest.json  rows, dimension, and a checksum of each file

A shard appears by rename and never changes, so any number of runs may read and write at once; only making
room takes a lock. A shard whose checksum fails is thrown away and its texts are embedded anew.
"""

import hashlib
import json
import logging
import os
import shutil
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from embeddings.encoders import Encoder
from embeddings.vectors import Vectors

_log = logging.getLogger(__name__)
Keys = NDArray[np.uint64]
_SHARD_ROWS = 65_536  # texts encoded between two writes: what a crash can lose
_MANY = 48  # shards of one encoder above which the small ones are joined
_CHUNK = 1 << 24
_STALE_SECONDS = 86_400


class Shard(NamedTuple):
    """A shard whose checksums were right: keys (n, 2) sorted, vectors (n, d) mapped from the file."""

    folder: Path
    keys: Keys
    vectors: Vectors


class VectorStore:
    """A folder of vectors by content, at most `max_bytes` large: the least recently used go first."""

    def __init__(self, folder: Path, max_bytes: int = 20_000_000_000) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def encode(self, encoder: Encoder, texts: Sequence[str]) -> tuple[Vectors, int]:
        """Return (n, d) float32 vectors of texts and the number of distinct texts that had to be encoded.

        Where the folder cannot be written, a warning is logged and the vectors are returned all the same.
        """
        keys = text_keys(texts)
        vectors = np.empty((len(texts), encoder.dimension), dtype=np.float32)
        missing = self._known(encoder, keys, vectors)
        first, copy = _first_of_each(keys[missing])
        new = missing[first]
        for start in range(0, len(new), _SHARD_ROWS):
            rows = new[start : start + _SHARD_ROWS]
            vectors[rows] = encoder.encode([texts[i] for i in rows])
            self._write(encoder.identity, keys[rows], vectors[rows])
        vectors[missing] = vectors[new[copy]]
        if len(new):
            self._tidy(encoder)
        return vectors, len(new)

    def _known(self, encoder: Encoder, keys: Keys, vectors: Vectors) -> NDArray[np.int64]:
        """Fill in the vectors that are stored; return the rows (m,) of the others, in order."""
        missing = np.arange(len(keys))
        for folder in sorted(self._shards(encoder.identity)):
            if not len(missing):
                break
            shard = read_shard(folder, encoder.dimension)
            if shard is None:
                continue
            place = _find(shard.keys, keys[missing])
            there = place >= 0
            if there.any():
                vectors[missing[there]] = shard.vectors[place[there]]
                missing = missing[~there]
                _touch(folder)
        return missing

    def _write(self, identity: str, keys: Keys, vectors: Vectors) -> None:
        try:
            write_shard(self.folder / identity, keys, vectors)
        except OSError as fault:
            _log.warning("vectors not kept, the next run makes them again: %s", fault.strerror)

    def _shards(self, identity: str = "*") -> list[Path]:
        found = (path.parent for path in self.folder.glob(f"{identity}/*/manifest.json"))
        return [shard for shard in found if not shard.name.startswith(".")]

    def _lock(self) -> FileLock:
        return FileLock(self.folder / ".lock", timeout=600)

    def _tidy(self, encoder: Encoder) -> None:
        """Join small shards where there are many, and delete the least recently used beyond the limit."""
        try:
            with self._lock():
                small = sorted(self._shards(encoder.identity), key=_bytes)
                if len(small) > _MANY:
                    self._join(small[: _MANY * 3 // 4], encoder)
                self._sweep()
                self._evict()
        except OSError as fault:
            _log.warning("store of vectors not tidied: %s", fault.strerror)

    def _join(self, folders: list[Path], encoder: Encoder) -> None:
        shards = [shard for folder in folders if (shard := read_shard(folder, encoder.dimension)) is not None]
        if shards:
            keys = np.concatenate([shard.keys for shard in shards])
            first, _copy = _first_of_each(keys)
            write_shard(
                self.folder / encoder.identity,
                keys[first],
                np.concatenate([shard.vectors for shard in shards])[first],
            )
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _sweep(self) -> None:
        """Delete what runs that were killed left half written."""
        for made in self.folder.glob("*/.*"):
            if time.time() - made.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(made, ignore_errors=True)

    def _evict(self) -> None:
        sizes = {shard: _bytes(shard) for shard in self._shards()}
        over = sum(sizes.values()) - self.max_bytes
        for shard in sorted(sizes, key=_used):
            if over <= 0:
                break
            shutil.rmtree(shard, ignore_errors=True)
            over -= sizes[shard]


def text_keys(texts: Sequence[str]) -> Keys:
    """Return (n, 2) uint64: the BLAKE2b digest of each text, 128 bits."""
    blake = hashlib.blake2b
    digests = b"".join(
        [blake(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
    )
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2)


def read_shard(folder: Path, dimension: int) -> Shard | None:
    """Read a shard; one that is damaged is deleted, one that is gone or cannot be read is None as well."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        keys = np.load(folder / "keys.npy", allow_pickle=False)
        vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
        sound = (
            keys.dtype == np.uint64
            and vectors.dtype == np.float32
            and keys.shape == (manifest["rows"], 2)
            and vectors.shape == (manifest["rows"], dimension)
            and checksum(keys) == manifest["keys"]
            and checksum(vectors) == manifest["vectors"]
        )
    except FileNotFoundError:
        if not folder.exists():
            return None
        sound = False
    except OSError:
        return None
    except (ValueError, KeyError, TypeError, EOFError):
        sound = False
    if not sound:
        _log.warning("a shard of the vector store was damaged and is made again")
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return Shard(folder, keys, vectors)


def write_shard(parent: Path, keys: Keys, vectors: Vectors) -> None:
    """Write a shard beside its place and rename it there."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    keys, vectors = np.ascontiguousarray(keys[order]), np.ascontiguousarray(vectors[order])
    parent.mkdir(parents=True, exist_ok=True)
    made = Path(mkdtemp(prefix=".", dir=parent))
    try:
        made.chmod(0o755)
        np.save(made / "keys.npy", keys, allow_pickle=False)
        np.save(made / "vectors.npy", vectors, allow_pickle=False)
        manifest = {
            "rows": len(keys),
            "dimension": int(vectors.shape[1]),
            "keys": checksum(keys),
            "vectors": checksum(vectors),
        }
        (made / "manifest.json").write_text(json.dumps(manifest) + "\n", encoding="utf-8")
        made.rename(parent / made.name[1:])
    finally:
        shutil.rmtree(made, ignore_errors=True)


def checksum(array: NDArray[np.generic]) -> int:
    """Return the CRC-32 of an array's bytes, read a chunk at a time."""
    flat = array.reshape(-1).view(np.uint8).data
    total = 0
    for start in range(0, len(flat), _CHUNK):
        total = zlib.crc32(flat[start : start + _CHUNK], total)
    return total


def _find(stored: Keys, wanted: Keys) -> NDArray[np.int64]:
    """Return (m,) the row of each wanted key among the sorted stored ones, -1 where it is not there."""
    if not len(stored):
        return np.full(len(wanted), -1)
    place = np.minimum(np.searchsorted(stored[:, 0], wanted[:, 0]), len(stored) - 1)
    return np.where((stored[place] == wanted).all(axis=1), place, -1)


def _first_of_each(keys: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows where each distinct key first stands, in order, and each row's number among those."""
    one = keys[:, 0] ^ (keys[:, 1] << np.uint64(1))
    _distinct, first, copy = np.unique(one, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    order = np.argsort(first)
    rank[order] = np.arange(len(first))
    return first[order], rank[copy]


def _bytes(shard: Path) -> int:
    try:
        return sum(path.stat().st_size for path in shard.iterdir())
    except OSError:
        return 0


def _used(shard: Path) -> float:
    try:
        return (shard / "manifest.json").stat().st_mtime
    except OSError:
        return 0.0


def _touch(shard: Path) -> None:
    try:
        os.utime(shard / "manifest.json")
    except OSError:
        return
