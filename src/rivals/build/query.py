"""A metric of many variants at once, read from their banks: only the columns that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rivals.build.bank import FILE
from rivals.build.evaluate import measure
from rivals.errors import DataError


def scores_of(folders: Sequence[Path], metric: str) -> list[float]:
    """The metric of each bank on all rows that count, in the order of ``folders``. Raises ``DataError``."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda folder: _score(folder, metric), folders))


def _score(folder: Path, metric: str) -> float:
    try:
        file = pq.ParquetFile(folder / FILE)
        about = msgspec.json.decode(file.schema_arrow.metadata[b"rivals"])
        names = file.schema_arrow.names
        outputs = [name for name in names if name == "value" or (name[0] == "p" and name[1:].isdigit())]
        judged = measure(metric, about["task"], tuple(about["labels"]))
        more = ["group"] if judged.by_group else []
        table = file.read(["target", "weight", *more, *outputs], use_threads=False)
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"The predictions in {folder.name} cannot be read ({error}); `rivals train` makes them again."
        ) from error
    target, said = table["target"].to_numpy(), np.column_stack([table[name].to_numpy() for name in outputs])
    weight = None if table["weight"].null_count else table["weight"].to_numpy()
    group = table["group"].to_numpy() if more and not table["group"].null_count else None
    if weight is not None:
        kept = weight > 0
        target, said, weight = target[kept], said[kept], weight[kept]
        group = None if group is None else group[kept]
    return float(judged.of(target, said, weight, group))
