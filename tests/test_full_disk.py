"""A disk that is really full: a file system of 16 KiB, which goes with the process that has it."""

import json
import shutil
import subprocess
import sys

import pytest
from processes import environment

MOUNTED = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
MOUNT = 'mount -t tmpfs -o size=16k tmpfs "$0" && exec "$@"'

# Saves a network over a file that is there, and compiles with the cache there; tells what came of it, in JSON.
ON_IT = """
import errno, json, os, sys, warnings
from pathlib import Path
import fastbp

disk = Path(sys.argv[1])
target = disk / "network"
target.write_bytes(b"old")
try:
    fastbp.Network([100, 100]).save(target)
except OSError as error:
    refused = [errno.errorcode[error.errno], error.filename]
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    results = [fastbp.sigmoid(0.0), fastbp.cost([1.0], [2.0])]
files = sorted(str(path.relative_to(disk)) for path in disk.rglob("*") if path.is_file())
print(json.dumps([refused, target.read_bytes().decode(), results, [str(w.message) for w in warned], files]))
"""


@pytest.fixture
def disk(tmp_path):
    """The folder that the file system is to be mounted at."""
    if shutil.which("unshare") is None or subprocess.run([*MOUNTED, MOUNT, tmp_path, "true"], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    return tmp_path


@pytest.mark.jit_only
def test_on_a_full_disk_old_files_stay_and_kernels_run_without_a_cache(disk):
    done = subprocess.run(
        [*MOUNTED, MOUNT, disk, sys.executable, "-c", ON_IT, disk],
        env=environment(FASTBP_CACHE_DIR=str(disk / "cache")),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    refused, content, results, (warning,), files = json.loads(done.stdout)
    assert refused == ["ENOSPC", str(disk / "network")]
    assert (content, files) == ("old", ["network"])
    assert results == [0.5, 1.0]
    assert "No space left on device" in warning
