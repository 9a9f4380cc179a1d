"""Bundles by their digest: folders that are written once and checked on the way out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rivals.bundles import folder_digest
from rivals.errors import BundleError


@dataclass(frozen=True, slots=True)
class Blobs:
    """The bundles under ``folder``, each in a folder named by its SHA-256."""

    folder: Path

    def path(self, digest: str) -> Path:
        """Where the bundle of that digest is, or would be. Raises ``BundleError`` for a link, and what is no digest."""
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise BundleError(f"{digest[:80]!r} is not the digest of a bundle; that is 64 characters of 0-9 and a-f.")
        path = self.folder / digest
        if path.is_symlink():
            raise BundleError(
                f"Bundle {digest[:12]} is a link; a bundle is a folder. Remove it and build the variant again."
            )
        return path

    def exists(self, digest: str) -> bool:
        """Whether the bundle is there."""
        return self.path(digest).is_dir()

    def verify(self, digest: str) -> Path:
        """The bundle's folder, after every byte in it was checked. Raises ``BundleError`` where it was changed."""
        path = self.path(digest)
        found = folder_digest(path)
        if found != digest:
            raise BundleError(
                f"Bundle {digest[:12]} was changed after it was built (it is {found[:12]} now). "
                "Remove it and build the variant again."
            )
        return path
