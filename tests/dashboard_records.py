"""Made-up measurements for the dashboard's tests: a small git repository, asv's results of it, and records.

Everything is drawn from one seed. Two machines, six commits; the second machine has only the last two.
"""

import json
import math
import random
import subprocess
from pathlib import Path

SEED = 2019
MACHINES = {
    "zen4-2": {"cpu": "AMD EPYC 9654 96-Core Processor", "microarchitecture": "znver4", "threads": 2, "pace": 1.0},
    "m2-air": {"cpu": "Apple M2", "microarchitecture": "apple-m2", "threads": 8, "pace": 0.7},
}
FAMILIES = ("fastbp", "reference", "numpy", "torch", "jax")
COMMITS = 6
COMMITS_OF = {"zen4-2": slice(None), "m2-air": slice(-2, None)}

SHAPES = (  # name, rows, inputs, outputs, steps
    ("tiny", 2, 3, 2, 1000),
    ("digits", 1797, 64, 10, 1),
    ("mnist", 60000, 784, 10, 1),
    ("tall", 1000000, 16, 1, 1),
    ("wide", 4096, 1024, 1024, 1),
)
SCALING = {
    "rows": (10, 100, 1000, 10_000, 100_000, 1_000_000),
    "inputs": (4, 16, 64, 256, 1024, 4096),
    "outputs": (1, 4, 16, 64, 256, 1024),
    "threads": (1, 2),
}
NETWORKS = (  # name, shape, limit, dtype
    ("mnist", "60000 rows, 784-128-10 sigmoid, batches of 32, SGD", 9e-2, "float32"),
    ("tall", "100000 rows, 8-16-16-1 sigmoid, batches of 32, SGD", 8e-4, "float32"),
    ("digits", "1797 rows, 64-32-10 sigmoid, batches of 32, SGD", 2e-4, "float64"),
)
# How many times as long as the limit, and a call's overhead in seconds.
IMPLEMENTATIONS = {
    "fastbp": (1.3, 4e-6),
    "reference": (5.5, 3.0e-5),
    "numpy": (3.6, 2.2e-5),
    "numpy blocks": (3.1, 2.6e-5),
    "numpy columns": (3.3, 2.4e-5),
    "torch": (3.4, 3.5e-5),
    "torch autograd": (4.4, 7e-5),
    "torch compile": (2.9, 4e-5),
    "jax": (3.2, 1.5e-5),
    "jax autodiff": (3.6, 1.6e-5),
}
# asv's figures in seconds, by suite.
BASES = {"layer": (6e-5, 1.6e-2, 8e-2, 1.0), "networks": (0.21,), "startup": (0.31,)}
MISSING = {
    "scikit-learn": "has no layer with the squared error of a sigmoid: not the same work",
    "tensorflow": "is not installed",
    "oneDNN": "is not installed",
}
ERROR = "digits-float64: torch compile, 2 threads failed: RuntimeError: no C++ compiler"


def repository(folder: Path) -> list[str]:
    """A git repository with a few commits on main; the commits, the oldest first."""

    def git(*words: str, day: int = 1) -> str:
        when = f"2026-11-{day:02}T12:00:00+00:00"
        identity = {f"GIT_{who}_{what}": "tester" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when, "GIT_CONFIG_GLOBAL": "/dev/null"}
        command = ["git", "-C", str(folder), *words]
        return subprocess.run(command, env=identity | dates, check=True, capture_output=True, text=True).stdout.strip()

    folder.mkdir(parents=True)
    git("init", "--initial-branch=main")
    commits = []
    for i in range(COMMITS):
        git("commit", "--allow-empty", "--message", f"Make step {i + 1} of the kernels a little faster", day=i + 1)
        commits.append(git("rev-parse", "HEAD"))
    return commits


def write_results(folder: Path, commits: list[str]) -> None:
    """asv's results: of benchmarks with and without parameters, of which one becomes slower with the last two commits.

    The networks and the third parameter are measured on the first machine only, the last parameter nowhere.
    """
    from asv.machine import Machine
    from asv.results import Results
    from asv.runner import BenchmarkResult
    from asv.util import write_json

    random_numbers = random.Random(SEED)
    common = {"timeout": 60.0, "version": "1", "unit": "seconds", "type": "time", "code": "def time(): pass"}
    benchmarks = {
        "layer.Step.time_step": common
        | {
            "params": [["'digits-float32'", "'mnist-float32'", "'wide-float64'", "'huge-float32'"]],
            "param_names": ["case"],
        },
        "networks.Epoch.time_epoch": common | {"params": [["'mnist-float32'"]], "param_names": ["case"]},
        "startup.time_import": common | {"params": [], "param_names": []},
    }
    for name, benchmark in benchmarks.items():
        benchmark["name"] = name
    write_json(str(folder / "benchmarks.json"), benchmarks, 2)
    for machine, about in MACHINES.items():
        described = {
            "machine": machine,
            "arch": "x86_64",
            "cpu": about["cpu"],
            "num_cpu": "2",
            "os": "Linux",
            "ram": "8",
        }
        write_json(str(folder / machine / "machine.json"), described, Machine.api_version)
        for i, commit in list(enumerate(commits))[COMMITS_OF[machine]]:
            params = described | {"python": "3.11", "numpy": "2.4.6", "numba": "0.68.1"}
            date = 1793534400000 + i * 86_400_000
            results = Results(params, {}, commit, date, "3.11", "virtualenv-py3.11-numba0.68.1-numpy2.4.6", {})
            first = machine == next(iter(MACHINES))
            for name, benchmark in benchmarks.items():
                if name.startswith("networks") and not first:
                    continue
                slower = 1.6 if name.startswith("startup") and i >= COMMITS - 2 else 1.0
                bases = BASES[name.split(".")[0]]
                samples = [
                    [base * slower * about["pace"] * random_numbers.uniform(1, 1.02) for _ in range(5)]
                    for base in bases
                ]
                figures = [0.0] * len(bases)
                if name.startswith("layer"):
                    for nowhere in (3,) if first else (2, 3):
                        figures[nowhere], samples[nowhere] = math.nan, None
                measured = BenchmarkResult(figures, samples, [1] * len(bases), 0, "", None)
                results.add_result(benchmark, measured, record_samples=False)
            results.save(str(folder))


def write_records(folder: Path, commits: list[str]) -> None:
    """The comparison's records in folder/<machine>/<commit>.json."""
    for machine, about in MACHINES.items():
        for i, commit in list(enumerate(commits))[COMMITS_OF[machine]]:
            path = folder / machine / f"{commit}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(record(machine, about, i, commit), indent=1))


def record(machine: str, about: dict, number: int, commit: str) -> dict:
    """What is measured on the machine at the commit of that number."""
    random_numbers = random.Random(f"{SEED} {machine} {number}")
    peak = {"float32": 2.18e11 / about["pace"], "float64": 1.13e11 / about["pace"]}
    bandwidth = 3.6e10 / about["pace"]
    threads = about["threads"]

    def case(name, rows, inputs, outputs, steps, dtype, numbers_of_threads=(threads, 1)):
        size = {"float32": 4, "float64": 8}[dtype]
        limit = steps * max(4 * rows * inputs * outputs / peak[dtype], rows * inputs * size / bandwidth)
        medians = {}
        for label, (factor, overhead) in IMPLEMENTATIONS.items():
            if label == "fastbp":
                factor *= 1.0 + 0.18 * (COMMITS - 1 - number)
            for used in (None,) if label.startswith("jax") else dict.fromkeys(numbers_of_threads):
                if used and label.startswith("torch") and name == "tiny":
                    continue
                alone = 1.7 if used == 1 and rows > 1000 else 0.9 if used == 1 else 1.0
                seconds = (limit * factor + steps * overhead) * alone * random_numbers.uniform(0.97, 1.03)
                full = label if used is None else f"{label}, {used} thread{'s' if used > 1 else ''}"
                medians[full] = seconds
        return {
            "case": f"{name}-{dtype}",
            "name": name,
            "shape": f"{rows}x{inputs}->{outputs}" + (f", {steps} steps" if steps > 1 else ""),
            "rows": rows,
            "inputs": inputs,
            "outputs": outputs,
            "steps": steps,
            "dtype": dtype,
            "limit": limit,
            "medians": medians,
        }

    middle = {"rows": 1000, "inputs": 64, "outputs": 10, "steps": 1, "dtype": "float32"}

    def of_size(axis, size):
        if axis == "threads":
            return case(axis, **middle, numbers_of_threads=(size,))
        return case(axis, **(middle | {axis: size}))

    def network(name, shape, limit, dtype):
        medians = {}
        for label in ("fastbp", "numpy", "torch", "torch autograd", "scikit-learn"):
            factor, overhead = IMPLEMENTATIONS.get(label, (9.0, 1e-3))
            for used in threads, 1:
                full = f"{label}, {used} thread{'s' if used > 1 else ''}"
                medians[full] = (limit * factor + 100 * overhead) * random_numbers.uniform(0.97, 1.03) / used**0.5
        medians["jax"] = 4 * limit
        named = {"case": f"{name}-{dtype}", "name": name, "shape": shape}
        return named | {"dtype": dtype, "limit": limit, "medians": medians}

    scaling = [{"axis": axis, "size": size} | of_size(axis, size) for axis, sizes in SCALING.items() for size in sizes]
    return {
        "format": 1,
        "commit": commit,
        "date": f"2026-11-{number + 1:02}T12:00:00+00:00",
        "measured": f"2026-11-{number + 1:02}T12:45:00+00:00",
        "subject": f"Make step {number + 1} of the kernels a little faster",
        "machine": {
            "name": machine,
            "cpu": about["cpu"],
            "microarchitecture": about["microarchitecture"],
            "system": "Linux",
            "architecture": "x86_64",
            "threads": threads,
            "environment": {"OMP_NUM_THREADS": str(threads)} if machine == "zen4-2" else {},
        },
        "limits": {"peak": peak, "bandwidth": bandwidth},
        "versions": {
            "python": "3.11.7",
            "fastbp": "0.1.0",
            "numpy": "2.4.6",
            "numba": "0.68.1",
            "torch": "2.13.0+cpu",
            "jax": "0.10.2",
        },
        "blas": {"numpy": "scipy-openblas 0.3.31", "torch": "MKL 2024.2"},
        "missing": MISSING,
        "errors": [ERROR] if machine == "zen4-2" else [],
        "cases": [case(*shape, dtype) for shape in SHAPES for dtype in ("float32", "float64")],
        "scaling": scaling,
        "networks": [network(*each) for each in NETWORKS],
    }
