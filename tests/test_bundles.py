import subprocess

import pandas as pd
import pytest

from rivals.bundles import columns_of, folder_bytes, folder_digest
from rivals.errors import BundleError
from rivals.values import Column, Columns, Signature


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "c" / "d e").write_text("1")
    (tmp_path / "b.txt").write_text("22")
    (tmp_path / "a").write_text("")
    return tmp_path / "."


def test_a_digest_is_what_sha256sum_says(folder):
    command = r'find * -type f ! -path measured.json | LC_ALL=C sort | xargs -d "\n" sha256sum | sha256sum'
    (folder / "measured.json").write_text("left out")
    by_hand = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True)
    assert folder_digest(folder) == by_hand.stdout.split()[0]


def test_names_places_and_contents_count(folder):
    before = folder_digest(folder)
    (folder / "a").rename(folder / "aa")
    renamed = folder_digest(folder)
    (folder / "b.txt").write_text("23")
    assert len({before, renamed, folder_digest(folder)}) == 3
    assert folder_bytes(folder) == 3


def test_links_are_refused(folder):
    (folder / "link").symlink_to(folder / "a")
    with pytest.raises(BundleError, match="link is not a plain file"):
        folder_digest(folder)


def test_gaps_in_a_frame_are_none():
    frame = pd.DataFrame(
        {"n": [1.5, float("nan")], "t": pd.Series(["a", None], dtype=object), "s": pd.Series(["a", None])}
    )
    inputs = (Column("n", "number"), Column("t", "text"), Column("s", "text"))
    columns = columns_of(frame, Signature(inputs, "regression"))
    assert columns == Columns({"n": [1.5, None], "t": ["a", None], "s": ["a", None]}, 2)
