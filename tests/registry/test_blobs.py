"""A digest leads to the bundle of that digest, or nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from rivals.bundles import folder_digest
from rivals.errors import BundleError
from rivals.registry.blobs import Blobs


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "bundles")


@pytest.fixture
def digest(blobs: Blobs) -> str:
    draft = blobs.folder / "draft"
    draft.mkdir(parents=True)
    (draft / "rivals.json").write_text("{}")
    (draft / "model.onnx").write_bytes(b"graph")
    digest = folder_digest(draft)
    draft.rename(blobs.folder / digest)
    return digest


def test_a_bundle_is_found_and_whole(blobs: Blobs, digest: str) -> None:
    assert blobs.exists(digest)
    assert blobs.verify(digest) == blobs.path(digest) == blobs.folder / digest


def test_a_bundle_that_is_not_there_is_said_so(blobs: Blobs) -> None:
    assert not blobs.exists("0" * 64)
    with pytest.raises(BundleError, match="no bundle"):
        blobs.verify("0" * 64)


@pytest.mark.parametrize(
    "name", ["", "0" * 63, "0" * 65, "0" * 64 + "\n", "G" * 64, "A" * 64, "../" + "0" * 61, "/" + "0" * 63, "٣" * 64]
)
def test_only_a_digest_is_a_name(blobs: Blobs, name: str) -> None:
    for ask in (blobs.path, blobs.exists, blobs.verify):
        with pytest.raises(BundleError, match="not the digest"):
            ask(name)


def test_a_link_is_no_bundle(blobs: Blobs, digest: str) -> None:
    link = blobs.folder / ("1" * 64)
    link.symlink_to(blobs.folder / digest)
    for ask in (blobs.path, blobs.exists, blobs.verify):
        with pytest.raises(BundleError, match="is a link"):
            ask("1" * 64)


@pytest.mark.parametrize("harm", ["change", "add", "remove", "rename", "link"])
def test_a_bundle_that_was_touched_is_refused(blobs: Blobs, digest: str, harm: str) -> None:
    file = blobs.folder / digest / "model.onnx"
    match harm:
        case "change":
            file.write_bytes(b"grapf")
        case "add":
            file.with_name("more").touch()
        case "remove":
            file.unlink()
        case "rename":
            file.rename(file.with_name("other.onnx"))
        case "link":
            file.rename(blobs.folder / "elsewhere")
            file.symlink_to(blobs.folder / "elsewhere")
    with pytest.raises(BundleError):
        blobs.verify(digest)
