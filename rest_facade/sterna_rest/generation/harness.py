"""The names of harnesses and search providers, and what the protocol calls them."""

from __future__ import annotations

from sterna.v1.generation_pb2 import Harness, SearchProvider

HARNESSES = {"default": Harness.HARNESS_DEFAULT, "search": Harness.HARNESS_SEARCH}
PROVIDERS = {
    "ddgs": SearchProvider.SEARCH_PROVIDER_DDGS,
    "brave": SearchProvider.SEARCH_PROVIDER_BRAVE,
}
