"""The suites of asv.

asv runs one checkout's suites on many commits of fastbp, and imports every module of this folder to find them. So the
cases, the implementations and the clock are those of this checkout, loaded here from their files, as `registry`, while
`import fastbp` gives the commit that is installed; and what may be missing is imported when it is timed.
"""

import importlib.util
import sys
from pathlib import Path


def _load(name: str, folder: Path) -> None:
    """The package in a folder, under another name."""
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


_load("registry", Path(__file__).resolve().parents[2] / "fastbp" / "bench")
