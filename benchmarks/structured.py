#!/usr/bin/env python3
"""How often the embedded model's answers match a JSON schema: ten schemas, sampled, no token limit.

    .venv/bin/python benchmarks/structured.py

Starts `sterna serve`, asks through the `openai` package, and validates with `jsonschema-rs`. Every
answer must match its schema and end by itself; the exit status is 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema_rs
import openai

# Run as a file, only benchmarks/ is on the path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support.schemas import SCHEMAS
from tests.support.server_process import ServerProcess

HOME = Path(__file__).resolve().parents[1] / "build" / "benchmarks"
MODEL = "sterna/tern-nano"


async def attempt(api: openai.AsyncOpenAI, name: str, seed: int) -> tuple[str, str]:
    """What is wrong with one answer, or nothing; and the answer."""
    question, schema = SCHEMAS[name]
    form: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    answer = await api.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": question}],
        response_format=form,
        temperature=1,
        seed=seed,
    )
    choice = answer.choices[0]
    text = choice.message.content or ""
    if choice.finish_reason != "stop":
        return f"ended by {choice.finish_reason}", text
    try:
        value = json.loads(text)
    except ValueError as error:
        return f"no JSON: {error}", text
    validator = jsonschema_rs.validator_for(schema, validate_formats=True)
    problem = next(iter(validator.iter_errors(value)), None)
    return ("" if problem is None else str(problem.message)), text


async def measure(url: str, tries: int, shown: int) -> int:
    """Prints a line for each schema; returns how many answers were not valid."""
    failed = 0
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", timeout=300) as api:
        for name in SCHEMAS:
            results = await asyncio.gather(*(attempt(api, name, seed) for seed in range(tries)))
            wrong = [(problem, text) for problem, text in results if problem]
            failed += len(wrong)
            print(f"{name:16} {tries - len(wrong):3} of {tries} valid   {results[0][1][:70]}")
            for problem, text in wrong[:shown]:
                print(f"    {problem}: {text[:200]}")
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=20, help="answers for each schema (20)")
    parser.add_argument("--show", type=int, default=2, help="wrong answers to print (2)")
    options = parser.parse_args()
    began = time.perf_counter()
    arguments = ["serve", "--port", "0", "--grpc-port", "0", "--log-level", "warning"]
    with ServerProcess(arguments, home=HOME) as server:
        failed = asyncio.run(measure(server.rest_url, options.tries, options.show))
    total = options.tries * len(SCHEMAS)
    print(f"{total - failed} of {total} valid, in {time.perf_counter() - began:.0f} s")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
