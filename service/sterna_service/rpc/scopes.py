"""What a caller needs for each RPC of this protocol: one table, complete over it.

An RPC that is not in it is refused, so that a new one is never open by mistake. Health and
reflection are services of gRPC itself and need no key: orchestrators ask for the one and have none,
and the other tells what the repository tells everybody.
"""

from __future__ import annotations

from sterna_service.access.scopes import EVERY_SCOPE, Scope

ANY_KEY = EVERY_SCOPE
"""Needs a key, whatever it allows."""

_INFERENCE = frozenset({Scope.INFERENCE})
_SPEECH = frozenset({Scope.SPEECH})
_ADMIN = frozenset({Scope.ADMIN})
_WATCH = frozenset({Scope.ADMIN, Scope.METRICS})

_SERVICES: dict[str, dict[str, frozenset[Scope]]] = {
    "sterna.v1.AccessService": {"Admit": ANY_KEY},
    "sterna.v1.InferenceService": {
        "Generate": _INFERENCE,
        "StreamGenerate": _INFERENCE,
        "Tokenize": _INFERENCE,
        "Detokenize": _INFERENCE,
        "Embed": _INFERENCE,
        "StreamEmbed": _INFERENCE,
        "ComputeSimilarities": _INFERENCE,
        "CreateSession": _INFERENCE,
        "GetSession": _INFERENCE,
        "DeleteSession": _INFERENCE,
        "GetAnswer": _INFERENCE,
        "DeleteAnswer": _INFERENCE,
        # Whoever knows the id of a conversation may use it; this lists everybody's.
        "ListSessions": _ADMIN,
    },
    "sterna.v1.ModelAdminService": {
        "GetServerInfo": ANY_KEY,
        "GetServerStatus": _WATCH,
        "ListModels": ANY_KEY,
        "GetModel": ANY_KEY,
        "DeleteModel": _ADMIN,
        "LoadModel": _ADMIN,
        "UnloadModel": _ADMIN,
        "PullModel": _ADMIN,
        "ListPulls": _ADMIN,
        "CancelPullModel": _ADMIN,
        "LoadAdapter": _ADMIN,
        "UnloadAdapter": _ADMIN,
        "ListAdapters": ANY_KEY,
        "ListStoredAdapters": ANY_KEY,
        "WatchEvents": _WATCH,
        "CreateWebhook": _ADMIN,
        "GetWebhook": _ADMIN,
        "ListWebhooks": _ADMIN,
        "DeleteWebhook": _ADMIN,
        "RotateWebhookSecret": _ADMIN,
        "ListWebhookDeliveries": _ADMIN,
        "ListUsage": _ADMIN,
    },
    "sterna.v1.SpeechService": {
        "Transcribe": _SPEECH,
        "StreamTranscribe": _SPEECH,
        "Synthesize": _SPEECH,
        "StreamSynthesize": _SPEECH,
        "Converse": _SPEECH,
        "GetVoice": _SPEECH,
        "ListVoices": _SPEECH,
        "CreateVoice": _SPEECH,
        "DeleteVoice": _SPEECH,
    },
}

SCOPES_OF: dict[str, frozenset[Scope]] = {
    f"/{service}/{name}": scopes
    for service, methods in _SERVICES.items()
    for name, scopes in methods.items()
}
"""Full method name to the scopes of which one is enough."""
