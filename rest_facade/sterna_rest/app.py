"""The application: middleware, error handlers, and the routers of every family."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from sterna_rest.access.headers import EXPOSED_HEADERS
from sterna_rest.access.middleware import AdmissionMiddleware
from sterna_rest.api.router import router as api_router
from sterna_rest.api.schemas import ApiChunk
from sterna_rest.audio.schemas import VerboseTranscript
from sterna_rest.audio.speech import router as speech_router
from sterna_rest.audio.transcriptions import router as transcriptions_router
from sterna_rest.chat.router import router as chat_router
from sterna_rest.chat.schemas import ChatChunk
from sterna_rest.completions.router import router as completions_router
from sterna_rest.core import CoreLink
from sterna_rest.embeddings.router import myllm_router as myllm_embeddings_router
from sterna_rest.embeddings.router import router as embeddings_router
from sterna_rest.errors.handlers import install_error_handlers
from sterna_rest.http.body_limit import BodyLimitMiddleware
from sterna_rest.http.head import HeadMiddleware
from sterna_rest.http.metrics import HttpMetrics, MetricsMiddleware
from sterna_rest.http.openapi import document
from sterna_rest.http.request_context import RequestContextMiddleware
from sterna_rest.lifecycle.router import myllm_router as myllm_lifecycle_router
from sterna_rest.lifecycle.router import router as lifecycle_router
from sterna_rest.messages.router import router as messages_router
from sterna_rest.metrics.router import router as metrics_router
from sterna_rest.models.router import router as models_router
from sterna_rest.ollama.models_router import router as ollama_models_router
from sterna_rest.ollama.router import router as ollama_router
from sterna_rest.options import FacadeOptions
from sterna_rest.playground.router import router as playground_router
from sterna_rest.realtime.router import router as realtime_router
from sterna_rest.responses.router import router as responses_router
from sterna_rest.responses.stored import router as stored_responses_router
from sterna_rest.server.router import router as server_router
from sterna_rest.socket.router import router as socket_router
from sterna_rest.system.router import router as system_router
from sterna_rest.tokens.router import router as tokens_router
from sterna_rest.version import VERSION
from sterna_rest.voices.router import router as voices_router
from sterna_rest.webhooks.router import router as webhooks_router

__all__ = ["FacadeOptions", "create_app"]

# What is under `/api`: one or the other.
_OLLAMA = (ollama_router, ollama_models_router)
_MYLLM = (api_router, myllm_lifecycle_router, myllm_embeddings_router)
# What a form holds besides its file: boundaries, and fields such as a prompt.
_FORM_OVERHEAD = 256 * 1024
# The core takes samples of voices up to this size.
_MOST_SAMPLE_BYTES = 8 * 1024 * 1024

_DESCRIPTION = """\
Ternary language models on ordinary CPUs, for clients of the OpenAI API.

Errors on `/v1/*` have the form `{"error": {"message", "type", "param", "code"}}`, under
`/v1/messages` `{"type": "error", "error": {"type", "message"}}`, and elsewhere `{"detail"}`.
Every answer carries `x-request-id`; send one to have it used, and logged, everywhere.
"""


def create_app(options: FacadeOptions) -> FastAPI:
    """The façade for the core at `options.core_address`.

    The connection is opened when the application starts and closed when it stops. The core need
    not be there yet: until it is, requests that need it get a 503. Routes added to the application
    before it starts come before those of the façade.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        _put_first(app, lambda route: id(route) not in own_routes)
        core = CoreLink(options)
        app.state.sterna_core = core
        try:
            yield
        finally:
            await core.close()

    # Its viewer of the API's document comes from here, not from somebody else's servers.
    app = FastAPIOffline(
        title="Sterna",
        version=VERSION,
        description=_DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        # A path with a slash too many is another path: models' ids may contain any.
        redirect_slashes=False,
        redoc_url=None,
    )
    install_error_handlers(app)
    # The last one added stands outermost.
    app.add_middleware(HeadMiddleware)
    upload = options.max_audio_bytes + _FORM_OVERHEAD
    app.add_middleware(
        BodyLimitMiddleware,
        limit=options.max_body_bytes,
        limits={
            "/v1/audio/transcriptions": upload,
            "/v1/audio/translations": upload,
            "/v1/voices": min(upload, _MOST_SAMPLE_BYTES + _FORM_OVERHEAD),
        },
        patience=options.body_idle_seconds,
    )
    if options.asks_core:
        app.add_middleware(AdmissionMiddleware)
    if options.cors_origins:
        # Outside of the admission: a browser asks whether it may call without a key.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(options.cors_origins),
            allow_methods=["GET", "HEAD", "POST", "DELETE"],
            allow_headers=["*"],
            # Some browsers know no `*` here.
            expose_headers=["*", *EXPOSED_HEADERS],
            max_age=600,
        )
    app.add_middleware(RequestContextMiddleware)
    metrics = options.metrics or HttpMetrics()
    app.add_middleware(MetricsMiddleware, metrics=metrics)
    if options.trace is not None:
        app.add_middleware(options.trace)
    app.state.sterna_shown_metrics = metrics if options.show_metrics else None
    app.state.sterna_ollama = options.ollama
    routers = (
        # Its root, too, is another one.
        *(_OLLAMA if options.ollama else _MYLLM),
        chat_router,
        completions_router,
        responses_router,
        stored_responses_router,
        messages_router,
        lifecycle_router,
        metrics_router,
        tokens_router,
        embeddings_router,
        transcriptions_router,
        speech_router,
        voices_router,
        webhooks_router,
        # Before the models': `{model:path}` there takes whatever is left.
        system_router,
        models_router,
        socket_router,
        realtime_router,
        playground_router,
        server_router,
    )
    for router in routers:
        app.include_router(router)
    document(app, routers, ChatChunk, ApiChunk, VerboseTranscript)
    own_routes = {id(route) for route in app.router.routes}
    return app


def _put_first(app: FastAPI, chosen: Callable[[BaseRoute], bool]) -> None:
    """Routes match in order: one that the application's owner added must not be shadowed."""
    app.router.routes.sort(key=lambda route: not chosen(route))
