"""Encoders: text in, unit vectors out. Fitted, pretrained static, or any sentence-transformers model."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from embeddings import models
from embeddings.errors import EncoderUnavailable
from embeddings.static import StaticEncoder, read_static
from embeddings.tokens import words_of_json
from embeddings.vectors import Vectors

_log = logging.getLogger(__name__)


class Encoder(Protocol):
    """What turns texts into vectors.

    identity: digest of the model's files and of the settings that change vectors. dimension: d.
    """

    identity: str
    dimension: int

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return (n, d) float32 unit rows; texts without a known token get `vectors.unknown_vector`."""
        ...


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class EncoderSettings:
    """How a model is run. Static models, the default among them, heed truncate_dim and prompt_name only."""

    device: str = Field(
        default="auto", description="auto, cpu, cuda, cuda:1, ...; several with commas run as processes."
    )
    dtype: Literal["float32", "float16", "bfloat16"] = Field(
        default="float32", description="Precision of the model's arithmetic."
    )
    backend: Literal["torch", "onnx", "openvino"] = Field(
        default="torch", description="What runs a transformer; the other two are optional installs."
    )
    batch_tokens: int | None = Field(
        default=None,
        ge=64,
        description="Tokens in a batch, padding included; none: 1,024 on a CPU and 16,384 on a GPU.",
    )
    prompt_name: str | None = Field(
        default=None, description="Prompt of the model to put before each text, such as clustering."
    )
    truncate_dim: int | None = Field(
        default=None, ge=1, description="Keep this many leading dimensions of the vectors."
    )
    revision: str | None = Field(default=None, description="Branch, tag or commit of a model on the hub.")


def load_encoder(name_or_path: str, settings: EncoderSettings) -> Encoder:
    """Load a sentence-transformers model from a folder, the hub's cache, or the hub.

    Raises EncoderUnavailable, in seconds also without a network, when it cannot be had.
    """
    folder = models.locate(name_or_path, settings.revision)
    try:
        if models.is_static(folder):
            return _static(folder, settings)
        from embeddings.transformer import TransformerEncoder

        return TransformerEncoder(folder, settings)
    except EncoderUnavailable:
        raise
    except Exception as fault:
        reason = str(fault).strip().splitlines()[0] if str(fault).strip() else "no reason given"
        raise EncoderUnavailable(
            f"encoder {name_or_path!r} cannot be loaded: {type(fault).__name__}: {reason}"
        ) from fault


def _static(folder: Path, settings: EncoderSettings) -> StaticEncoder:
    prompt = models.prompt_text(folder, settings.prompt_name)
    tokenizer, weights = read_static(folder)
    identity = models.digest(folder, prompt, settings.truncate_dim)
    return StaticEncoder(identity, words_of_json(tokenizer), weights[:, : settings.truncate_dim], prompt)
