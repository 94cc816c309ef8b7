"""Which models there are, and which of them a name means."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna_service.errors import ModelLoadError
from sterna_service.models import description
from sterna_service.models.catalogue import EMBEDDED_MODEL_ID, Catalogue, ModelSource
from sterna_service.models.description import describe
from sterna_service.models.naming import aliases_of, is_model_id, match_model

IDS = ["microsoft/bitnet-2B", "other/bitnet-2B", "sterna/tern-nano", "Trillim/BitNet-TRNQ"]
ALIASES = {"small": "tern-nano", "gpt-*": "bitnet-2B", "*": "sterna/tern-nano", "gone": "x/y"}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("", "other/bitnet-2B"),
        ("microsoft/bitnet-2B", "microsoft/bitnet-2B"),
        ("tern-nano", "sterna/tern-nano"),
        ("BitNet-TRNQ", "Trillim/BitNet-TRNQ"),
        ("small", "sterna/tern-nano"),
        ("gpt-4o", "other/bitnet-2B"),
        ("whatever", "sterna/tern-nano"),
        ("bitnet-2B", "other/bitnet-2B"),
        ("gone", None),
    ],
)
def test_names(name: str, found: str | None) -> None:
    assert match_model(name, IDS, ALIASES, "other/bitnet-2B") == found


@pytest.mark.parametrize("name", ["gpt-4o", "Tern-Nano", "sterna", "sterna/", "/", "../tern-nano"])
def test_unknown_names(name: str) -> None:
    assert match_model(name, IDS, {}, None) is None


def test_no_default_means_nothing() -> None:
    assert match_model("", IDS, {"*": "tern-nano"}, None) is None


def test_aliases_are_listed_with_their_model() -> None:
    assert aliases_of("sterna/tern-nano", IDS, ALIASES) == ["*", "small"]


@pytest.mark.parametrize(
    "text",
    [
        "..",
        "a/..",
        "../a",
        "a/b/c",
        "/a/b",
        "a//b",
        "a/b\n",
        "a/ b",
        ".a/b",
        "a",
        "",
        "a/" + "b" * 97,
    ],
)
def test_ids_that_could_leave_the_store_are_none(text: str) -> None:
    assert not is_model_id(text)


@given(st.text(max_size=30))
def test_an_id_stays_inside_of_the_store(text: str) -> None:
    if is_model_id(text):
        store = Path("/store/models")
        assert (store / text).resolve().parent.parent == store


def put(home: Path, model_id: str, checkpoint: Path) -> Path:
    target = home / "models" / model_id
    shutil.copytree(checkpoint, target)
    return target


def test_the_store_is_searched(checkpoint: Path, tmp_path: Path) -> None:
    put(tmp_path, "org/one", checkpoint)
    put(tmp_path, ".hidden/two", checkpoint)
    outside = put(tmp_path / "elsewhere", "org/outside", checkpoint)
    (tmp_path / "models" / "org" / "link").symlink_to(outside)
    ids = [source.model_id for source in Catalogue(tmp_path).sources()]
    assert ids == ["org/one", EMBEDDED_MODEL_ID]


def test_a_directory_can_be_added(checkpoint: Path, tmp_path: Path) -> None:
    stored = put(tmp_path, "org/one", checkpoint)
    given_path = tmp_path / "my model"
    shutil.copytree(checkpoint, given_path)
    catalogue = Catalogue(tmp_path)
    assert catalogue.add(given_path).model_id == "my-model"
    assert catalogue.add(given_path).owner == "local"
    # A path into the store is that model, not another one.
    assert catalogue.add(stored).model_id == "org/one"
    assert len(catalogue.sources()) == 3


def test_a_directory_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="no such directory"):
        Catalogue(tmp_path).add(tmp_path / "missing")
    with pytest.raises(ModelLoadError, match=r"there is no config\.json"):
        Catalogue(tmp_path).add(tmp_path)


def test_the_embedded_model_is_described(checkpoint: Path) -> None:
    described = describe(ModelSource(EMBEDDED_MODEL_ID, checkpoint, built_in=True))
    assert described.problem == ""
    assert (described.family, described.shape.name) == ("bitnet", "BitNetForCausalLM")
    assert described.quantization == "ternary packed"
    assert described.context_length == 1024
    assert described.parameter_count == 2_363_840
    assert described.template_name == "default"
    assert described.defaults.temperature == 0.0
    assert described.shape.head_size == 64
    assert described.size_bytes > 1_000_000
    assert described.source.owner == "sterna"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("config.json", b"[]", "must hold a JSON object"),
        ("config.json", b"{", "not JSON"),
        ("config.json", b"[" * 100_000, "not JSON"),
        ("model.safetensors", b"x", "not a safetensors file"),
        ("model.safetensors", struct.pack("<Q", 2**40) + b"{}", "header is longer"),
        ("model.safetensors", struct.pack("<Q", 2) + b"[]", "not a safetensors file"),
        (
            "model.safetensors",
            struct.pack("<Q", 20) + b'{"a": {"shape":"x"}}',
            "has no valid shape",
        ),
    ],
)
def test_a_damaged_model_is_described_by_its_problem(
    checkpoint: Path, tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    path = put(tmp_path, "org/bad", checkpoint)
    (path / name).write_bytes(content)
    described = describe(ModelSource("org/bad", path))
    assert problem in described.problem
    assert name in described.problem


def test_numbers_that_make_no_sense_are_left_out(checkpoint: Path, tmp_path: Path) -> None:
    path = put(tmp_path, "org/odd", checkpoint)
    config = json.loads((path / "config.json").read_text())
    config |= {"vocab_size": -1, "hidden_size": 2**40, "num_attention_heads": True}
    (path / "config.json").write_text(json.dumps(config))
    shape = describe(ModelSource("org/odd", path)).shape
    assert (shape.vocabulary_size, shape.hidden_size, shape.head_count) == (0, 0, 0)


def test_a_description_is_read_anew_only_when_a_file_changed(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(checkpoint, tmp_path / "model")
    source = ModelSource("org/model", tmp_path / "model")
    reads: list[ModelSource] = []
    read = description._describe

    def counted(each: ModelSource) -> description.ModelDescription:
        reads.append(each)
        return read(each)

    monkeypatch.setattr(description, "_describe", counted)
    first = description.describe(source)
    assert description.describe(source) == first
    assert len(reads) == 1
    config = json.loads((source.path / "config.json").read_text())
    (source.path / "config.json").write_text(json.dumps(config | {"model_type": "other"}))
    assert description.describe(source).family == "other"
    (source.path / "chat_template.jinja").write_text("{{ messages }}")
    description.describe(source)
    assert len(reads) == 3
