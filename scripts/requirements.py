"""Print what a development environment needs, one requirement per line, from pyproject.toml.

With the name of an extra of the server (`voice`), print what that extra adds.
"""

import sys
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


def extra(name: str) -> list[str]:
    """The requirements of an extra of the server."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return list(document["project"]["optional-dependencies"][name])


def _is_own(requirement: str) -> bool:
    name = requirement
    for separator in "<>=!~[; ":
        name = name.split(separator)[0]
    return name in OWN


if __name__ == "__main__":
    print("\n".join(extra(sys.argv[1]) if len(sys.argv) > 1 else requirements()))
