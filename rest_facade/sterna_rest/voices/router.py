"""`/v1/voices`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import grpc
from fastapi import APIRouter, Depends, Form, Path, Request
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.responses import Response

from sterna.v1.speech_pb2 import (
    CreateVoiceRequest,
    CreateVoiceResponse,
    DeleteVoiceRequest,
    GetVoiceRequest,
    ListVoicesRequest,
    Voice,
    VoiceConfig,
)
from sterna_rest.audio.languages import language_code
from sterna_rest.core import CoreLink, core_link
from sterna_rest.errors.from_core import core_error
from sterna_rest.http.disconnect import unless_client_leaves
from sterna_rest.http.openapi import error_documentation
from sterna_rest.http.request_context import request_context
from sterna_rest.http.upload import file_parts
from sterna_rest.voices.schemas import (
    VOICE_EXAMPLE,
    VoiceDeleted,
    VoiceForm,
    VoiceList,
    VoiceObject,
)
from sterna_rest.voices.transcode import voice_list, voice_object, voice_parameter

router = APIRouter(tags=["voices"])

VoiceId = Annotated[str, Path(description="The id of a voice.")]


def _responses(model: type[BaseModel], example: dict[str, Any], *errors: int) -> dict[Any, Any]:
    return {
        200: {
            "model": model,
            "description": "The answer.",
            "content": {"application/json": {"example": example}},
        },
        **error_documentation(*errors, 500, 501, 503, 504),
    }


@router.get(
    "/v1/voices",
    operation_id="listVoices",
    summary="List the voices",
    response_model=None,
    responses=_responses(
        VoiceList, {"object": "list", "data": [VOICE_EXAMPLE], "voices": ["my-voice"]}
    ),
)
async def list_voices(request: Request, core: Annotated[CoreLink, Depends(core_link)]) -> Response:
    """The predefined voices first, then those that were made here."""
    voices: list[Voice] = []
    token = ""
    while True:
        page = ListVoicesRequest(page_size=1000, page_token=token)
        answer = await core.control(request, core.speech.ListVoices, page)
        voices += answer.voices
        token = answer.next_page_token
        if not token:
            return _json(voice_list(voices))


@router.get(
    "/v1/voices/{voice}",
    operation_id="getVoice",
    summary="Show a voice",
    response_model=None,
    responses=_responses(VoiceObject, VOICE_EXAMPLE, 404),
)
async def get_voice(
    request: Request, voice: VoiceId, core: Annotated[CoreLink, Depends(core_link)]
) -> Response:
    """One voice."""
    answer = await core.control(request, core.speech.GetVoice, GetVoiceRequest(voice_id=voice))
    return _json(voice_object(answer.voice))


@router.post(
    "/v1/voices",
    operation_id="createVoice",
    summary="Make a voice from a recording",
    response_model=None,
    responses=_responses(VoiceObject, VOICE_EXAMPLE, 400, 408, 409, 413, 422, 429),
)
async def create_voice(
    request: Request,
    form: Annotated[VoiceForm, Form(media_type="multipart/form-data")],
    core: Annotated[CoreLink, Depends(core_link)],
) -> Response:
    """The recording is checked, turned into a voice, and not kept."""
    config = VoiceConfig(
        voice_id=form.voice_id, consent=form.consent, language=language_code(form.language)
    )

    async def messages() -> AsyncIterator[CreateVoiceRequest]:
        yield CreateVoiceRequest(config=config)
        async for part in file_parts(form.file):
            yield CreateVoiceRequest(audio=part)

    async def work() -> CreateVoiceResponse:
        try:
            return await core.speech.CreateVoice(
                messages(),
                timeout=core.options.generation_timeout_seconds,
                metadata=request_context(request.scope).metadata(),
            )
        except grpc.aio.AioRpcError as error:
            raise core_error(error, voice_parameter) from None

    answer = await unless_client_leaves(request, work())
    return _json(voice_object(answer.voice))


@router.delete(
    "/v1/voices/{voice}",
    operation_id="deleteVoice",
    summary="Delete a voice",
    response_model=None,
    responses=_responses(
        VoiceDeleted, {"id": "my-voice", "object": "voice", "deleted": True}, 400, 404
    ),
)
async def delete_voice(
    request: Request, voice: VoiceId, core: Annotated[CoreLink, Depends(core_link)]
) -> Response:
    """Only voices that were made here."""
    await core.control(request, core.speech.DeleteVoice, DeleteVoiceRequest(voice_id=voice))
    return _json({"id": voice, "object": "voice", "deleted": True})


def _json(body: dict[str, Any]) -> Response:
    return Response(to_json(body), media_type="application/json")
