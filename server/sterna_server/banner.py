"""What a server says once it can answer: where it listens and what to paste elsewhere."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from sterna_server.serving import Running
from sterna_server.versions import server_version

QUESTION = "What is the capital of France?"


def announce(running: Running) -> None:
    """Prints the block for what runs: core and façade, or one of them."""
    core = reachable(running.core_address)
    rest_url = reachable_url(running.rest_url)
    tls = " --core-tls" if running.with_tls else ""
    if running.model_id:
        lines = [f"Sterna {server_version()} serves {running.model_id}", ""]
    else:
        lines = [f"Sterna {server_version()}: REST in front of the core at {core}", ""]
    if rest_url:
        lines += [f"  REST   {rest_url}/v1   (in a browser: {rest_url})"]
    lines += [f"         {reachable_url(each)}" for each in running.further]
    if running.model_id:
        lines += [f"  gRPC   {core}"]
    lines += ["", "Paste into another terminal:", ""]
    if rest_url:
        lines += [
            *_curl(rest_url, running.with_keys),
            "",
            *_openai(rest_url, running.with_keys),
            "",
        ]
    else:
        lines += [f"  {program('sterna')} rest --core {core}{tls}"]
    lines += [f"  {program('sterna')} chat --core {core}{tls}", "", "Ctrl-C stops the server."]
    print("\n".join(lines), flush=True)


def reachable(address: str) -> str:
    """The address that a client on this machine uses for a listener on `address`."""
    if address.startswith("unix:"):
        return address
    host, _, port = address.rpartition(":")
    everywhere = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
    return f"{everywhere.get(host, host)}:{port}"


def reachable_url(url: str) -> str:
    """As `reachable`, for `http://host:port` or an empty text."""
    scheme, separator, address = url.partition("://")
    return f"{scheme}://{reachable(address)}" if separator else ""


def program(name: str) -> str:
    """How to type a program of this environment: its name if the shell finds it, else its path."""
    # Not resolved: the Python of a virtual environment is a link to one without its packages.
    programs = Path(sys.executable).parent
    found = shutil.which(name)
    if found and Path(found).parent == programs:
        return name
    here = Path.cwd()
    path = programs / name
    # A service's directory is often /, where nobody types.
    short = path.is_relative_to(here) and here != Path(here.anchor)
    return str(path.relative_to(here) if short else path)


def _curl(rest_url: str, with_keys: bool) -> list[str]:
    key = ['    -H "Authorization: Bearer $STERNA_API_KEY" \\'] if with_keys else []
    body = f'{{"messages": [{{"role": "user", "content": "{QUESTION}"}}]}}'
    return [
        f"  curl {rest_url}/v1/chat/completions -H 'Content-Type: application/json' \\",
        *key,
        f"    -d '{body}'",
    ]


def _openai(rest_url: str, with_keys: bool) -> list[str]:
    key = 'os.environ["STERNA_API_KEY"]' if with_keys else '"unused"'
    return [
        f"  {program('python')} - <<'EOF'          # pip install openai",
        *(["  import os"] if with_keys else []),
        "  from openai import OpenAI",
        f'  client = OpenAI(base_url="{rest_url}/v1", api_key={key})',
        "  for chunk in client.chat.completions.create(",
        f'      model="", stream=True, messages=[{{"role": "user", "content": "{QUESTION}"}}]):',
        '      print(chunk.choices[0].delta.content or "", end="", flush=True)',
        "  print()",
        "  EOF",
    ]
