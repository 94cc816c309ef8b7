"""Tokenizers: bytes of tokens, end tokens, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer as HfTokenizer
from tokenizers import decoders, models, normalizers, processors

from sterna_service.errors import ModelLoadError
from sterna_service.inference.loaded_model import read_checkpoint_text
from sterna_service.inference.tokenizer import Tokenizer, load_tokenizer


@pytest.fixture
def copy(checkpoint: Path, tmp_path: Path) -> Path:
    """The text files of the embedded model, to be damaged."""
    for file in checkpoint.glob("*.json"):
        shutil.copy(file, tmp_path)
    return tmp_path


def edit(path: Path, **changes: object) -> None:
    data = json.loads(path.read_text())
    data.update(changes)
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))


def test_bytes_of_tokens_are_the_bytes_of_the_text(tokenizer: Tokenizer) -> None:
    text = "Grüße, 世界! 👩‍👩‍👧\n\tdone"
    ids = tokenizer.encode_plain(text)
    assert b"".join(map(tokenizer.token_bytes, ids)) == text.encode()


def test_every_byte_has_a_token(tokenizer: Tokenizer) -> None:
    known = {tokenizer.token_bytes(id) for id in range(tokenizer.vocabulary_size)}
    assert {bytes([byte]) for byte in range(256)} <= known


def test_end_tokens_are_the_union_of_all_sources(copy: Path) -> None:
    assert load_tokenizer(copy, 4096).end_tokens == {1, 2}
    edit(copy / "generation_config.json", eos_token_id=None)
    edit(copy / "config.json", eos_token_id=3)
    # From config.json, from the tokenizer's eos_token, and by their well-known names.
    assert load_tokenizer(copy, 4096).end_tokens == {1, 2, 3}


def test_raw_text_has_control_tokens_and_plain_text_has_not(tokenizer: Tokenizer) -> None:
    assert 2 in tokenizer.encode("Hello<|eot_id|>")
    plain = tokenizer.encode_plain("Hello<|eot_id|>")
    assert 2 not in plain
    assert tokenizer.decode(plain) == "Hello<|eot_id|>"
    # Encoding plain text changed nothing for raw text.
    assert 2 in tokenizer.encode("Hello<|eot_id|>")


def test_begin_token_is_added_as_configured_or_asked(copy: Path) -> None:
    tokenizer = load_tokenizer(copy, 4096)
    assert tokenizer.encode("Hi")[0] != 0
    assert tokenizer.encode("Hi", add_special_tokens=True)[0] == 0
    edit(copy / "tokenizer_config.json", add_bos_token=True)
    tokenizer = load_tokenizer(copy, 4096)
    assert tokenizer.encode("Hi")[0] == 0
    assert tokenizer.encode("Hi", add_special_tokens=False)[0] != 0
    assert tokenizer.encode("<|begin_of_text|>Hi").count(0) == 1


def test_padding_and_truncation_of_the_file_are_ignored(copy: Path) -> None:
    backend = HfTokenizer.from_file(str(copy / "tokenizer.json"))
    backend.enable_padding(length=128)
    backend.enable_truncation(2)
    backend.save(str(copy / "tokenizer.json"))
    tokenizer = load_tokenizer(copy, 4096)
    assert tokenizer.decode(tokenizer.encode("one two three four")) == "one two three four"


@pytest.mark.parametrize(
    ("model_size", "message"),
    [
        (4000, "its vocabulary has 4096 tokens, but the model knows only 4000"),
        (32000, "its vocabulary has only 4096 of the model's 32000 tokens"),
    ],
)
def test_a_vocabulary_of_another_model_is_refused(
    copy: Path, model_size: int, message: str
) -> None:
    with pytest.raises(ModelLoadError, match=message):
        load_tokenizer(copy, model_size)


def test_a_padded_vocabulary_is_accepted(copy: Path) -> None:
    assert load_tokenizer(copy, 4224).vocabulary_size == 4096


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"model": 3}', "\x00\xff"])
def test_a_damaged_file_is_refused_by_name(copy: Path, content: str) -> None:
    (copy / "tokenizer.json").write_text(content)
    with pytest.raises(ModelLoadError, match=r"tokenizer\.json: not a tokenizer") as caught:
        load_tokenizer(copy, 4096)
    assert "\n" not in str(caught.value)


def test_an_empty_vocabulary_is_refused(tmp_path: Path) -> None:
    HfTokenizer(models.BPE()).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelLoadError, match="its vocabulary is empty"):
        load_tokenizer(tmp_path, None)


def test_a_vocabulary_with_vast_gaps_is_refused(copy: Path) -> None:
    """The library would list every id that is not used, gigabytes for a file of kilobytes."""
    file = json.loads((copy / "tokenizer.json").read_text())
    file["model"]["vocab"]["far"] = 2**31
    (copy / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(ModelLoadError, match=r"its ids go up to 2147483648, but it has only"):
        load_tokenizer(copy, None)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("normalizer", normalizers.Sequence([normalizers.Replace("a", "aa")] * 40)),
        ("normalizer", normalizers.Replace(" ", "a" * 65)),
        ("decoder", decoders.Sequence([decoders.Replace("a", "aaa")] * 9)),
        (
            "post_processor",
            processors.Sequence([processors.TemplateProcessing("$A $A $A", "$A $B")] * 4),
        ),
    ],
)
def test_a_tokenizer_that_makes_texts_endless_is_refused(
    copy: Path, part: str, value: object
) -> None:
    backend = HfTokenizer.from_file(str(copy / "tokenizer.json"))
    setattr(backend, part, value)
    backend.save(str(copy / "tokenizer.json"))
    with pytest.raises(ModelLoadError, match=r"it makes texts up to \d+ times as long"):
        load_tokenizer(copy, None)


def test_a_tokenizer_may_spell_out_many_characters(copy: Path) -> None:
    backend = HfTokenizer.from_file(str(copy / "tokenizer.json"))
    spelled = {"½": "1/2", "⅓": "1/3", "ﬁ": "fi", "ﬂ": "fl", "…": "...", "№": "No.", "™": "TM"}
    backend.normalizer = normalizers.Sequence(
        [normalizers.Replace(each, text) for each, text in spelled.items()]
    )
    backend.save(str(copy / "tokenizer.json"))
    tokenizer = load_tokenizer(copy, None)
    assert tokenizer.decode(tokenizer.encode_plain("½ ﬁn…")) == "1/2 fin..."


def test_end_tokens_beyond_the_vocabulary_are_ignored(copy: Path) -> None:
    edit(copy / "generation_config.json", eos_token_id=[1, 4096, 2**40, -1, True, "2"])
    assert load_tokenizer(copy, 4096).end_tokens == {1, 2}


def test_many_and_few_tokens_are_decoded_alike(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode_plain("Grüße, 世界! ")
    assert tokenizer.decode(ids * 2000) == "Grüße, 世界! " * 2000


def test_a_missing_file_is_refused_by_name(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(ModelLoadError, match=r"tokenizer\.json: no such file"):
        load_tokenizer(copy, 4096)


def test_a_sentencepiece_model_alone_is_refused_with_the_remedy(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    (copy / "tokenizer.model").write_bytes(b"")
    with pytest.raises(ModelLoadError, match=r"SentencePiece.*save_pretrained"):
        load_tokenizer(copy, 4096)


def test_a_tokenizer_of_another_directory(copy: Path, checkpoint: Path) -> None:
    for file in copy.glob("tokenizer*.json"):
        file.unlink()
    with pytest.raises(ModelLoadError, match="the setting tokenizers"):
        load_tokenizer(copy, 4096)
    edit(copy / "config.json", eos_token_id=3)
    tokenizer = load_tokenizer(copy, 4096, checkpoint)
    assert tokenizer.encode_plain("hello") == load_tokenizer(checkpoint, 4096).encode_plain("hello")
    assert tokenizer.end_tokens == {1, 2, 3}
    text = read_checkpoint_text(copy, checkpoint)
    assert text.template is not None
    assert text.tokenizer.vocabulary_size == 4096
    with pytest.raises(ModelLoadError, match="4096 tokens, but the model knows only 100"):
        load_tokenizer(copy, 100, checkpoint)


def sentencepiece(directory: Path) -> Path:
    """A small tokenizer of the SentencePiece kind, with bytes for what it does not know."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2}
    vocabulary |= {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
    for piece in ("▁", "H", "i", "▁Hi", "Hi", "▁there"):
        vocabulary.setdefault(piece, len(vocabulary))
    backend = HfTokenizer(
        models.BPE(vocabulary, [("H", "i"), ("▁", "Hi")], unk_token="<unk>", byte_fallback=True)
    )
    backend.add_special_tokens(["<s>", "</s>"])
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    backend.save(str(directory / "tokenizer.json"))
    return directory


def test_sentencepiece_tokens_have_bytes_and_keep_their_spaces(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(sentencepiece(tmp_path), 265)
    ids = tokenizer.encode_plain("Hi Hi→")
    assert tokenizer.decode(ids) == "Hi Hi→"
    # A token in the middle of an answer begins with its space.
    assert b"".join(map(tokenizer.token_bytes, ids)) == " Hi Hi→".encode()
    assert tokenizer.token_bytes(2) == b"</s>"
    assert tokenizer.end_tokens == {2}


def test_an_unknown_kind_of_decoder_is_refused(tmp_path: Path) -> None:
    backend = HfTokenizer.from_file(str(sentencepiece(tmp_path) / "tokenizer.json"))
    backend.decoder = decoders.WordPiece()
    backend.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelLoadError, match=r"decoder \(WordPiece\) is not supported"):
        load_tokenizer(tmp_path, 265)
