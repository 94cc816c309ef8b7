"""How a model wants its vectors made: the files that sentence-transformers keeps beside it.

`modules.json` lists the steps, `1_Pooling/config.json` says how the token vectors become one,
`N_Dense/` holds a linear layer, `sentence_bert_config.json` the longest text, and
`config_sentence_transformers.json` the prompts. All of them may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from sterna_service.errors import ModelLoadError, Reason
from sterna_service.files import read_json, read_json_list


class Pooling(Enum):
    """How the final states of a text's tokens become one vector."""

    MEAN = "mean"
    LAST_TOKEN = "last"
    FIRST_TOKEN = "first"


@dataclass(frozen=True, slots=True)
class DenseSpec:
    """A linear layer behind the pooling, in a directory of its own."""

    directory: Path
    inputs: int
    outputs: int
    bias: bool
    tanh: bool


@dataclass(frozen=True, slots=True)
class EmbeddingTraits:
    """What a model says about its vectors."""

    pooling: Pooling | None = None
    """None: it does not say."""
    max_tokens: int = 0
    """Tokens of the longest text; 0: it does not say."""
    lower_case: bool = False
    """Texts are made lower-case first."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """What comes before texts of a kind, by the kind's name."""
    default_prompt: str = ""
    """The name of the prompt of texts that name none; empty: no prompt."""
    dense: tuple[DenseSpec, ...] = ()
    declared: bool = False
    """The directory is laid out for sentence-transformers."""

    def prompt(self, name: str) -> str | None:
        """The prompt of that name; None when there is none. The empty name is the default one.

        Every model knows `query` and `document`: one that treats them alike has no prompt for them.
        """
        name = name or self.default_prompt
        for known in (name, *_SYNONYMS.get(name, ())):
            if known in self.prompts:
                return self.prompts[known]
        return "" if not name or name in _SYNONYMS else None

    @property
    def prompt_names(self) -> list[str]:
        """The names that `prompt` takes."""
        return sorted({*self.prompts, *_SYNONYMS})


# What sentence-transformers looks for when it is given a query or a document.
_SYNONYMS: Mapping[str, tuple[str, ...]] = {"query": (), "document": ("passage", "corpus")}

_MODES = {
    "mean": Pooling.MEAN,
    "mean_tokens": Pooling.MEAN,
    "cls": Pooling.FIRST_TOKEN,
    "cls_token": Pooling.FIRST_TOKEN,
    "lasttoken": Pooling.LAST_TOKEN,
}
_PACKAGE = "sentence_transformers."
_MOST_OUTPUTS = 65536


def is_laid_out(directory: Path) -> bool:
    """Whether a directory is laid out for sentence-transformers."""
    names = ("modules.json", "sentence_bert_config.json", "1_Pooling/config.json")
    return any((directory / name).is_file() for name in names)


def read_traits(directory: Path) -> EmbeddingTraits:
    """Reads what a directory says of its vectors. Blocks.

    Raises:
        ModelLoadError: A file is damaged, or asks for a step that is not known here.
    """
    if not directory.is_dir():
        return EmbeddingTraits()
    modules = _modules(directory)
    pooling_directory = modules.pooling or directory / "1_Pooling"
    limits = read_json(directory / "sentence_bert_config.json", missing={})
    prompts_path = directory / "config_sentence_transformers.json"
    settings = read_json(prompts_path, missing={})
    prompts = settings.get("prompts") or {}
    default = settings.get("default_prompt_name") or ""
    texts = isinstance(prompts, dict) and all(isinstance(each, str) for each in prompts.values())
    if not texts or (default and default not in prompts):
        raise ModelLoadError(
            f"{prompts_path}: prompts must be texts by name, the default among them"
        )
    longest = limits.get("max_seq_length")
    return EmbeddingTraits(
        pooling=_pooling(pooling_directory / "config.json"),
        max_tokens=longest if isinstance(longest, int) and longest > 0 else 0,
        lower_case=limits.get("do_lower_case") is True,
        prompts=prompts,
        default_prompt=str(default),
        dense=modules.dense,
        declared=is_laid_out(directory),
    )


@dataclass(frozen=True, slots=True)
class _Modules:
    pooling: Path | None = None
    dense: tuple[DenseSpec, ...] = ()


def _modules(directory: Path) -> _Modules:
    path = directory / "modules.json"
    if not path.is_file():
        return _Modules()
    content = read_json_list(path)
    pooling: Path | None = None
    dense: list[DenseSpec] = []
    for module in content:
        kind = module.get("type") if isinstance(module, dict) else None
        place = module.get("path") if isinstance(module, dict) else None
        if not isinstance(kind, str) or not isinstance(place, str):
            raise ModelLoadError(f"{path}: every module must have a type and a path")
        if not kind.startswith(_PACKAGE):
            raise _unknown(path, f"{kind!r} would need code from the model's repository")
        # A plain name, which cannot lead out of the directory.
        if place and (Path(place).name != place or place == ".."):
            raise ModelLoadError(f"{path}: {place!r} is no directory beside it")
        match kind.rpartition(".")[2]:
            case "Transformer":
                if place:
                    raise _unknown(path, f"a transformer in the directory {place!r} of its own")
            case "Pooling":
                pooling = directory / place
            case "Dense":
                dense.append(_dense(directory / place))
            case "Normalize":
                pass  # Every vector has length 1 here.
            case other:
                raise _unknown(path, f"the module {other!r}")
    return _Modules(pooling, tuple(dense))


def _dense(directory: Path) -> DenseSpec:
    path = directory / "config.json"
    config = read_json(path)
    sizes = [config.get(name) for name in ("in_features", "out_features")]
    inputs, outputs = (size if isinstance(size, int) else 0 for size in sizes)
    if not (0 < inputs <= _MOST_OUTPUTS and 0 < outputs <= _MOST_OUTPUTS):
        raise ModelLoadError(f"{path}: in_features and out_features must be 1 to {_MOST_OUTPUTS}")
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    name = activation.rpartition(".")[2]
    if name not in ("Identity", "Tanh"):
        raise _unknown(path, f"the activation {name!r}")
    if not (directory / "model.safetensors").is_file():
        raise ModelLoadError(
            f"{directory}: there is no model.safetensors in it; weights in pickles are never read"
        )
    return DenseSpec(directory, inputs, outputs, config.get("bias") is not False, name == "Tanh")


def _pooling(path: Path) -> Pooling | None:
    config = read_json(path, missing={})
    if not config:
        return None
    modes = _modes(config)
    if len(modes) != 1 or modes[0] not in _MODES:
        raise _unknown(path, f"pooling by {' and '.join(modes) or 'nothing'}")
    if config.get("include_prompt") is False:
        raise _unknown(path, "pooling without the prompt's tokens")
    return _MODES[modes[0]]


def _modes(config: Mapping[str, Any]) -> list[str]:
    """The ways of pooling that a configuration asks for, in the newer spelling or the older."""
    mode = config.get("pooling_mode")
    if mode is not None:
        return [str(each) for each in mode] if isinstance(mode, list) else [str(mode)]
    prefix = "pooling_mode_"
    return [
        name.removeprefix(prefix)
        for name in sorted(config)
        if name.startswith(prefix) and config[name] is True
    ]


def _unknown(path: Path, what: str) -> ModelLoadError:
    return ModelLoadError(
        f"{path}: {what} is not supported; mean, first- and last-token pooling, dense layers and "
        "normalization are",
        Reason.MODEL_UNSUPPORTED,
    )
