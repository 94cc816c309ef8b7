"""A sentence encoder in memory: texts as padded batches, and one vector for each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from sterna_service.encoders.dense import DenseLayer, load_dense
from sterna_service.encoders.files import onnx_in
from sterna_service.encoders.onnx_session import Floats, Ids, OnnxSession, open_session
from sterna_service.encoders.tokenization import EncoderTokenizer, load_tokenizer
from sterna_service.encoders.traits import EmbeddingTraits, Pooling, read_traits
from sterna_service.errors import ModelLoadError, Reason, ServiceError
from sterna_service.files import read_json

_log = logging.getLogger(__name__)

# Tokens of one batch, padding included: attention keeps a square of every text's length.
_MOST_BATCH_TOKENS = 4096

_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """What an encoder may take."""

    threads: int = 1
    """Threads that compute."""
    max_queue: int = 64
    """Requests that wait for one that runs; one more is refused."""


class Encoder:
    """Turns tokens into vectors. Belongs to the event loop; computes in a thread of its own."""

    def __init__(
        self,
        model_id: str,
        session: OnnxSession,
        tokenizer: EncoderTokenizer,
        traits: EmbeddingTraits,
        dense: Sequence[DenseLayer],
        context_length: int,
        options: EncoderOptions,
    ) -> None:
        self.model_id = model_id
        self.tokenizer = tokenizer
        self.traits = traits
        self.context_length = context_length
        """Tokens of the longest text."""
        self.options = options
        self.load_time = datetime.now(UTC)
        self.last_use_time: datetime | None = None
        self._session: OnnxSession | None = session
        self._dense = dense
        self._weight_bytes = session.weight_bytes + sum(layer.weight_bytes for layer in dense)
        # One batch at a time; those of several requests take turns.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="sterna-encoder")
        self._active = 0
        self.token_count = 0
        """Tokens of all texts since it was loaded."""
        self._closed = False
        self._farewell = "the server is stopping; ask another one, or try again in a moment"
        probe = self._compute([[tokenizer.pad_token_id]])
        self.dimensions = probe.shape[1]
        """Components of a vector."""

    @property
    def pooling(self) -> Pooling:
        """How vectors are made: by the mean, where nothing is said."""
        return self.traits.pooling or Pooling.MEAN

    @property
    def memory_bytes(self) -> int:
        """Weights."""
        return self._weight_bytes

    @property
    def packed_now(self) -> bool:
        """It is used as it lies there."""
        return False

    @property
    def active(self) -> int:
        """Requests that run or wait."""
        return self._active

    def touch(self) -> None:
        """Notes that the model is being used now."""
        self.last_use_time = datetime.now(UTC)

    async def vectors(self, inputs: Sequence[Sequence[int]]) -> Floats:
        """One vector per input, as rows: [inputs, dimensions]. Not scaled to length 1.

        Cancelling it stops the work behind the batch that is running.

        Raises:
            ServiceError: Too many requests wait, or the encoder is closed or failed.
        """
        if self._active > self.options.max_queue:
            raise ServiceError(
                Reason.QUEUE_FULL,
                "too many requests are waiting already; try again in a moment",
                retry_after=_RETRY_SECONDS,
            )
        self._active += 1
        try:
            result = np.empty((len(inputs), self.dimensions), dtype=np.float32)
            loop = asyncio.get_running_loop()
            for batch in batches([len(each) for each in inputs], _MOST_BATCH_TOKENS):
                if self._closed:
                    raise self._closing()
                chosen = [inputs[index] for index in batch]
                result[batch] = await loop.run_in_executor(self._worker, self._guarded, chosen)
                self.token_count += sum(map(len, chosen))
            return result
        finally:
            self._active -= 1

    async def close(self, farewell: str = "") -> None:
        """Ends running requests with an error after their batch. May be called twice."""
        self._closed = True
        self._farewell = farewell or self._farewell
        await asyncio.to_thread(self._worker.shutdown)
        self._session = None

    def _guarded(self, inputs: Sequence[Sequence[int]]) -> Floats:
        if self._closed:
            raise self._closing()
        try:
            return self._compute(inputs)
        except Exception:
            _log.exception("the encoder %s failed", self.model_id)
            raise ServiceError(
                Reason.INTERNAL, "the encoder failed; see the server's log"
            ) from None

    def _compute(self, inputs: Sequence[Sequence[int]]) -> Floats:
        assert self._session is not None
        width = max(map(len, inputs))
        ids: Ids = np.full((len(inputs), width), self.tokenizer.pad_token_id, dtype=np.int64)
        mask: Ids = np.zeros_like(ids)
        for row, each in enumerate(inputs):
            ids[row, : len(each)] = each
            mask[row, : len(each)] = 1
        states = self._session.run(ids, mask)
        if self._session.pooled:
            return states
        vectors = pool(states, mask, self.pooling)
        for layer in self._dense:
            vectors = layer(vectors)
        return vectors

    def _closing(self) -> ServiceError:
        return ServiceError(Reason.SERVER_DRAINING, self._farewell, retry_after=_RETRY_SECONDS)


def pool(states: Floats, mask: Ids, pooling: Pooling) -> Floats:
    """One vector per text of [texts, tokens, size]; padding stands behind the tokens."""
    if pooling is Pooling.FIRST_TOKEN:
        return states[:, 0]
    if pooling is Pooling.LAST_TOKEN:
        last: Floats = states[np.arange(len(states)), mask.sum(axis=1) - 1]
        return last
    weights = mask[:, :, None].astype(np.float32)
    mean: Floats = (states * weights).sum(axis=1) / weights.sum(axis=1)
    return mean


def batches(lengths: Sequence[int], most_tokens: int) -> Iterator[list[int]]:
    """Indices in groups of texts of like length, so that little is padding.

    A group has at most `most_tokens` with its padding, or one text.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        if batch and lengths[index] * (len(batch) + 1) > most_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


async def load_encoder(model_id: str, directory: Path, options: EncoderOptions) -> Encoder:
    """Loads a sentence encoder.

    Raises:
        ModelLoadError: It cannot be used.
    """
    return await asyncio.to_thread(_load, model_id, directory, options)


def _load(model_id: str, directory: Path, options: EncoderOptions) -> Encoder:
    config = read_json(directory / "config.json")
    path = onnx_in(directory)
    if path is None:
        kind = str(config.get("model_type"))[:40]
        raise ModelLoadError(
            f"{directory}: a sentence encoder of the type {kind!r} without an ONNX file; export it "
            "(optimum-cli export onnx --model NAME --task feature-extraction DIRECTORY) and import "
            "that directory",
            Reason.MODEL_UNSUPPORTED,
        )
    traits = read_traits(directory)
    longest = longest_text(traits, config)
    tokenizer = load_tokenizer(directory, longest)
    session = open_session(path, directory, options.threads)
    dense = [] if session.pooled else [load_dense(spec) for spec in traits.dense]
    if session.pooled:
        # The exporter has put all steps into the graph.
        traits = replace(traits, dense=())
    try:
        return Encoder(model_id, session, tokenizer, traits, dense, longest, options)
    except Exception as error:
        line = str(error).partition("\n")[0][:300]
        raise ModelLoadError(f"{path}: it cannot embed a token ({line})") from None


def longest_text(traits: EmbeddingTraits, config: dict[str, object]) -> int:
    """Tokens of the longest text that an encoder takes."""
    declared = config.get("max_position_embeddings")
    positions = declared if isinstance(declared, int) and declared > 0 else 512
    # These begin to count behind the padding token, and lose two places by it.
    if config.get("model_type") in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        positions = max(1, positions - 2)
    return min(traits.max_tokens or positions, positions)
