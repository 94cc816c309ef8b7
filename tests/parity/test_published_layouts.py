"""The repositories that users bring, as small copies in exactly their layout.

The published weights are not at hand: what is tested is that every key, name, dtype and file of
such a repository is read, and read right.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sterna_service.engine import _native
from sterna_service.errors import ModelLoadError
from sterna_service.inference.chat_template import load_chat_template
from sterna_service.inference.tokenizer import load_tokenizer
from sterna_service.models.catalogue import ModelSource
from sterna_service.models.description import describe
from sterna_service.models.store import Store, wanted
from tests.parity.compare import EXACT_LOGITS, EXACT_SHARE, FLIPPED_LOGITS, TOP1
from tests.parity.fixtures import Array
from tests.parity.numpy_model import NumpyModel
from tests.parity.published import LAYOUTS, write

pytestmark = pytest.mark.parametrize("name", LAYOUTS)

TOKENS = [0, *((37 * i + 11) % 380 + 4 for i in range(39))]


@pytest.fixture
def copies(name: str, tmp_path: Path) -> tuple[Path, Path]:
    """The checkpoint as it is published, and the same in one file."""
    return write(name, tmp_path)


def logits_of(checkpoint: Path) -> tuple[_native.Model, Array]:
    bundle = checkpoint.with_suffix(".bundle.safetensors")
    _native.pack_checkpoint(str(checkpoint), str(bundle))
    model = _native.Model.open(str(bundle))
    return model, _native.testing.logits(model, TOKENS)


def test_it_is_run(name: str, copies: tuple[Path, Path]) -> None:
    """As the numpy model computes it, which reads the same files on its own."""
    published, whole = copies
    model, actual = logits_of(published)
    assert model.config.vocab_size == LAYOUTS[name].shape.vocab
    expected = NumpyModel(whole).logits(TOKENS)
    error = np.abs(actual - expected).max(axis=1) / expected.std()
    assert error.max() <= FLIPPED_LOGITS
    # Where inputs are rounded by groups, most rows have one that lies on a boundary.
    share = 0.1 if LAYOUTS[name].shape.has_groups else EXACT_SHARE
    assert (error <= EXACT_LOGITS).mean() >= share
    assert (actual.argmax(axis=1) == expected.argmax(axis=1)).mean() >= TOP1


def test_the_published_sizes_are_read(name: str, tmp_path: Path) -> None:
    """The configuration as it is: only weights are found missing."""
    (tmp_path / "config.json").write_text(json.dumps(LAYOUTS[name].config))
    with pytest.raises(_native.NativeError) as caught:
        _native.pack_checkpoint(str(tmp_path), str(tmp_path / "bundle"))
    assert "model.safetensors" in str(caught.value)
    shape = describe(ModelSource("x", tmp_path)).shape
    assert shape.hidden_size == LAYOUTS[name].config["hidden_size"]


def test_its_files_are_those_that_are_pulled(name: str, copies: tuple[Path, Path]) -> None:
    published, _ = copies
    names = [path.name for path in published.iterdir()]
    assert sorted(names) == wanted(names)
    assert not describe(ModelSource("x", published)).problem


def test_its_text_becomes_tokens(name: str, copies: tuple[Path, Path]) -> None:
    """With a tokenizer of its own, or with one that is named where it has none."""
    published, whole = copies
    layout = LAYOUTS[name]
    source = None
    if "tokenizer.json" not in layout.tokenizer:
        with pytest.raises(ModelLoadError, match=r"tokenizer\.json: no such file"):
            load_tokenizer(published, layout.shape.vocab)
        source = whole
    tokenizer = load_tokenizer(published, layout.shape.vocab, source)
    # <|end_of_text|> and <|eot_id|>, whichever files name which of them.
    assert {1, 2} <= tokenizer.end_tokens
    assert tokenizer.bos_token_id == 0
    text = "What is the point of that? 42"
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text
    template = load_chat_template(source or published)
    assert template is not None


def test_it_is_imported_as_it_is(name: str, copies: tuple[Path, Path], tmp_path: Path) -> None:
    published, _ = copies
    stored = Store(tmp_path / "home").take_in(name, published)
    assert sorted(path.name for path in stored.iterdir() if path.name != ".sterna.json") == sorted(
        path.name for path in published.iterdir()
    )
