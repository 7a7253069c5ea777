"""Any sentence-transformers model: sorted by length, batched by tokens, on one device or several."""

import weakref
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from embeddings import models
from embeddings.errors import EncoderUnavailable
from embeddings.static import blocks
from embeddings.vectors import Vectors, finish

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embeddings.encoders import EncoderSettings

Ints = NDArray[np.int64]
_BLOCK_CHARACTERS = 8_000_000  # text tokenised and sorted at a time: bounds memory
_LONGEST_TOKEN = 16  # characters of a text kept for each token that the model reads
_LONGEST_TEXT = 8192  # tokens, for a model that names no limit
_BATCH_TOKENS = {True: 1024, False: 16_384}  # on a CPU, whose caches hold little, and elsewhere
_SHARES = 32  # batches that each of several devices gets at a time
_PROBES = ["one text", "another, rather longer text"]


class TransformerEncoder:
    """A sentence-transformers model behind the `Encoder` protocol."""

    def __init__(self, folder: Path, settings: "EncoderSettings") -> None:
        """Load the model of a folder; raises EncoderUnavailable where its backend is not installed."""
        self._prompt = models.prompt_text(folder, settings.prompt_name)
        self._devices = devices(settings.device)
        self._model = load_model(folder, settings, self._devices[0])
        self._batch_tokens = settings.batch_tokens or _BATCH_TOKENS["cpu" in self._devices]
        limit = self._model.max_seq_length
        self._limit = int(limit) if limit and limit < 1_000_000 else _LONGEST_TEXT
        self._pads = not self._prompt and _only_pads(self._model)
        self._pool: Any = None
        self._lock = Lock()
        width = int(self._model.encode(["a"], show_progress_bar=False).shape[1])
        self.dimension = min(width, settings.truncate_dim or width)
        self.identity = models.digest(
            folder, self._prompt, settings.truncate_dim, settings.dtype, settings.backend
        )

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return (n, d) float32 unit rows; texts without a known token get `vectors.unknown_vector`."""
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        with self._lock:  # neither a fast tokenizer nor a pool of processes can be used by two threads
            for start, stop in blocks(texts, _BLOCK_CHARACTERS):
                part = [text[: self._limit * _LONGEST_TOKEN] for text in texts[start:stop]]
                self._block(part, vectors[start:stop])
        return finish(vectors)

    def _block(self, texts: list[str], out: Vectors) -> None:
        """Encode texts into `out`, longest first; the rows of unknown texts stay zero."""
        tokenizer = self._model.tokenizer
        ids = tokenizer(texts, truncation=True, max_length=self._limit)["input_ids"]
        unread = set(tokenizer.all_special_ids)
        rows = np.array([i for i, one in enumerate(ids) if not unread.issuperset(one)], dtype=np.int64)
        lengths = np.array([len(ids[i]) for i in rows], dtype=np.int64)
        several = len(self._devices) > 1
        batch_tokens = self._batch_tokens * (len(self._devices) * _SHARES if several else 1)
        for batch in token_batches(lengths, batch_tokens):
            at = rows[batch]
            if several:
                found = self._on_all([texts[i] for i in at], int(lengths[batch].max()))
            else:
                found = self._here([texts[i] for i in at], [ids[i] for i in at])
            out[at] = found[:, : self.dimension]

    def _here(self, texts: list[str], ids: list[list[int]]) -> Vectors:
        """Run one batch in this process."""
        import torch

        with torch.inference_mode():
            features = (
                self._model.tokenizer.pad({"input_ids": ids}, return_tensors="pt")
                if self._pads
                else self._model.preprocess(texts, prompt=self._prompt or None)
            )
            device = self._model.device
            moved = {
                name: value.to(device) if isinstance(value, torch.Tensor) else value
                for name, value in features.items()
            }
            vectors: Vectors = self._model(moved)["sentence_embedding"].float().cpu().numpy()
        return vectors

    def _on_all(self, texts: list[str], longest: int) -> Vectors:
        """Share texts among one process a device; they start once and end with this encoder."""
        if self._pool is None:
            self._pool = self._model.start_multi_process_pool(self._devices)
            weakref.finalize(self, self._model.stop_multi_process_pool, self._pool)
        size = max(1, self._batch_tokens // longest)
        found = self._model.encode(
            texts,
            prompt=self._prompt or None,
            pool=self._pool,
            batch_size=size,
            chunk_size=min(4 * size, -(-len(texts) // len(self._devices))),
            show_progress_bar=False,
        )
        return np.asarray(found, dtype=np.float32)


def token_batches(lengths: Ints, batch_tokens: int) -> Iterator[Ints]:
    """Yield row numbers, longest first, in batches of at most `batch_tokens` with padding, or one row."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size


def devices(setting: str) -> list[str]:
    """Return the devices to run on: those named, or every GPU, or the CPU."""
    if setting != "auto":
        return [name.strip() for name in setting.split(",") if name.strip()]
    import torch

    if torch.cuda.is_available():
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return ["mps" if torch.backends.mps.is_available() else "cpu"]


def load_model(folder: Path, settings: "EncoderSettings", device: str) -> "SentenceTransformer":
    """Load a model from local files only; raises EncoderUnavailable where its backend is not installed."""
    if settings.backend != "torch" and find_spec("optimum") is None:
        raise EncoderUnavailable(
            f"the {settings.backend} backend is not installed: pip install 'hydrascope[{settings.backend}]'"
        )
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(
        str(folder),
        device=device,
        backend=settings.backend,
        local_files_only=True,
        model_kwargs={"dtype": settings.dtype} if settings.backend == "torch" else {},
    )


def _only_pads(model: "SentenceTransformer") -> bool:
    """Say whether the model's preprocessing is its tokenizer and padding, nothing else."""
    import torch

    theirs = model.preprocess(_PROBES)
    ids = model.tokenizer(_PROBES)["input_ids"]
    ours = model.tokenizer.pad({"input_ids": ids}, return_tensors="pt")
    tensors = {name: value for name, value in theirs.items() if isinstance(value, torch.Tensor)}
    same = tensors.keys() - {"token_type_ids"} == set(ours)
    return same and all(torch.equal(tensors[name], ours[name]) for name in ours) and not _typed(tensors)


def _typed(tensors: dict[str, Any]) -> bool:
    """Say whether token types matter: a model takes them as zeros when they are left out."""
    return "token_type_ids" in tensors and bool(tensors["token_type_ids"].any())
