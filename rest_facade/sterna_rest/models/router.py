"""`GET /v1/models`, `GET /v1/models/{model}` and `GET /v1/adapters`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Request

from sterna.v1.model_admin_pb2 import (
    GetModelRequest,
    ListModelsRequest,
    ListStoredAdaptersRequest,
)
from sterna.v1.model_pb2 import Model
from sterna_rest.core import CoreLink, core_link
from sterna_rest.http.openapi import error_documentation
from sterna_rest.models.schemas import (
    ADAPTERS_EXAMPLE,
    LIST_EXAMPLE,
    MODEL_EXAMPLE,
    AdapterBody,
    AdapterList,
    ModelBody,
    ModelList,
)
from sterna_rest.models.transcode import adapter_body, model_bodies

router = APIRouter(tags=["models"])

_PAGE_SIZE = 1000


@router.get(
    "/v1/models",
    operation_id="listModels",
    summary="List the models",
    responses={
        200: {"content": {"application/json": {"example": LIST_EXAMPLE}}},
        **error_documentation(500, 503, 504),
    },
)
async def list_models(request: Request, core: Annotated[CoreLink, Depends(core_link)]) -> ModelList:
    """Every model that the server has, loaded or not, and `base:adapter` for every adapter that is
    loaded."""
    models = await all_models(request, core)
    return ModelList(data=[body for model in models for body in model_bodies(model)])


async def all_models(request: Request, core: CoreLink) -> list[Model]:
    """Every model, page by page. Raises `ApiError`."""
    models: list[Model] = []
    page = ListModelsRequest(page_size=_PAGE_SIZE)
    while True:
        response = await core.control(request, core.admin.ListModels, page)
        models.extend(response.models)
        if not response.next_page_token:
            return models
        page.page_token = response.next_page_token


@router.get(
    "/v1/adapters",
    operation_id="listAdapters",
    summary="List the LoRA adapters in the store",
    responses={
        200: {"content": {"application/json": {"example": ADAPTERS_EXAMPLE}}},
        **error_documentation(500, 503, 504),
    },
)
async def list_adapters(
    request: Request, core: Annotated[CoreLink, Depends(core_link)]
) -> AdapterList:
    """Loaded or not. `GET /v1/models` has the loaded ones as `base:adapter`."""
    bodies: list[AdapterBody] = []
    page = ListStoredAdaptersRequest(page_size=_PAGE_SIZE)
    while True:
        response = await core.control(request, core.admin.ListStoredAdapters, page)
        bodies.extend(adapter_body(adapter) for adapter in response.adapters)
        if not response.next_page_token:
            return AdapterList(data=bodies)
        page.page_token = response.next_page_token


# Last of the family: `:path` takes whatever comes, since ids contain slashes.
@router.get(
    "/v1/models/{model:path}",
    operation_id="retrieveModel",
    summary="Describe a model",
    responses={
        200: {"content": {"application/json": {"example": MODEL_EXAMPLE}}},
        **error_documentation(404, 500, 503, 504),
    },
)
async def retrieve_model(
    request: Request,
    model: Annotated[
        str,
        Path(
            description="Id, last path component or alias; slashes plain or as `%2F`.",
            examples=["sterna/tern-nano"],
        ),
    ],
    core: Annotated[CoreLink, Depends(core_link)],
) -> ModelBody:
    """The model that a request with this name would get."""
    if not model:
        # In a request body that means the default model; in a path it is a slip.
        raise HTTPException(404)
    response = await core.control(request, core.admin.GetModel, GetModelRequest(model_id=model))
    found = model_bodies(response.model)
    named = f"{response.model.model_id}:{model.partition(':')[2]}"
    return next((body for body in found if body.id == named), found[0])
