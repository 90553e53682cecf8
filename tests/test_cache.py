"""Machine code on disk: it is that of the installed sources, whole or compiled anew, and nobody needs it.

The sigmoid stands for all kernels here: it is the quickest to compile.
"""

import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from processes import environment, in_a_process, started, without_root_rights

import fastbp
from fastbp.tiles.registers import WIDTHS, host_register_bits

PACKAGE = Path(fastbp.__file__).parent
PROJECT = PACKAGE.parent

# Prints the bits of some results, and how many functions were compiled for them.
CACHED = """
import numpy as np
from numba.core import event
recorder = event.RecordingListener()
event.register("numba:compile", recorder)
import fastbp
print(fastbp.sigmoid(np.linspace(-9, 9, 99)).tobytes().hex()[-400:], fastbp.cost([1.0, 2.0], [0.5, 4.0]))
print(sum(e.is_start for _, e in recorder.buffer))
"""


def cached(folder, *options, **changes):
    """What the script prints: (results, number of compilations)."""
    results, count = in_a_process(*options, "-c", CACHED, FASTBP_CACHE_DIR=str(folder), **changes).splitlines()
    return results, int(count)


@pytest.fixture(scope="module")
def healthy_cache(tmp_path_factory):
    """(what the script says, folder) of a cache that is filled."""
    folder = tmp_path_factory.mktemp("healthy")
    results, count = cached(folder)
    assert count > 0
    return results, folder


# ------------------------------------------------------------------------------------------------------------ upgrades

# sigmoid(ln 3) is 3/4; what it becomes where only a helper changes, or only a tile operation.
UPGRADES = [
    ("kernels/functions.py", "s = t / (1.0 + t)", "s = t / (2.0 + t)", 6 / 7),
    (
        "tiles/bits.py",
        'signed = emitter.builder.icmp_signed("<"',
        'signed = emitter.builder.icmp_signed(">="',
        1 / 4,
    ),
]
ASKED = "import fastbp; print(fastbp.__file__, fastbp.sigmoid(1.0986122886681098), fastbp.__version__)"


def wheel_of(project, folder):
    """A wheel built from the project as it is."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=project,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def sigmoid_of(site, cache):
    """sigmoid(ln 3) of the package installed in `site`."""
    said = in_a_process("-P", "-c", ASKED, PYTHONPATH=str(site), FASTBP_CACHE_DIR=str(cache))
    file, value, _ = said.split()
    assert Path(file).is_relative_to(site)
    return float(value)


@pytest.mark.jit_only
def test_an_upgrade_never_runs_the_machine_code_of_another_version(tmp_path):
    """Of the same version number, so that nothing but the sources tells them apart."""
    project, site = tmp_path / "project", tmp_path / "site"
    shutil.copytree(PACKAGE, project / "fastbp", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, project)

    def install(name):
        (tmp_path / name).mkdir()
        wheel = wheel_of(project, tmp_path / name)
        shutil.rmtree(site, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", site, wheel]
        subprocess.run(pip, check=True, capture_output=True)

    install("first")
    assert sigmoid_of(site, tmp_path / "cache") == 0.75
    for number, (source, old, new, value) in enumerate(UPGRADES):
        path = project / "fastbp" / source
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
        install(f"upgrade {number}")
        assert sigmoid_of(site, tmp_path / "cache") == pytest.approx(value, rel=1e-15)
        path.write_text(text)
    install("the first again")
    assert sigmoid_of(site, tmp_path / "cache") == 0.75


UNDERWAY = """
import fastbp, fastbp.kernels
print("imported in part", flush=True)
input()
print(fastbp.sigmoid(1.0986122886681098))
"""


@pytest.mark.jit_only
def test_an_upgrade_under_a_process_that_runs_leaves_no_mixture_of_both_versions(tmp_path):
    """It has read the old sources in part, and compiles when the new ones lie there: that is nobody else's code."""
    site, cache = tmp_path / "site", tmp_path / "cache"
    shutil.copytree(PACKAGE, site / "fastbp", ignore=shutil.ignore_patterns("__pycache__"))
    source, old, new, value = UPGRADES[0]
    path = site / "fastbp" / source
    text = path.read_text()
    with started("-P", "-B", "-c", UNDERWAY, PYTHONPATH=str(site), FASTBP_CACHE_DIR=str(cache)) as running:
        assert running.stdout.readline() == "imported in part\n"
        path.write_text(text.replace(old, new))
        said, errors = running.communicate("go on\n", timeout=120)
    assert float(said) == pytest.approx(value, rel=1e-15), errors
    assert sigmoid_of(site, cache) == pytest.approx(value, rel=1e-15)
    path.write_text(text)
    assert sigmoid_of(site, cache) == 0.75


FOLDER = "from fastbp.kernels.cache import cache_folder; print(cache_folder())"
CHANGES = [  # a source, and whether machine code follows from it
    ("tiles/operations.py", True),
    ("tiles/products.py", True),
    ("kernels/functions.py", True),
    ("kernels/matmul.py", True),
    ("reference/layer.py", False),
    ("layer.py", False),
]


def test_any_change_of_a_kernel_source_leads_to_another_folder(tmp_path):
    """A comment will do: the digest is of the text."""
    shutil.copytree(PACKAGE, tmp_path / "fastbp", ignore=shutil.ignore_patterns("__pycache__"))

    def folder():
        path = os.pathsep.join([str(tmp_path), *sys.path])
        return in_a_process("-P", "-B", "-c", FOLDER, PYTHONPATH=path, FASTBP_CACHE_DIR=str(tmp_path / "cache"))

    before = folder()
    for source, matters in CHANGES:
        path = tmp_path / "fastbp" / source
        text = path.read_text()
        path.write_text(text + "# changed\n")
        assert (folder() != before) == matters, source
        path.write_text(text)
    assert folder() == before


SETTINGS = [
    {},
    *({"FASTBP_REGISTER_BITS": str(width)} for width in WIDTHS if width != host_register_bits()),
    {"NUMBA_CPU_NAME": "generic"},
    {"NUMBA_CPU_FEATURES": "+avx2,+fma"},
    {"NUMBA_BOUNDSCHECK": "1"},
    {"NUMBA_OPT": "1"},
    {"NUMBA_DEBUGINFO": "1"},
]


def test_all_that_machine_code_follows_from_has_a_folder_of_its_own(tmp_path):
    host = {"NUMBA_CPU_NAME": None, "NUMBA_CPU_FEATURES": None, "FASTBP_CACHE_DIR": str(tmp_path)}
    folders = {in_a_process("-c", FOLDER, **{**host, **changes}) for changes in SETTINGS}
    assert len(folders) == len(SETTINGS)


@pytest.mark.jit_only
def test_without_sources_nothing_is_kept(tmp_path):
    """Compiled modules alone, as some installers leave: nothing there tells one version from another."""
    import compileall

    shutil.copytree(PACKAGE, tmp_path / "fastbp", ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(tmp_path / "fastbp", legacy=True, quiet=1)
    for source in (tmp_path / "fastbp").rglob("*.py"):
        source.unlink()
    _, count = cached(tmp_path / "cache", "-P", PYTHONPATH=str(tmp_path))
    assert count > 0
    assert not (tmp_path / "cache").exists()


# ----------------------------------------------------------------------------------------------------------- accidents


def with_checksum(data):
    return hashlib.sha256(data).digest() + data


DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "truncated in its checksum": lambda content: content[:20],
    "without its last byte": lambda content: content[:-1],
    "emptied": lambda content: b"",
    "overwritten": lambda content: bytes(len(content)),
    "overwritten by text": lambda content: b"no machine code\n" * 100,
    "one bit flipped": lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
    "whole, but no pickle": lambda content: with_checksum(b"no machine code"),
    "whole, but of something else": lambda content: with_checksum(pickle.dumps((1, 2))),
    "whole, but of a later format": lambda content: with_checksum(b"\x80\xff."),
    "whole, but of a class that is no more": lambda content: with_checksum(b"cnumba.no_more\nGone\n."),
}


@pytest.fixture
def kept_sigmoid(healthy_cache):
    """(file, load) of a compiled function: load() is what the cache makes of the file."""
    from fastbp.kernels import cache, elementwise

    _, folder = healthy_cache
    file = next(folder.glob("*/*apply_sigmoid*"))
    content = file.read_bytes()
    of_function = cache.KernelCache(elementwise.apply_sigmoid.dispatcher.py_func)
    of_function._path = lambda signature: file
    yield file, lambda: of_function.load_overload(None, elementwise.apply_sigmoid.dispatcher.targetctx)
    file.write_bytes(content)


@pytest.mark.jit_only
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_as_good_as_none(kept_sigmoid, damage):
    file, load = kept_sigmoid
    assert load() is not None
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    assert load() is None


@pytest.mark.jit_only
def test_what_lies_in_the_place_of_a_file_and_is_none_is_as_good_as_none(kept_sigmoid):
    file, load = kept_sigmoid
    pipe = (lambda: os.mkfifo(file)), file.unlink  # whose writer would be waited for
    for put, take_away in ((file.mkdir, file.rmdir), (lambda: file.symlink_to(file), file.unlink), pipe):
        file.unlink(missing_ok=True)
        put()
        assert load() is None
        take_away()


@pytest.mark.jit_only
@pytest.mark.parametrize("damage", ["truncated", "emptied", "whole, but of something else"])
def test_a_process_that_finds_damaged_files_repairs_them(healthy_cache, damage):
    wanted, folder = healthy_cache
    files = {file: file.read_bytes() for file in folder.glob("*/*")}
    assert len(files) == 2
    for file, content in files.items():
        file.write_bytes(DAMAGES[damage](content))
    results, compiled = cached(folder, "-W", "error")
    assert (results, compiled > 0) == (wanted, True)
    assert cached(folder) == (wanted, 0)
    assert set(folder.glob("*/*")) == set(files), "a file is left over"


# Saves a compiled function in a child for each number that it is given, and the system kills the child at the write of
# the byte of that number.
SAVING = """
import os, signal, sys
import numpy as np
import fastbp
from fastbp.kernels.cache import KernelCache
from fastbp.kernels.elementwise import apply_sigmoid
from processes import die_at_byte, status_of_a_child

KernelCache.load_overload = lambda *_: None  # what was loaded cannot be saved
fastbp.sigmoid(np.ones(3))
((signature, compiled),) = apply_sigmoid.dispatcher.overloads.items()
for byte in map(int, sys.argv[1:]):
    death = lambda: die_at_byte(byte)
    saving = lambda: apply_sigmoid.dispatcher._cache.save_overload(signature, compiled)
    assert os.WTERMSIG(status_of_a_child(death, saving)) == signal.SIGXFSZ
"""


@pytest.mark.jit_only
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_process_that_dies_during_the_save_leaves_the_whole_function(healthy_cache, kept_sigmoid, rounds):
    wanted, folder = healthy_cache
    file, load = kept_sigmoid
    most = file.stat().st_size * 9 // 10  # not all of it: the length varies a little
    bytes_ = [0, 1, 32, most, *np.random.default_rng(1).integers(most, size=rounds(20, 200))]
    in_a_process("-c", SAVING, *map(str, bytes_), FASTBP_CACHE_DIR=str(folder))
    assert load() is not None
    halves = list(folder.glob("*/.*"))
    assert sorted(half.stat().st_size for half in halves) == sorted(bytes_)
    for half in halves:
        half.unlink()
    assert cached(folder) == (wanted, 0)


# Forks 16 processes that fill the folder named by their first argument at the same moment; prints what each computed.
FILLING = """
import os, sys
import numpy as np
import fastbp.layers.engine
from processes import child_of

def child(ready, go, told, folder):
    os.environ["FASTBP_CACHE_DIR"] = folder
    os.write(ready, b".")
    os.read(go, 1)
    os.write(told, fastbp.sigmoid(np.linspace(-9, 9, 99)).tobytes().hex()[-400:].encode() + b"\\n")

for folder in sys.argv[1:]:
    (wait, ready), (go, start), (hear, told) = os.pipe(), os.pipe(), os.pipe()
    children = [child_of(lambda: os.close(start), lambda: child(ready, go, told, folder)) for _ in range(16)]
    for _ in children:
        os.read(wait, 1)
    os.close(start)  # all go
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 16
    os.close(told)
    print(*set(os.fdopen(hear).read().split()))
"""


@pytest.mark.jit_only
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_many_processes_fill_an_empty_cache_at_once(healthy_cache, tmp_path, rounds):
    wanted, _ = healthy_cache
    folders = [tmp_path / f"cache {number}" for number in range(rounds(2, 10))]
    for said in in_a_process("-W", "error", "-c", FILLING, *map(str, folders)).splitlines():
        assert said == wanted.split()[0]
    for folder in folders:
        (kept,) = folder.glob("*/*")
        data = kept.read_bytes()
        assert hashlib.sha256(data[32:]).digest() == data[:32]
    assert cached(folders[0], "-W", "error")[0] == wanted


# ------------------------------------------------------------------------------------------------------ without a cache


def warned(folder, *command, **changes):
    """(results, the warnings) of a process with this cache folder, which only does what file modes allow."""
    done = subprocess.run(
        [*command, sys.executable, "-c", CACHED],
        env=environment(FASTBP_CACHE_DIR=folder and str(folder), **changes),
        capture_output=True,
        text=True,
        preexec_fn=without_root_rights if os.name == "posix" else None,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[0], [line for line in done.stderr.splitlines() if "Warning" in line]


def impossible_folders(tmp_path):
    """Folders that cannot be made or written."""
    file = tmp_path / "file"
    file.write_text("")
    read_only = tmp_path / "read-only"
    read_only.mkdir(mode=0o500)
    return {"below a file": file / "cache", "a file itself": file, "in a read-only one": read_only / "cache"}


@pytest.mark.jit_only
def test_without_a_folder_to_write_there_is_one_warning_and_no_error(tmp_path, healthy_cache):
    wanted, _ = healthy_cache
    for name, folder in impossible_folders(tmp_path).items():
        results, warnings = warned(folder)
        assert results == wanted, name
        assert len(warnings) == 1, name
        assert "FASTBP_CACHE_DIR" in warnings[0]


@pytest.mark.jit_only
def test_a_full_cache_that_cannot_be_written_is_read_without_a_warning(healthy_cache):
    wanted, folder = healthy_cache
    home = next(folder.glob("*"))
    home.chmod(0o500)
    try:
        assert warned(folder) == (wanted, [])
    finally:
        home.chmod(0o700)


@pytest.mark.jit_only
@pytest.mark.skipif(os.name != "posix", reason="a process is limited by POSIX calls here")
def test_a_read_only_install_is_no_hindrance(tmp_path, healthy_cache):
    wanted, _ = healthy_cache
    shutil.copytree(PACKAGE, tmp_path / "fastbp", ignore=shutil.ignore_patterns("__pycache__"))
    for folder, _, _ in os.walk(tmp_path / "fastbp", topdown=False):
        os.chmod(folder, 0o500)
    before = sorted((tmp_path / "fastbp").rglob("*"))
    try:
        path = os.pathsep.join([str(tmp_path), *sys.path])
        assert warned(tmp_path / "cache", PYTHONPATH=path) == (wanted, [])
        assert sorted((tmp_path / "fastbp").rglob("*")) == before
    finally:
        for folder, _, _ in os.walk(tmp_path / "fastbp"):
            os.chmod(folder, 0o700)


@pytest.mark.jit_only
@pytest.mark.skipif(os.name != "posix", reason="a process is limited by POSIX calls here")
def test_a_full_disk_means_one_warning_and_no_half_of_a_file(tmp_path, healthy_cache):
    """No file may be longer than 4 KiB: writing fails in the middle, as it does on a disk that is full."""
    wanted, _ = healthy_cache
    results, warnings = warned(tmp_path, "prlimit", "--fsize=4096")
    assert (results, len(warnings)) == (wanted, 1)
    assert "cannot be written" in warnings[0]
    assert list(tmp_path.glob("*/*")) == []


HOMELESS = """
import os, pwd
def getpwuid(user):
    raise KeyError(user)
pwd.getpwuid = getpwuid  # a user whom the system does not know, as containers have
os.environ.pop("HOME", None)
"""


@pytest.mark.jit_only
@pytest.mark.skipif(os.name != "posix", reason="homes are found in another way here")
def test_a_user_without_a_home_gets_one_warning_and_no_folder_anywhere(tmp_path, healthy_cache, monkeypatch):
    wanted, _ = healthy_cache
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", HOMELESS + CACHED],
        env=environment(FASTBP_CACHE_DIR=None, XDG_CACHE_HOME=None),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, wanted), done.stderr
    assert done.stderr.count("RuntimeWarning") == 1
    assert "no home folder" in done.stderr
    assert os.listdir(tmp_path) == []


def test_folders_of_other_versions_are_removed_when_nobody_has_used_them_for_long(tmp_path):
    old, young, foreign, other = (tmp_path / name for name in ("a" * 24, "b" * 24, "c" * 24, "mine"))
    for folder in (old, young, foreign, other):
        folder.mkdir()
        (folder / "fastbp.kernels.layer.run-0123456789abcdef").write_bytes(b"code")
    (foreign / "notes.txt").write_text("not of fastbp")
    long_ago = time.time() - 101 * 86400
    for folder in (old, foreign, other):
        os.utime(folder, (long_ago, long_ago))
    results, compiled = cached(tmp_path)
    assert compiled > 0
    assert not old.exists()
    assert list(young.iterdir())
    assert [file.name for file in foreign.iterdir()] == ["notes.txt"]
    assert list(other.iterdir())
    (mine,) = set(tmp_path.iterdir()) - {young, foreign, other}
    os.utime(mine, (long_ago, long_ago))
    assert cached(tmp_path) == (results, 0)
    assert time.time() - mine.stat().st_mtime < 3600, "it was used just now"


def test_a_relative_folder_below_one_that_is_gone_is_no_place_and_no_error(tmp_path):
    (tmp_path / "gone").mkdir()
    lines = f"""
import os, warnings
import fastbp
import fastbp.layers.engine  # and Numba, which imports what wants a working folder where coverage is installed
os.chdir({str(tmp_path / "gone")!r})
os.rmdir(os.getcwd())
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    print(fastbp.sigmoid(0.0), len(told), "FASTBP_CACHE_DIR" in str(told[0].message))
"""
    assert in_a_process("-c", lines, FASTBP_CACHE_DIR="cache") == "0.5 1 True\n"
