"""Show a conversation with the search harness, streamed, as it comes from the server.

    python scripts/search_conversation.py          the text, while it comes
    python scripts/search_conversation.py --raw    every event of the stream

Starts `sterna serve` with the embedded model, and a stand-in of the search engine with two pages on
this machine; nothing is fetched from elsewhere.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx

# Run as a file, only scripts/ is on the path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.server_process import ServerProcess
from tests.support.web_server import WebServer, web_server

QUESTIONS = (
    "What is the capital of France?",
    "How tall is the Melor Tower?",
    "When was Golan Brask born?",
)


def fill(web: WebServer) -> None:
    """What the engine finds. Neither is known to the model."""
    web.add("/tower", "Melor Tower", "The Melor Tower is 312 meters tall. It stands by the sea.")
    web.add("/brask", "Golan Brask", "Golan Brask was born in 1931. He was a painter.")


def converse(url: str, *, raw: bool) -> None:
    """Asks one question after the other and prints what comes, unchanged."""
    for question in QUESTIONS:
        print(f"> {question}", flush=True)
        body: dict[str, Any] = {
            "messages": [{"role": "user", "content": question}],
            "harness": "search",
            "stream": True,
            "temperature": 0,
        }
        with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=60) as answer:
            answer.raise_for_status()
            for line in answer.iter_lines():
                if raw:
                    print(line, flush=True)
                elif line.startswith("data: {"):
                    (choice,) = json.loads(line.removeprefix("data: "))["choices"]
                    print(choice["delta"].get("content", ""), end="", flush=True)
        print("\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", action="store_true", help="print the events themselves")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, web_server() as web:
        fill(web)
        arguments = ["serve", "--port", "0", "--grpc-port", "0", "--search-provider", "brave"]
        settings = {
            "STERNA_SEARCH_ENDPOINT": f"{web.url}/brave",
            "STERNA_SEARCH_PRIVATE_PAGES": "true",
            "SEARCH_API_KEY": "stand-in",
        }
        with ServerProcess(arguments, home=Path(home), **settings) as server:
            converse(server.rest_url, raw=options.raw)
        print(f"searched for: {web.queries}; read: {web.fetched}")


if __name__ == "__main__":
    main()
