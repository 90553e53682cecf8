"""Compare one training step of fastbp with NumPy, PyTorch and JAX, each at its best, and with the machine's limits.

    python benchmarks/compare.py [--case NAME ...] [--odd] [--json FILE] [--seconds S]

Results are checked for agreement before anything is timed. Whatever cannot run here is left out by name. The exit
code is 1 if an implementation disagrees or fails.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script, this folder is no package yet

from benchmarks.agreement import TOLERANCE, deviation, trained, truth
from benchmarks.cases import CASES, ODD, Case
from benchmarks.implementations import IMPLEMENTATIONS, missing
from benchmarks.limits import THREADS, measure_limits
from benchmarks.report import Measured, footer, record, table
from benchmarks.timing import Candidate, settle, timed


def measure(case: Case, names: list[str], seconds: float) -> tuple[Measured, list[str]]:
    """Check, then time, these implementations on the case; and what went wrong."""
    problem = case.problem()
    expected = truth(problem)
    candidates, deviations, errors = [], {}, []
    for name in names:
        implementation = IMPLEMENTATIONS[name]
        for threads in dict.fromkeys((THREADS, 1)) if implementation.threads else (None,):
            label = name if threads is None else f"{name}, {threads} thread{'s' if threads > 1 else ''}"
            limited = partial(implementation.limited, threads)
            try:
                with limited():
                    run = implementation.setup(problem)
                    deviations[label] = deviation(trained(run), expected, problem)
            except Exception as error:
                errors.append(f"{case.key}: {label} failed: {type(error).__name__}: {error}")
                continue
            if deviations[label] > TOLERANCE[case.dtype]:
                wanted = f"{TOLERANCE[case.dtype]:.0e} is allowed"
                errors.append(f"{case.key}: {label} disagrees with the reference by {deviations[label]:.1e}; {wanted}")
                continue
            candidates.append(Candidate(name.split()[0], label, run, limited))
    return Measured(case, timed(candidates, seconds), deviations), errors


def chosen(names: list[str] | None, odd: bool) -> list[Case]:
    """The cases asked for: by name ("digits"), by name and dtype ("digits-float32"), the odd shapes, or the table."""
    if names:
        return [case for case in (*CASES, *ODD) if case.name in names or case.key in names]
    return list(ODD if odd else CASES)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    keys = sorted({name for case in CASES for name in (case.name, case.key)})
    parser.add_argument("--case", nargs="+", metavar="NAME", choices=keys, help=f"only these: {', '.join(keys)}")
    parser.add_argument("--odd", action="store_true", help="odd shapes instead of the table's")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every time of every round to FILE")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="time spent on a case (default 10)")
    arguments = parser.parse_args()

    absent = missing()
    names = [name for name in IMPLEMENTATIONS if name not in absent]
    limits = measure_limits()
    measured, errors = [], []
    for case in chosen(arguments.case, arguments.odd):
        print(f"{case.shape} {case.dtype} ...", file=sys.stderr)
        result, wrong = measure(case, names, arguments.seconds)
        measured.append(result)
        errors += wrong
        settle()
        limits = limits.or_better(measure_limits())
    print(table(measured, limits), "", footer(limits, absent), sep="\n")
    for error in errors:
        print(f"error: {error}")
    if arguments.json:
        arguments.json.write_text(json.dumps(record(measured, limits, absent, errors), indent=1) + "\n")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
