"""Files that are not what they should be: each is refused by its name, soon, in little memory, or gives what is sane.

A battery of files runs in a process of its own, whose memory is limited, and prints what broke this promise.
"""

import contextlib
import faulthandler
import gzip
import itertools
import os
import pickle
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from damages import damaged, misstated_safetensors
from harmful_networks import HARMFUL_MODELS, HARMFUL_NETWORKS
from harmful_tables import NUMBERS, harmful_tables, traps
from processes import in_a_process
from table_files import csv_of, idx, npy, npz, parquet_of

import fastbp
from fastbp.command import sizes
from fastbp.command.cli import main
from fastbp.command.model import Model
from fastbp.command.tables import read_table

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited by what Linux tells")

LARGEST_TABLE = 4 << 20  # bytes, in place of a quarter of the machine's memory
MOST_MEMORY = 768 << 20  # bytes, beyond those of a process that has read a good file
MOST_SECONDS = 2.0  # of the processor
HANGS_AFTER = 60.0
LONGEST_MESSAGE = 1000  # characters

# ----------------------------------------------------------------------------------- what a file gives, if it is read


def read_a_table(path):
    table = read_table(path)
    rows, width = table.values.shape
    assert rows == table.rows > 0
    assert len(set(table.names)) == len(table.names) == width > 0
    assert all(len(cells) == rows and all(isinstance(cell, str) for cell in cells) for cells in table.text.values())
    columns = [column for column in range(width) if column not in table.text]
    if columns:
        assert np.isfinite(table.numbers(columns)).all()


def read_a_network(path):
    """It predicts, is saved and loaded as it is, and trains on unless that diverges."""
    network = fastbp.Network.load(path)
    made, state = network.architecture, network._state
    assert all(np.isfinite(vector).all() for vector in (state.parameters, *state.slots))
    network.save("copy")
    assert fastbp.Network.load("copy")._state.parameters.tobytes() == state.parameters.tobytes()
    x, y = np.ones((5, made.inputs)), np.full((5, made.outputs), 1 / made.outputs)
    assert network.predict(x).shape == y.shape
    with contextlib.suppress(FloatingPointError):
        assert np.isfinite(network.fit(x, y, batch_size=2)["loss"]).all()
    assert all(np.isfinite(vector).all() for vector in (state.parameters, *state.slots))


def read_a_model(path):
    model = Model.load(path)
    words = model.predict(read_table(Path("good.csv")))
    assert all(isinstance(word, str) for word in (*words, *model.names, model.target))
    "".join(words).encode()
    if model.network.architecture.loss == "squared_error":
        assert np.isfinite([float(word) for word in words]).all()


def command(*words):
    """Reading by a command, which ends well or in one line and exit code 2."""

    def read(path):
        given = [str(path) if word == "FILE" else word for word in words]
        done = CliRunner().invoke(main, given, prog_name="fastbp")
        assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
        assert (done.exit_code, done.stderr.count("\n")) in ((0, 0), (2, 1)), done.output
        if done.exit_code:
            raise ValueError(done.stderr)

    return read


TRAIN = ["-q", "--no-compare", "--threads", "1", "--epochs", "1", "--hidden", "4", "--test-fraction", "0"]
READERS = {  # what reads, and the good file of its kind
    "table": (read_a_table, "good.csv"),
    "network": (read_a_network, "network"),
    "model": (read_a_model, "model"),
    "train": (command("train", "FILE", *TRAIN, "--save", "kept"), "good.csv"),
    "predict": (command("predict", "FILE", "good.csv", "--output", "kept"), "model"),
}

# ------------------------------------------------------------------------------------------------------ the batteries


def good_tables():
    text = csv_of(NUMBERS)
    words = "a;b;c\n" + "".join(f"{a};{b:.3f};{'x' if a > 0 else 'yz'}\n" for a, b, _ in NUMBERS.tolist())
    return {
        "a.csv": text.encode(),
        "words.csv": words.encode(),
        "a.csv.gz": gzip.compress(text.encode()),
        "a.npy": npy(NUMBERS),
        "fields.npy": npy(np.rec.fromarrays([*NUMBERS.T, list("abcdefg")], names="a,b,c,d")),
        "a.npz": npz(x=NUMBERS[:, :2], y=NUMBERS[:, 2]),
        "a.parquet": parquet_of(a=NUMBERS[:, 0], b=[1, 2, None, 4, 5, 6, 7], c=list("xxyyzzz")),
        "a.idx": idx(NUMBERS),
        "a-idx3-ubyte.gz": gzip.compress(idx(np.arange(42, dtype="u1").reshape(7, 3, 2))),
    }


def damaged_tables(count):
    for name, content in good_tables().items():
        for seed in range(count):
            yield f"{name} {seed}", name, damaged(content, np.random.default_rng(seed))


def tables_made_to_harm(_count):
    return ((name, name, content) for name, content in harmful_tables().items())


def damaged_networks(count):
    for good, damage in itertools.product(("network", "model"), (damaged, misstated_safetensors)):
        content = Path(good).read_bytes()
        for seed in range(count):
            yield f"{damage.__name__} {good} {seed}", "harmful", damage(content, np.random.default_rng(seed))


def networks_made_to_harm(_count):
    for good in ("network", "model"):
        content = Path(good).read_bytes()
        for name, harm in HARMFUL_NETWORKS.items():
            yield f"{good}: {name}", "harmful", harm(content)
    for name, harm in HARMFUL_MODELS.items():
        yield f"model: {name}", "harmful", harm(content)


ENDINGS = (".csv", ".npy", ".npz", ".parquet", ".idx", ".csv.gz", "-idx3-ubyte.gz", "")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/proc/self/mem", "/proc/version", "/proc/self/nowhere")


def places(_count):
    """What has the name of a file and is none."""
    for ending in ENDINGS:
        Path(f"a-folder{ending}").mkdir()
        os.mkfifo(f"a-pipe{ending}")
        Path(f"a-loop{ending}").symlink_to(f"a-loop{ending}")
        for device in DEVICES:
            Path(f"a-{Path(device).name}{ending}").symlink_to(device)
        for kind in ("folder", "pipe", "loop", "hole", *(Path(device).name for device in DEVICES)):
            yield f"{kind}{ending}", f"a-{kind}{ending}", None


# --------------------------------------------------------------------------------- run in a process of limited memory


def prepare(folder):
    """Have good files in the working folder."""
    os.chdir(folder)
    Path("good.csv").write_text("a,b,c,y\n" + "".join(f"{i % 7},{i % 5},{i % 3},{i / 9}\n" for i in range(30)))
    command("train", "FILE", *TRAIN, "--save", "model")("good.csv")
    network = fastbp.Network([3, 4, 2], activation="relu")
    network.step(NUMBERS, NUMBERS[:, :2], optimizer=fastbp.Adam())
    network.save("network")
    Path("kept").write_text("what was there before")
    Path("copy").write_text("")


def limit_memory():
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_MEMORY,) * 2)


def files():
    """What would tell of any change in the working folder."""
    return sorted((entry.name, entry.stat(follow_symlinks=False).st_mtime_ns) for entry in os.scandir())


def broken_promise(read, path):
    """What of the promise does not hold for a file, or None."""
    before, began = files(), time.process_time()
    faulthandler.dump_traceback_later(HANGS_AFTER, exit=True)
    said = None
    try:
        read(path)
    except OSError as error:
        said = str(error.filename)
    except ValueError as error:
        said = str(error)
    except BaseException as error:
        return f"raises {error!r:.300}"
    finally:
        faulthandler.cancel_dump_traceback_later()
    seconds = time.process_time() - began
    if seconds > MOST_SECONDS:
        return f"takes {seconds:.1f} s"
    if said is not None and files() != before:
        return "changes files"
    if said is not None and (not (path.name in said or "good.csv" in said) or len(said) > LONGEST_MESSAGE):
        return f"says {said[:300]!r}"
    return None


def hold(battery, folder, count, *readers):
    """Print what breaks the promise of readers for a battery's files (name of the case, of the file, content)."""
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", "an epoch begins with a learning rate of 0")  # of a model that is fully trained
    prepare(folder)
    for read, good in map(READERS.get, readers):
        read(Path(good))
    sizes.largest_table = lambda: LARGEST_TABLE
    limit_memory()
    for case, name, content in globals()[battery](int(count)):
        path = Path(name)
        if content is not None:
            path.write_bytes(content)
        for reader in readers:
            if problem := broken_promise(READERS[reader][0], path):
                print(f"{reader}: {case}: {problem}")
        if content is not None:
            path.unlink()


def broken_promises(battery, folder, count, readers):
    """What `hold` prints in a process of its own, where Arrow takes no more memory than it needs."""
    code = "import sys, test_fuzz; test_fuzz.hold(*sys.argv[1:])"
    words = (battery.__name__, str(folder), str(count), *readers)
    return in_a_process("-c", code, *words, ARROW_DEFAULT_MEMORY_POOL="system").splitlines()


# --------------------------------------------------------------------------------------------------------------- tests

TABLES = ("table", "train")
NETWORKS = ("network", "model", "predict")


@pytest.mark.jit_only
def test_a_table_made_to_harm_is_refused_by_its_name_or_gives_what_is_sane(tmp_path):
    assert broken_promises(tables_made_to_harm, tmp_path, 1, TABLES) == []


@pytest.mark.jit_only
def test_a_damaged_table_is_refused_by_its_name_or_gives_what_is_sane(tmp_path, rounds):
    assert broken_promises(damaged_tables, tmp_path, rounds(40, 1000), TABLES) == []


@pytest.mark.jit_only
def test_a_network_made_to_harm_is_refused_by_its_name_or_gives_what_is_sane(tmp_path):
    assert broken_promises(networks_made_to_harm, tmp_path, 1, NETWORKS) == []


@pytest.mark.jit_only
def test_a_damaged_network_is_refused_by_its_name_or_gives_what_is_sane(tmp_path, rounds):
    assert broken_promises(damaged_networks, tmp_path, rounds(40, 1000), NETWORKS) == []


@pytest.mark.jit_only
def test_what_is_no_file_is_refused_by_its_name_and_nobody_waits_for_it(tmp_path):
    assert broken_promises(places, tmp_path, 1, (*TABLES, *NETWORKS)) == []


def test_nothing_in_a_file_is_ever_run(tmp_path):
    sprung = tmp_path / "sprung"
    for name, content in traps(sprung).items():
        path = tmp_path / name
        path.write_bytes(content)
        for read in (read_table, fastbp.Network.load, Model.load):
            with pytest.raises(ValueError, match=name):
                read(path)
    assert not sprung.exists()
    pickle.loads((tmp_path / "pickle.npy").read_bytes())
    assert sprung.exists(), "the trap is none"
