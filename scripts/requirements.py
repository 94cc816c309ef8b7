"""Print what a development environment needs, one requirement per line, from pyproject.toml."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Installed from this tree, never from an index.
OWN = ("sterna",)


def requirements() -> list[str]:
    """Build, runtime and development requirements of both distributions, without our own."""
    found: list[str] = []
    for directory in (ROOT, ROOT / "clients" / "python"):
        document = tomllib.loads((directory / "pyproject.toml").read_text())
        project = document["project"]
        found += document["build-system"]["requires"]
        found += project.get("dependencies", [])
        found += project.get("optional-dependencies", {}).get("dev", [])
    return sorted({line for line in found if not _is_own(line)})


def _is_own(requirement: str) -> bool:
    name = requirement
    for separator in "<>=!~[; ":
        name = name.split(separator)[0]
    return name in OWN


if __name__ == "__main__":
    print("\n".join(requirements()))
