"""Tests of encoders: token ids, loading, and models with real and with random weights."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from embeddings.encoders import EncoderSettings, load_encoder
from embeddings.errors import EncoderUnavailable
from embeddings.fit import FitSettings, fit_encoder
from embeddings.models import locate
from embeddings.static import blocks
from embeddings.tokens import Words
from embeddings.transformer import token_batches
from embeddings.vectors import unknown_vector
from embeddings.vocabulary import tokenizer_of
from tests.small_prompts import SCRIPTS, small_prompts

ODD = [
    *("", " ", "\n\t\r ", "a\x0bb\x0cc", "nul\x00 and \x1c", "e\x85f\u00a0g\u2028h\u3000i", "İΣ ΑΣ"),
    *("👩‍👩‍👧 ok", "<*>how<*> to <*>", "[UNK] [SEP]", "x" * 5000, "漢" * 300, "  two  blanks "),
    *("\ufb01ne ﬀ ①", "\u0301 lone mark"),
]


@pytest.fixture(scope="module")
def transformer(tmp_path_factory):
    """A BERT of two layers with random weights, saved as a SentenceTransformer."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    words = sorted({word for text in small_prompts(100) for word in text.split()})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *words]))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words) + 5,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder / "hf")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder / "hf")
    module = Transformer(str(folder / "hf"), max_seq_length=64)
    model = SentenceTransformer(modules=[module, Pooling(32)], prompts={"clustering": "explain the "})
    model.save(str(folder / "st"))
    return folder / "st"


def tokenizers_of_many_kinds():
    words = ["[UNK]", *"abcdefghijklmnopqrstuvwxyz", "how", "to", "##s", "漢"]
    for normalizer in (None, normalizers.Lowercase(), normalizers.BertNormalizer()):
        for cutter in (
            pre_tokenizers.BertPreTokenizer(),
            pre_tokenizers.Whitespace(),
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(),
            pre_tokenizers.ByteLevel(),
            pre_tokenizers.Punctuation(),
        ):
            tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
            if normalizer is not None:
                tokenizer.normalizer = normalizer
            tokenizer.pre_tokenizer = cutter
            yield tokenizer
    yield tokenizer_of([*words[:1], "<*>", *words[1:]])


def test_ids_by_pieces_are_those_of_the_whole_text():
    texts = [*ODD, *SCRIPTS, *small_prompts(20), *ODD]
    for tokenizer in tokenizers_of_many_kinds():
        plain = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
        words = Words(tokenizer)
        for _ in range(2):  # the second time from memory
            ids, starts = words.tokens(texts)
            assert [ids[a:b].tolist() for a, b in pairwise(starts)] == plain


def test_threads_may_share_a_tokenizer():
    texts = [f"{a}{b} how{c}" for a in "abcdefgh" for b in "ijklmnop" for c in range(400)]
    plain = Words(tokenizer_of(["[UNK]", "<*>", "how", *"abcdefghijklmnop0123456789"]))
    shared = Words(plain.tokenizer)
    parts = [texts[i::16] for i in range(16)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(shared.tokens, parts))
    assert [ids.tolist() for ids, _starts in found] == [plain.tokens(part).ids.tolist() for part in parts]


def test_blocks_cover_all_texts_within_the_limit():
    texts = ["x" * n for n in (3, 3, 9, 1, 1, 1, 0, 5)]
    assert list(blocks(texts, 6)) == [(0, 2), (2, 3), (3, 7), (7, 8)]
    assert list(blocks([], 6)) == []


def test_token_batches_hold_every_row_once_longest_first():
    lengths = np.random.default_rng(0).integers(1, 90, 200)
    batches = list(token_batches(lengths, 128))
    assert sorted(np.concatenate(batches).tolist()) == list(range(200))
    assert all(lengths[batch].max() * len(batch) <= 128 for batch in batches)


@pytest.mark.shared
def test_a_pretrained_static_model_gives_the_same_vectors(shared):
    import polars as pl
    from sentence_transformers import SentenceTransformer

    folder = str(shared / "models" / "potion-base-4M")
    texts = pl.read_parquet(shared / "data" / "prompts_dev.parquet")["prompt"].sample(600, seed=1).to_list()
    texts += [text for text in ODD if text.strip()]
    ours = load_encoder(folder, EncoderSettings())
    theirs = SentenceTransformer(folder, device="cpu").encode(texts)
    np.testing.assert_allclose(ours.encode(texts), theirs, atol=2e-6)
    short = load_encoder(folder, EncoderSettings(truncate_dim=32))
    assert short.identity != ours.identity
    np.testing.assert_allclose(
        short.encode(texts), theirs[:, :32] / np.linalg.norm(theirs[:, :32], axis=1)[:, None], atol=2e-5
    )


def test_a_transformer_gives_the_vectors_of_sentence_transformers(transformer):
    from sentence_transformers import SentenceTransformer

    texts = [*small_prompts(150), "how to " * 200, "", "ꙮ"]
    encoder = load_encoder(str(transformer), EncoderSettings(device="cpu", batch_tokens=256))
    ours = encoder.encode(texts)
    theirs = SentenceTransformer(str(transformer), device="cpu").encode(texts[:-2], normalize_embeddings=True)
    np.testing.assert_allclose(ours[:-2], theirs, atol=1e-5)
    unknown = (ours == unknown_vector(ours.shape[1])).all(axis=1)
    assert unknown.nonzero()[0].tolist() == [151, 152]


def test_prompts_and_width_are_settings_of_the_identity(transformer):
    from sentence_transformers import SentenceTransformer

    texts = small_prompts(20)
    kinds = [EncoderSettings(device="cpu"), EncoderSettings(device="cpu", prompt_name="clustering")]
    kinds += [EncoderSettings(device="cpu", truncate_dim=8), EncoderSettings(device="cpu", dtype="bfloat16")]
    encoders = [load_encoder(str(transformer), settings) for settings in kinds]
    assert len({encoder.identity for encoder in encoders}) == 4
    theirs = SentenceTransformer(str(transformer), device="cpu")
    expected = theirs.encode(texts, prompt_name="clustering", normalize_embeddings=True)
    np.testing.assert_allclose(encoders[1].encode(texts), expected, atol=1e-5)
    assert encoders[2].encode(texts).shape == (20, 8)
    assert (encoders[3].encode(texts) * encoders[0].encode(texts)).sum(axis=1).min() > 0.99


def test_a_prompt_the_model_lacks_is_named(transformer):
    with pytest.raises(EncoderUnavailable, match="clustering"):
        load_encoder(str(transformer), EncoderSettings(device="cpu", prompt_name="query_"))


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_a_backend_that_is_not_installed_says_how_to_install_it(transformer, monkeypatch, backend):
    monkeypatch.setattr("embeddings.transformer.find_spec", lambda name: None)
    with pytest.raises(EncoderUnavailable, match=rf"pip install 'hydrascope\[{backend}\]'"):
        load_encoder(str(transformer), EncoderSettings(device="cpu", backend=backend))


def test_two_processes_give_the_vectors_of_one(transformer):
    texts = small_prompts(40)
    one, two = (load_encoder(str(transformer), EncoderSettings(device=d)) for d in ("cpu", "cpu,cpu"))
    assert two.identity == one.identity
    np.testing.assert_allclose(two.encode(texts), one.encode(texts), atol=1e-6)


def test_a_hub_name_without_a_network_fails_in_seconds(monkeypatch, tmp_path):
    def refused(*_args, **_kwargs):
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", refused)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    start = time.perf_counter()
    with pytest.raises(EncoderUnavailable, match="hf download nobody/no-such-model") as caught:
        load_encoder("nobody/no-such-model", EncoderSettings())
    assert "\n" not in str(caught.value)
    assert time.perf_counter() - start < 15


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_stands_for_the_hub_with_a_scheme_or_without(scheme, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: str(Path("/there")))
        assert locate("nobody/no-such-model", None) == Path("/there")


@pytest.mark.parametrize("name", ["./not/here", "/not/here", "a b c", "one/two/three"])
def test_a_folder_that_is_not_there_is_named(name, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EncoderUnavailable, match=name):
        load_encoder(name, EncoderSettings())


def test_a_folder_without_a_model_is_one_clear_line(tmp_path):
    (tmp_path / "modules.json").write_text("{")
    with pytest.raises(EncoderUnavailable, match="cannot be loaded") as caught:
        load_encoder(str(tmp_path), EncoderSettings())
    assert "\n" not in str(caught.value)


def test_identity_does_not_see_records_of_versions(tmp_path):
    identity = fit_encoder(small_prompts(50), None, tmp_path / "e", FitSettings(dimension=8), seed=0)
    config = tmp_path / "e" / "config_sentence_transformers.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"__version__": {"x": "1"}}))
    (tmp_path / "e" / "README.md").write_text("A model")
    assert load_encoder(str(tmp_path / "e"), EncoderSettings()).identity == identity
    tokenizer = tmp_path / "e" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    assert load_encoder(str(tmp_path / "e"), EncoderSettings()).identity != identity
