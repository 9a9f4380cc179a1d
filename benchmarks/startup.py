"""How long `rivals --help` takes, as a person waits for it: the contract is under 0.5 s."""

import statistics
import subprocess
import sys
import time


def main() -> None:
    runs = []
    for _ in range(11):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "rivals", "--help"], check=True, capture_output=True)
        runs.append(time.perf_counter() - started)
    print(
        f"rivals --help: median {statistics.median(runs):.3f} s, slowest of {len(runs)}: {max(runs):.3f} s (asked: under 0.5 s)"
    )


if __name__ == "__main__":
    main()
