"""Why a model does not answer, in words for whoever asked."""

from __future__ import annotations

from collections.abc import Sequence

from sterna_service.errors import Reason, ServiceError

# How long a client should wait for a model that is being loaded, in seconds.
_LOADING_RETRY_SECONDS = 2.0


IS_ADAPTER = "is an adapter, not a model: load it beside the model that it was made for"


def adapter_alone(adapter_id: str) -> ServiceError:
    """The name is that of an adapter in the store."""
    return ServiceError(
        Reason.MODEL_NOT_FOUND,
        f"{adapter_id} {IS_ADAPTER}",
        metadata={"model": adapter_id, "adapter": adapter_id},
    )


def not_found(name: str, ids: Sequence[str]) -> ServiceError:
    """No model is called that; there are others."""
    shown = name if len(name) <= 200 else f"{name[:200]}…"
    return ServiceError(
        Reason.MODEL_NOT_FOUND,
        f"there is no model {shown!r}; there are: {list_ids(ids)}",
        metadata={"model": shown},
    )


def not_loaded(model_id: str, failure: str, loaded: Sequence[str]) -> ServiceError:
    """The model is not in memory, perhaps because loading it failed; others are."""
    why = f" (loading it failed: {failure})" if failure else ""
    return ServiceError(
        Reason.MODEL_NOT_LOADED,
        f"the model {model_id} is not loaded{why}; loaded: {', '.join(loaded) or 'none'}",
        metadata={"model": model_id},
    )


def still_loading(model_id: str) -> ServiceError:
    """The model is on its way, and no request waits for it."""
    return ServiceError(
        Reason.MODEL_LOADING,
        f"the model {model_id} is being loaded; try again in a moment",
        metadata={"model": model_id},
        retry_after=_LOADING_RETRY_SECONDS,
    )


def stopping() -> ServiceError:
    """Nothing is loaded any more."""
    return ServiceError(
        Reason.SERVER_DRAINING,
        "the server is stopping; ask another one, or try again in a moment",
        retry_after=_LOADING_RETRY_SECONDS,
    )


def swap_in_progress(model_id: str) -> ServiceError:
    """Another change of the model is running."""
    return ServiceError(
        Reason.SWAP_IN_PROGRESS,
        f"the model {model_id} is being loaded, swapped or unloaded; try again when that is done",
        metadata={"model": model_id},
    )


def not_generative(model_id: str, consequence: str) -> ServiceError:
    """The model makes vectors only."""
    return ServiceError(
        Reason.CAPABILITY_MISSING,
        f"{model_id} is a sentence encoder: {consequence}; name a language model",
        field="model_id",
        metadata={"model": model_id, "capability": "completion"},
    )


def list_ids(ids: Sequence[str]) -> str:
    """The ids for a message, which has to stay short."""
    most = 10
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return ", ".join(ids[:most]) + more
