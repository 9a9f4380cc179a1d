"""What processes write while they build, by name; and what is swept away where one was killed at it."""

from __future__ import annotations

import shutil
from pathlib import Path

from rivals.build.bank import FILE

DRAFT = ".draft-"  # bundles being written
PIPELINE = "pipeline.pickle"  # a fitted pipeline on its way into a bundle
RECEIPT = "made.json"


def sweep(banks: Path, bundles: Path) -> None:
    """Remove what a build that was killed has left half done. Only for whoever holds the project's build lock."""
    for folder in bundles.glob(f"{DRAFT}*"):
        shutil.rmtree(folder, ignore_errors=True)
    for pattern in (f"*/.{RECEIPT}.*", f"*/.{FILE}.*", f"*/{PIPELINE}"):
        for leftover in banks.glob(pattern):
            leftover.unlink(missing_ok=True)
