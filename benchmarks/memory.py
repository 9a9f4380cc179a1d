"""What one more LightGBM variant costs a worker in memory. Asked: less than three times its file and 3 MB.

A process opens one variant, answers a row by it, and then opens and asks twenty others; resident memory before and
after, by /proc.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from serving import build

MORE = 20
CHILD = """
import os, sys
from pathlib import Path
from rivals.bundles import PROBE, Probe, read
from rivals.serve.runtimes import open_bundle
from rivals.values import Columns

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

bundles, kept, sizes = Path(sys.argv[1]), [], []
for digest in sys.argv[2:]:
    kept.append(open_bundle(bundles / digest, bundles.joinpath))
    probe = read(bundles / digest / PROBE, Probe)
    kept[-1].predict(Columns(probe.columns, len(probe.outputs)))
    sizes.append(resident())
print((sizes[-1] - sizes[0]) / (len(sizes) - 1))
"""


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        bundles = Path(name)
        digests = [build(bundles, 15 + number) for number in range(MORE + 1)]
        files = [(bundles / digest / "model.onnx").stat().st_size for digest in digests[1:]]
        words = [sys.executable, "-c", CHILD, str(bundles), *digests]
        done = subprocess.run(
            words, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
    each, file = float(done.stdout), sum(files) / len(files)
    most = 3 * file + (3 << 20)
    print(f"{each / 1e6:.2f} MB each, of a file of {file / 1e6:.2f} MB; asked: less than {most / 1e6:.2f} MB")
    return int(each >= most)


if __name__ == "__main__":
    sys.exit(main())
