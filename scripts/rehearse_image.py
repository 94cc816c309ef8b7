"""Does what the container image's definition says, without a container engine.

    python scripts/rehearse_image.py [DIRECTORY]

Copies what `.dockerignore` lets through, runs the build stage's script on it, then runs the final
stage's command with its variables, as its user where that is possible, asks its health check, and
stops it. What it cannot rehearse are the base images.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "deploy" / "container" / "Dockerfile"
START_SECONDS = 120.0


@dataclass(frozen=True)
class Image:
    """What the definition says of the final stage."""

    environment: dict[str, str]
    user: int
    command: list[str]
    health: list[str]
    copied: dict[str, str]


def read_definition(text: str) -> Image:
    """Reads the instructions that matter here."""
    lines = re.sub(r"\\\n", " ", text).splitlines()
    final = lines[max(i for i, line in enumerate(lines) if line.startswith("FROM ")) :]
    found: dict[str, str] = {}
    environment: dict[str, str] = {}
    copied: dict[str, str] = {}
    for line in final:
        name, _, rest = line.partition(" ")
        if name == "ENV":
            environment |= dict(re.findall(r"(\w+)=(\S+)", rest))
        elif name == "COPY" and not rest.startswith("--from"):
            source, target = rest.split()
            copied[target] = source
        else:
            found[name] = rest
    return Image(
        environment=environment,
        user=int(found["USER"].split(":")[0]),
        command=json.loads(found["ENTRYPOINT"]) + json.loads(found["CMD"]),
        health=json.loads(found["HEALTHCHECK"].partition("CMD ")[2]),
        copied=copied,
    )


def context(target: Path) -> None:
    """Copies the files of the last commit that `.dockerignore` lets through."""
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    wanted = [rule[1:] for rule in rules if rule.startswith("!")]
    unwanted = [rule for rule in rules if rule and rule[0] not in "!#*"]
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--", *wanted]
    names = subprocess.run(listed, capture_output=True, check=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if not name.startswith(tuple(f"{each}/" for each in unwanted)):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def rehearse(directory: Path) -> None:
    """Builds into `directory` and runs the result. Raises when a step fails."""
    image = read_definition(DOCKERFILE.read_text())
    source, prefix, home = directory / "src", directory / "opt", directory / "home"
    shutil.rmtree(directory, ignore_errors=True)
    source.mkdir(parents=True)
    context(source)
    begin = time.monotonic()
    subprocess.run(["deploy/container/build.sh", str(prefix)], cwd=source, check=True)
    for target, name in image.copied.items():
        shutil.copy2(ROOT / name, target.replace("/opt/sterna", str(prefix)))
    size = sum(file.lstat().st_size for file in prefix.rglob("*") if not file.is_symlink())
    print(f"built in {time.monotonic() - begin:.0f} s, {size / 2**20:.0f} MiB in {prefix}")

    home.mkdir()
    drop = []
    if os.geteuid() == 0:
        os.chown(home, image.user, image.user)
        drop = ["setpriv", f"--reuid={image.user}", f"--regid={image.user}", "--clear-groups", "--"]
    # The variables of the image; the paths of the image are elsewhere here, and the ports free.
    environment = {
        "PATH": f"{prefix}/bin:/usr/bin:/bin",
        **{name: value for name, value in image.environment.items() if name != "PATH"},
        "STERNA_HOME": str(home),
        "STERNA_PORT": "18000",
        "STERNA_GRPC_PORT": "15051",
    }
    health = [part.replace("/opt/sterna", str(prefix)) for part in image.health]
    server = subprocess.Popen([*drop, *image.command], env=environment, cwd=home)
    try:
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run([*drop, *health], env=environment, capture_output=True).returncode:
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the server did not become healthy")
            time.sleep(0.5)
        print("healthy")
    finally:
        server.send_signal(signal.SIGTERM)
        status = server.wait(60)
    print(f"stopped with status {status}")
    if status:
        raise SystemExit(1)
    if subprocess.run([*drop, *health], env=environment, capture_output=True).returncode == 0:
        raise SystemExit("the health check says that a stopped server is alive")


if __name__ == "__main__":
    rehearse(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "image").resolve())
