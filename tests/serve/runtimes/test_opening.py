import json
import shutil

import msgspec
import numpy as np
import pytest
from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from rivals.bundles import MEASURED, folder_digest
from rivals.errors import BundleError
from rivals.serve.runtimes import open_bundle
from rivals.serve.runtimes.opening import open_unnamed
from rivals.values import Columns
from tests.mixed import bundle, fitted


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    pipeline = fitted(LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1))
    return bundle(tmp_path_factory.mktemp("bundles"), pipeline)


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made.folder, tmp_path / made.digest)


def renamed(folder):
    return folder.rename(folder.with_name(folder_digest(folder)))


def nobody(digest):
    raise AssertionError(digest)


def test_any_flipped_byte_is_noticed(copy):
    rng = np.random.default_rng(0)
    for file in sorted(copy.iterdir()):
        if file.name == MEASURED:
            continue
        whole = file.read_bytes()
        for at in {0, len(whole) - 1, *(int(i) for i in rng.integers(0, len(whole), 5))}:
            file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(BundleError, match="is not what its name says"):
                open_bundle(copy, nobody)
        file.write_bytes(whole)
    open_bundle(copy, nobody)


@pytest.mark.parametrize("name", ["model.onnx", "rivals.json", "probe.json", "MLmodel"])
def test_truncated_missing_and_added_files_are_noticed(copy, name):
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleError, match="is not what its name says"):
        open_bundle(copy, nobody)
    (copy / name).unlink()
    with pytest.raises(BundleError, match="is not what its name says"):
        open_bundle(copy, nobody)
    (copy / name).write_bytes(whole)
    (copy / "more").write_bytes(b"")
    with pytest.raises(BundleError, match="is not what its name says"):
        open_bundle(copy, nobody)


def test_a_link_is_not_followed(copy, tmp_path):
    (copy / "model.onnx").rename(tmp_path / "elsewhere")
    (copy / "model.onnx").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match=r"model\.onnx is not a plain file"):
        open_bundle(copy, nobody)


def test_timings_are_not_part_of_the_name(copy):
    (copy / MEASURED).write_text("{}")
    open_bundle(copy, nobody)


@pytest.mark.parametrize(
    ("file", "raw", "sentence"),
    [
        ("rivals.json", b"{", "rivals.json cannot be read"),
        ("rivals.json", b"\xff", "rivals.json cannot be read"),
        ("probe.json", b"[]", "probe.json cannot be read"),
        ("probe.json", b'{"columns": {}, "outputs": [[0.5, 0.5]]}', "cannot answer its probe"),
        ("model.onnx", b"", "model.onnx cannot be loaded"),
        ("model.onnx", b"not a graph", "model.onnx cannot be loaded"),
    ],
)
def test_a_bundle_that_was_written_wrong_is_refused_with_a_sentence(copy, file, raw, sentence):
    (copy / file).write_bytes(raw)
    with pytest.raises(BundleError, match=sentence):
        open_bundle(renamed(copy), nobody)


@pytest.mark.parametrize("wrong", [0.5, float("nan")])
def test_a_bundle_that_does_not_answer_its_probe_is_refused(copy, wrong):
    probe = json.loads((copy / "probe.json").read_text())
    probe["outputs"][3][0] = wrong
    (copy / "probe.json").write_bytes(msgspec.json.encode(probe))
    with pytest.raises(BundleError, match=r"probe"):
        open_bundle(renamed(copy), nobody)


def test_a_format_of_the_future_is_refused(copy):
    manifest = json.loads((copy / "rivals.json").read_text()) | {"format": 99}
    (copy / "rivals.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="has format 99, not 1"):
        open_bundle(renamed(copy), nobody)


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(BundleError, match="There is no bundle at"):
        open_bundle(tmp_path / ("0" * 64), nobody)


def test_a_bundle_for_a_child_process_is_refused_with_its_reason(tmp_path):
    pipeline = fitted(LogisticRegression(max_iter=300))
    pipeline.steps.insert(1, ("odd", FunctionTransformer(np.cbrt)))
    odd = bundle(tmp_path, pipeline)
    with pytest.raises(BundleError, match="is not served in process: No runtime answers as the pipeline does"):
        open_bundle(odd.folder, nobody)


def test_a_copy_under_another_name_is_checked_by_its_probe(copy):
    place = copy.rename(copy.with_name("model"))
    assert open_unnamed(place, nobody).digest == "model"


def test_an_answer_that_is_not_finite_is_raised(made):
    opened = open_bundle(made.folder, nobody)
    with pytest.raises((BundleError, KeyError)):
        opened.predict(Columns({}, 1))
