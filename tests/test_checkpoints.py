"""Files that outlive their writers: after any death there is the old file or the new one, and training goes on from it.

What dies are forked children of a process that has loaded the kernels and runs them on one thread.
"""

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from processes import die_at_byte, environment, in_a_process, status_of_a_child
from safetensors import safe_open
from safetensors.numpy import load_file

import fastbp
from fastbp import atomic
from fastbp.command.cli import main

EPOCHS = 6
ROWS = np.random.default_rng(5).normal(size=(64, 100)).astype("float32")
LABELS = np.random.default_rng(6).integers(0, 4, 64)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes die by POSIX signals here")


def untrained():
    """A network whose file of 4 MB takes about as long to write as an epoch takes to train."""
    return fastbp.Network([100, 3000, 4], activation="relu", loss="cross_entropy", seed=1)


def train_an_epoch(network):
    """In a new order, with all that an optimizer can remember."""
    optimizer = fastbp.Adam(learning_rate=fastbp.CosineDecay(0.01, steps=2 * EPOCHS, warmup=3))
    network.fit(ROWS, LABELS, epochs=1, optimizer=optimizer)


def everything(network):
    """All that training changes, as bits."""
    state = network._state
    vectors = [vector.tobytes() for vector in (state.parameters, *state.slots)]
    return state.updates, state.generator.bit_generator.state, vectors


@pytest.fixture(scope="module")
def run():
    """The states that training goes through when nobody interrupts it, the first before any of it."""
    network = untrained()
    network._state.use(fastbp.Adam())
    states = [everything(network)]
    for _ in range(EPOCHS):
        train_an_epoch(network)
        states.append(everything(network))
    return states


def assert_goes_on(path, run):
    """The epochs done in the file, which is one of the run and trains on to the run's end."""
    network = fastbp.Network.load(path)
    done = [state[0] for state in run].index(network._state.updates)
    assert everything(network) == run[done]
    for _ in range(done, EPOCHS):
        train_an_epoch(network)
    assert everything(network) == run[-1]
    return done


# ----------------------------------------------------------------------------------- run in a process that forks


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def die_before_renaming():
    Path.replace = die


def die_after_renaming():
    rename = Path.replace
    Path.replace = lambda *names: (rename(*names), die())


def death_of(word):
    """What a child does, before it writes, to die at a byte or around the renaming."""
    return {"before": die_before_renaming, "after": die_after_renaming}.get(word) or (lambda: die_at_byte(int(word)))


def in_children(target, deaths, write):
    """For each death, `write` in a child that dies of it; what it left as `target` is kept under the death's name."""
    old = target.read_bytes()
    for word in deaths:
        target.write_bytes(old)
        status = status_of_a_child(death_of(word), write)
        assert os.WTERMSIG(status) == (signal.SIGKILL if word in ("before", "after") else signal.SIGXFSZ)
        shutil.copy(target, target.with_name(word))


def kill_savers(target, *milliseconds):
    """Train over and over, saving after each epoch, and be killed after each of these times; keep what is left."""
    fastbp.set_num_threads(1)
    start = target.with_name("start")
    network = untrained()
    network._state.use(fastbp.Adam())
    network.save(start)
    shutil.copy(start, target)
    train_an_epoch(network)  # so that the kernels are loaded before all forks
    for number, wait in enumerate(milliseconds):
        if not (pid := os.fork()):
            try:
                while True:
                    network = fastbp.Network.load(start)
                    for _ in range(EPOCHS):
                        train_an_epoch(network)
                        network.save(target)
            finally:
                os._exit(1)  # only by an error
        time.sleep(float(wait) / 1000)
        os.kill(pid, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
        shutil.copy(target, target.with_name(str(number)))


def die_saving(target, *deaths):
    """Die so in the save after the second epoch, where that after the first is the old file."""
    fastbp.set_num_threads(1)
    network = untrained()
    train_an_epoch(network)
    network.save(target)
    train_an_epoch(network)
    in_children(target, deaths, lambda: network.save(target))


def die_in_a_command(target, words, *deaths):
    """Die so in a command, where the old file is a text."""
    words = json.loads(words)
    main(words, standalone_mode=False)  # so that all is loaded before the forks
    target.write_bytes(OLD)
    in_children(target, deaths, lambda: main(words, standalone_mode=False))


def forking(function, target, *words):
    """Run a function of this module in a process of its own."""
    code = (
        f"import sys, pathlib, {__name__} as here; here.{function.__name__}(pathlib.Path(sys.argv[1]), *sys.argv[2:])"
    )
    in_a_process("-c", code, str(target), *map(str, words))


# ------------------------------------------------------------------------------------------------------------ deaths


@pytest.mark.jit_only
def test_a_process_killed_at_any_moment_leaves_a_state_of_its_run_that_training_goes_on_from(tmp_path, run, rounds):
    kills = rounds(12, 200)
    forking(kill_savers, tmp_path / "network", *np.random.default_rng(2).uniform(0, 120, kills))
    assert len({assert_goes_on(tmp_path / str(number), run) for number in range(kills)}) > 1


def some_bytes(file, count):
    """Places to die at: the first, those around the end of a header's length, near the end, and any between."""
    most = file.stat().st_size * 9 // 10  # not all of it: the length of a header varies a little
    return [0, 8, most, *np.random.default_rng(1).integers(most, size=count)]


@pytest.mark.jit_only
def test_a_process_that_dies_in_a_save_leaves_the_old_network_and_after_the_renaming_the_new(tmp_path, run, rounds):
    target = tmp_path / "network"
    untrained().save(target)
    bytes_ = some_bytes(target, rounds(10, 200))
    forking(die_saving, target, *bytes_, "before", "after")
    for death in map(str, (*bytes_, "before")):
        assert assert_goes_on(tmp_path / death, run) == 1
    assert assert_goes_on(tmp_path / "after", run) == 2
    halves = sorted(half.stat().st_size for half in tmp_path.glob(".*"))
    assert halves == sorted([*bytes_, target.stat().st_size])


def content(path):
    """The bytes of a file; of a model, what they mean, for safetensors writes metadata in any order."""
    if path.read_bytes()[8:9] != b"{":
        return path.read_bytes()
    with safe_open(path, framework="numpy") as file:
        return file.metadata(), {name: tensor.tobytes() for name, tensor in load_file(path).items()}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, which has data and a model."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{i % 7},{i % 5},{'odd' if i % 2 else 'even'}\n" for i in range(99)]
    Path("data.csv").write_text("a,b,kind\n" + "".join(rows))
    in_a_process("-m", "fastbp", *TRAIN, "--save", "model")
    return tmp_path


OLD = b"what was there before"
TRAIN = ["train", "data.csv", "-q", "--threads", "1", "--epochs", "2"]
COMMANDS = {  # each writes the file that it ends with
    "a model": [*TRAIN, "--save", "target"],
    "a plot": [*TRAIN, "--plot", "target.png"],
    "predictions": ["predict", "model", "data.csv", "--output", "target"],
}


@pytest.mark.jit_only
@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_command_that_dies_leaves_the_old_file_and_after_the_renaming_the_new(folder, words, rounds):
    target, new = folder / words[-1], folder / "new"
    in_a_process("-m", "fastbp", *words)
    target.rename(new)
    bytes_ = some_bytes(new, rounds(4, 40))
    forking(die_in_a_command, target, json.dumps(words), *bytes_, "before", "after")
    for death in map(str, (*bytes_, "before")):
        assert (folder / death).read_bytes() == OLD
    assert content(folder / "after") == content(new)


# --------------------------------------------------------------------------------------------------------- full disks

FILLED = """
import sys, fastbp
from test_checkpoints import untrained
try:
    untrained().save(sys.argv[1])
except OSError as error:
    print(error)
"""


def on_a_full_disk(*words):
    """A process of Python that fails to write the 4097th byte of a file, as on a disk that is full."""
    command = ["prlimit", "--fsize=4096", sys.executable, *map(str, words)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)


@pytest.mark.skipif(shutil.which("prlimit") is None, reason="no prlimit on this system")
def test_a_full_disk_is_an_error_that_names_the_file_and_leaves_the_old_one(tmp_path):
    target = tmp_path / "network"
    target.write_bytes(OLD)
    assert on_a_full_disk("-c", FILLED, target).stdout == f"[Errno 27] File too large: '{target}'\n"
    assert (target.read_bytes(), os.listdir(tmp_path)) == (OLD, ["network"])


@pytest.mark.jit_only
@pytest.mark.skipif(shutil.which("prlimit") is None, reason="no prlimit on this system")
def test_a_command_on_a_full_disk_ends_in_one_line_and_leaves_the_old_file(folder):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    done = on_a_full_disk("-m", "fastbp", *TRAIN, "--hidden", "1000", "--save", "model")
    assert (done.returncode, done.stderr) == (2, "Error: model: File too large\n")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


# ---------------------------------------------------------------------------------------------------- what is left over


def aged(path, seconds):
    path.write_bytes(b"half a file")
    os.utime(path, (time.time() - seconds,) * 2)


def test_what_killed_writers_left_is_removed_after_an_hour_and_nothing_else(tmp_path):
    aged(tmp_path / ".network.0123abcd.tmp", 3700)
    kept = {
        ".network.89abcdef.tmp": 3500,  # another process may be writing it
        ".other.0123abcd.tmp": 3700,
        ".network.copy.0123abcd.tmp": 3700,  # of network.copy
        ".network.tmp": 3700,
        "network.0123abcd.tmp": 3700,
        ".network.0123abcd.tmp.old": 3700,
    }
    for name, age in kept.items():
        aged(tmp_path / name, age)
    fastbp.Network([2, 1]).save(tmp_path / "network")
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, "network"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_network_that_could_not_be_loaded_takes_no_place_of_a_good_one(value, tmp_path):
    network = fastbp.Network([3, 4, 1])
    network.save(tmp_path / "network")
    good = (tmp_path / "network").read_bytes()
    network.weights[1][2, 0] = value
    with pytest.raises(ValueError, match=rf"^weights\.1\[.*\] is {value}; a finite number in dtype float32 is wanted$"):
        network.save(tmp_path / "network")
    assert (tmp_path / "network").read_bytes() == good


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_a_file_that_is_written_anew_stays_for_as_few_eyes(tmp_path):
    fastbp.Network([2, 1]).save(tmp_path / "network")
    for mode in (0o600, 0o644):
        (tmp_path / "network").chmod(mode)
        fastbp.Network([2, 1]).save(tmp_path / "network")
        assert (tmp_path / "network").stat().st_mode & 0o777 == mode


def test_what_cannot_be_removed_is_no_hindrance(tmp_path):
    folders = [tmp_path / f".network.{number}123abcd.tmp" for number in "02468"]
    for folder in folders:
        folder.mkdir()
        os.utime(folder, (0, 0))
    for number in "13579":
        aged(tmp_path / f".network.{number}123abcd.tmp", 3700)
    fastbp.Network([2, 1]).save(tmp_path / "network")
    assert sorted(tmp_path.iterdir()) == [*folders, tmp_path / "network"]


def test_a_folder_that_may_be_written_but_not_read_is_no_hindrance(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(errno.EACCES, "not to be read")

    monkeypatch.setattr(os, "scandir", refused)
    monkeypatch.setattr(os, "open", refused)
    fastbp.Network([2, 1]).save(tmp_path / "network")
    assert fastbp.Network.load(tmp_path / "network").architecture.sizes == (2, 1)


def test_a_power_cut_after_a_save_finds_the_whole_file_under_its_name(tmp_path, monkeypatch):
    """The content is on the disk before the name leads to it, and the name before `save` returns."""
    done, fsync, rename = [], os.fsync, Path.replace

    def synchronised(number):
        there = os.fstat(number)
        done.append(("on disk", "the folder" if os.path.samestat(there, tmp_path.stat()) else there.st_size))
        fsync(number)

    def renamed(*names):
        done.append(("renamed", "the file"))
        rename(*names)

    monkeypatch.setattr(os, "fsync", synchronised)
    monkeypatch.setattr(Path, "replace", renamed)
    fastbp.Network([2, 1]).save(tmp_path / "network")
    size = (tmp_path / "network").stat().st_size
    assert done == [("on disk", size), ("renamed", "the file"), ("on disk", "the folder")]


def test_a_file_that_cannot_take_its_place_is_named_in_the_error(tmp_path):
    """Something else has taken the name meanwhile."""
    target = tmp_path / "network"

    def overtaken():
        with atomic.replacing(target) as stream:
            stream.write(b"new")
            target.mkdir()

    with pytest.raises(OSError, match=r"\[Errno \d+\] .*: '[^']*network'$") as caught:
        overtaken()
    assert caught.value.filename == str(target)
    assert os.listdir(tmp_path) == ["network"]


# Names as long as file systems take, that end in the middle of a character where a temporary file's is cut, of bytes
# that are no text, and of what means something else in a pattern.
NAMES = {
    "of 255 bytes": "x" * 255,
    "of characters of two bytes": "x" * 199 + "é" * 28,
    "of bytes that are no UTF-8": os.fsdecode(b"network\xff"),
    "of an open bracket": "network (1",
    "of a pattern": "n.t+w[o]rk",
}


@pytest.mark.skipif(os.name != "posix", reason="names are bytes")
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_network_is_saved_under_any_name_and_leaves_nothing_beside_it(tmp_path, name):
    for _ in range(2):
        fastbp.Network([2, 1]).save(tmp_path / name)
    assert os.listdir(tmp_path) == [name]
    assert fastbp.Network.load(tmp_path / name).architecture.sizes == (2, 1)


def test_what_was_left_of_a_name_that_a_pattern_would_take_for_this_one_stays(tmp_path):
    for name in (".netXork.0123abcd.tmp", ".net.ork.0123abcd.tmp"):
        (tmp_path / name).write_bytes(b"half a file")
        os.utime(tmp_path / name, (0, 0))
    fastbp.Network([2, 1]).save(tmp_path / "net.ork")
    assert sorted(os.listdir(tmp_path)) == [".netXork.0123abcd.tmp", "net.ork"]


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_a_file_that_others_may_run_or_only_read_stays_so(tmp_path):
    for mode in (0o755, 0o444):
        fastbp.Network([2, 1]).save(tmp_path / "network")
        (tmp_path / "network").chmod(mode)
        fastbp.Network([2, 1]).save(tmp_path / "network")
        assert stat.S_IMODE((tmp_path / "network").stat().st_mode) == mode


def test_a_file_system_without_modes_is_no_hindrance(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(errno.EPERM, "no modes here")

    fastbp.Network([2, 1]).save(tmp_path / "network")
    monkeypatch.setattr(Path, "chmod", refused)
    fastbp.Network([3, 1]).save(tmp_path / "network")
    assert fastbp.Network.load(tmp_path / "network").architecture.sizes == (3, 1)
    assert os.listdir(tmp_path) == ["network"]


def test_an_error_of_another_file_while_one_is_written_names_the_other(tmp_path):
    def fails():
        with atomic.replacing(tmp_path / "network"):
            (tmp_path / "source").read_bytes()

    with pytest.raises(FileNotFoundError) as caught:
        fails()
    assert caught.value.filename == str(tmp_path / "source")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_no_file_to_be_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"path is .*pipe, which is not a file; a file to write is wanted"):
        fastbp.Network([2, 1]).save(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes")
@pytest.mark.parametrize("use", [lambda path: fastbp.Network([2, 1]).save(path), fastbp.Network.load])
def test_half_a_character_is_no_path(use):
    with pytest.raises(ValueError, match=r"^path is '\\ud800'; a path that the system can encode is wanted$"):
        use("\ud800")
