"""A model that can answer: its engine, its tokenizer, its template, its defaults."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sterna_service.encoders.traits import EmbeddingTraits, Pooling, read_traits
from sterna_service.engine.port import EnginePort
from sterna_service.engine.types import EngineOptions
from sterna_service.errors import ModelLoadError, Reason
from sterna_service.files import read_json
from sterna_service.inference.chat_template import ChatTemplate, load_chat_template
from sterna_service.inference.grammar import GrammarCompiler
from sterna_service.inference.prompt import PromptEncoder
from sterna_service.inference.sampling import SamplingDefaults, defaults_from
from sterna_service.inference.tokenizer import Tokenizer, load_tokenizer


@dataclass(slots=True)
class LoadedModel:
    """Everything that one model needs to answer."""

    model_id: str
    port: EnginePort
    tokenizer: Tokenizer
    template: ChatTemplate | None
    prompts: PromptEncoder
    grammars: GrammarCompiler
    defaults: SamplingDefaults
    search_tuned: bool
    """It asks for searches by itself, with tags."""
    embedding: EmbeddingTraits
    """What it says about vectors of texts."""
    pooling: Pooling
    """How its token vectors become one."""
    load_time: datetime
    last_use_time: datetime | None = None

    @property
    def vocabulary_size(self) -> int:
        return self.port.config.vocab_size

    @property
    def context_length(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self.port.config.context_length

    @property
    def memory_bytes(self) -> int:
        """Weights and cache."""
        return self.port.config.weight_bytes

    @property
    def packed_now(self) -> bool:
        """Its checkpoint had to be packed for this load."""
        return self.port.packed_now

    async def close(self, farewell: str = "") -> None:
        """Ends running requests with an error; `farewell` is what they are told."""
        await self.port.close(farewell)

    def touch(self) -> None:
        """Notes that the model is being used now."""
        self.last_use_time = datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class CheckpointText:
    """The parts of a checkpoint that deal with text rather than with weights."""

    tokenizer: Tokenizer
    template: ChatTemplate | None
    defaults: SamplingDefaults
    search_tags: bool
    """It was trained to write `<search>query</search>`."""


def read_checkpoint_text(checkpoint: Path, tokenizer: Path | None = None) -> CheckpointText:
    """Reads tokenizer, template and generation defaults. Blocks.

    With `tokenizer`, another directory's tokenizer is taken, and its template where the checkpoint
    has none.

    Raises:
        ModelLoadError: A file is missing or damaged, or the tokenizer is another model's.
    """
    config = read_json(checkpoint / "config.json")
    declared = config.get("vocab_size")
    # The engine refuses a configuration that makes no sense; here it is only compared with.
    size = declared if isinstance(declared, int) and declared > 0 else None
    path = checkpoint / "generation_config.json"
    generation = read_json(path, missing={})
    return CheckpointText(
        tokenizer=load_tokenizer(checkpoint, size, tokenizer),
        template=load_chat_template(checkpoint)
        or (None if tokenizer is None else load_chat_template(tokenizer)),
        defaults=defaults_from(generation, str(path)),
        search_tags=generation.get("search_tags") is True,
    )


async def load_model(
    model_id: str,
    checkpoint: Path,
    home: Path,
    options: EngineOptions,
    pooling: Pooling = Pooling.MEAN,
    tokenizer: Path | None = None,
) -> LoadedModel:
    """Loads a checkpoint directory and starts its engine.

    `pooling` is for vectors of texts, where the checkpoint does not say it; `tokenizer` is the
    directory whose tokenizer is taken, where it is not the checkpoint's own.

    Raises:
        ModelLoadError: The checkpoint cannot be used; nothing is left running.
    """
    # First what is cheap and often wrong, then the weights.
    text = await asyncio.to_thread(read_checkpoint_text, checkpoint, tokenizer)
    traits = await asyncio.to_thread(read_traits, checkpoint)
    check_causal(traits, checkpoint)
    port = await EnginePort.open(checkpoint, model_id.replace("/", "--"), home, options)
    return LoadedModel(
        model_id=model_id,
        port=port,
        tokenizer=text.tokenizer,
        template=text.template,
        prompts=PromptEncoder(model_id, text.tokenizer, text.template, port.config.vocab_size),
        grammars=GrammarCompiler(text.tokenizer, port.config.vocab_size),
        defaults=text.defaults,
        # The models of TRILLIM, whose tags they are, say it in their names.
        search_tuned=text.search_tags or "search" in model_id.lower(),
        load_time=datetime.now(UTC),
        embedding=traits,
        pooling=traits.pooling or pooling,
    )


def check_causal(traits: EmbeddingTraits, checkpoint: Path) -> None:
    """Checks that a language model can make the vectors that it says it makes.

    Raises:
        ModelLoadError: It cannot.
    """
    if traits.pooling is Pooling.FIRST_TOKEN:
        # Its first token has seen nothing but itself.
        what = "pooling by the first token"
    elif traits.dense:
        what = "a dense layer behind the pooling"
    else:
        return
    raise ModelLoadError(
        f"{checkpoint}: {what} is supported for sentence encoders only, not for language models",
        Reason.MODEL_UNSUPPORTED,
    )
