"""Certificates for tests: an authority, a server and a client."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Issued:
    """A certificate in files."""

    chain: Path
    key: Path


class Authority:
    """Vouches for certificates, which it writes into a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._ca = trustme.CA(organization_name=name)
        self.file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, *names: str, as_file: str = "") -> Issued:
        """A certificate for these names, in new files or in place of older ones."""
        stem = as_file or f"{self._name}-{names[0]}"
        issued = Issued(self._folder / f"{stem}.crt", self._folder / f"{stem}.key")
        leaf = self._ca.issue_cert(*names)
        # As tools for certificates do: each file changes at once.
        for path, blobs in (
            (issued.key, [leaf.private_key_pem]),
            (issued.chain, leaf.cert_chain_pems),
        ):
            new = path.with_suffix(".new")
            new.write_bytes(b"".join(blob.bytes() for blob in blobs))
            new.replace(path)
        return issued
