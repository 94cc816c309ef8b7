"""Reason of the core → what HTTP and the OpenAI body say. Complete over `ErrorReason`."""

from __future__ import annotations

from typing import NamedTuple


class HttpError(NamedTuple):
    """HTTP status and OpenAI `code`; the `type` follows from the status."""

    status: int
    code: str


# By the name of the reason without its prefix, as `google.rpc.ErrorInfo` carries it.
REASONS: dict[str, HttpError] = {
    "INTERNAL": HttpError(500, "server_error"),
    "NOT_IMPLEMENTED": HttpError(501, "not_implemented"),
    "CANCELLED": HttpError(499, "cancelled"),
    "DEADLINE_EXCEEDED": HttpError(504, "deadline_exceeded"),
    "INVALID_FIELD": HttpError(400, "invalid_value"),
    "FIELD_OUT_OF_RANGE": HttpError(422, "invalid_value"),
    "FIELD_UNSUPPORTED": HttpError(400, "unsupported_parameter"),
    "CONTEXT_LENGTH_EXCEEDED": HttpError(400, "context_length_exceeded"),
    "GRAMMAR_INVALID": HttpError(400, "grammar_invalid"),
    "CHAT_TEMPLATE_FAILED": HttpError(400, "chat_template_failed"),
    "CHAT_TEMPLATE_MISSING": HttpError(400, "chat_template_missing"),
    "UNAUTHENTICATED": HttpError(401, "invalid_api_key"),
    "PERMISSION_DENIED": HttpError(403, "permission_denied"),
    "RATE_LIMITED": HttpError(429, "rate_limit_exceeded"),
    "CONCURRENCY_LIMITED": HttpError(429, "rate_limit_exceeded"),
    "QUEUE_FULL": HttpError(503, "service_unavailable"),
    "SERVER_STARTING": HttpError(503, "service_unavailable"),
    "SERVER_DRAINING": HttpError(503, "service_unavailable"),
    # 507 and not 503: waiting does not make memory or disk larger.
    "OUT_OF_MEMORY": HttpError(507, "out_of_memory"),
    "DISK_FULL": HttpError(507, "disk_full"),
    "CORE_UNREACHABLE": HttpError(503, "service_unavailable"),
    "MODEL_NOT_FOUND": HttpError(404, "model_not_found"),
    "MODEL_NOT_LOADED": HttpError(400, "model_not_loaded"),
    "MODEL_LOADING": HttpError(503, "service_unavailable"),
    "CHECKPOINT_INVALID": HttpError(400, "checkpoint_invalid"),
    "MODEL_UNSUPPORTED": HttpError(400, "model_unsupported"),
    "CAPABILITY_MISSING": HttpError(400, "capability_missing"),
    "PATH_FORBIDDEN": HttpError(403, "path_forbidden"),
    "SWAP_IN_PROGRESS": HttpError(409, "swap_in_progress"),
    "MODEL_IN_USE": HttpError(409, "model_in_use"),
    "ADAPTER_NOT_FOUND": HttpError(404, "adapter_not_found"),
    "ADAPTER_UNSUPPORTED": HttpError(400, "adapter_unsupported"),
    "SOURCE_NOT_FOUND": HttpError(404, "source_not_found"),
    "SOURCE_ACCESS_DENIED": HttpError(403, "source_access_denied"),
    "DOWNLOAD_FAILED": HttpError(503, "download_failed"),
    "DIGEST_MISMATCH": HttpError(500, "digest_mismatch"),
    "PULL_NOT_FOUND": HttpError(404, "pull_not_found"),
    "SESSION_NOT_FOUND": HttpError(404, "session_not_found"),
    "SESSION_ALREADY_EXISTS": HttpError(409, "session_already_exists"),
    "SESSION_BUSY": HttpError(409, "session_busy"),
    "ANSWER_NOT_FOUND": HttpError(404, "response_not_found"),
    "WEBHOOK_NOT_FOUND": HttpError(404, "webhook_not_found"),
    "REVISION_COMPACTED": HttpError(410, "revision_compacted"),
    "SEARCH_NOT_CONFIGURED": HttpError(400, "search_not_configured"),
    "STATE_UNAVAILABLE": HttpError(503, "service_unavailable"),
    "SPEECH_DISABLED": HttpError(501, "speech_disabled"),
    # 503: the request is in order, and will be answered once the weights are there.
    "SPEECH_WEIGHTS_MISSING": HttpError(503, "speech_weights_missing"),
    "AUDIO_TOO_LARGE": HttpError(413, "audio_too_large"),
    "AUDIO_TOO_LONG": HttpError(413, "audio_too_long"),
    "AUDIO_UNREADABLE": HttpError(400, "audio_unreadable"),
    "VOICE_NOT_FOUND": HttpError(404, "voice_not_found"),
    "VOICE_BUILT_IN": HttpError(400, "voice_built_in"),
    "VOICE_ALREADY_EXISTS": HttpError(409, "voice_already_exists"),
    "VOICE_SAMPLE_UNUSABLE": HttpError(400, "voice_sample_unusable"),
    "VOICE_CLONING_UNAVAILABLE": HttpError(400, "voice_cloning_unavailable"),
    "SPEECH_WORKER_FAILED": HttpError(503, "speech_worker_failed"),
}
