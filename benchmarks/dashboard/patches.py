"""What is changed in asv's scripts: each place is replaced where it stands, and has to be there once.

A new version of asv without such a place is an error, so that no change is lost unnoticed.
"""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.dashboard import DashboardError


class Patch(NamedTuple):
    """In the script `file`, `new` instead of `old`."""

    file: str
    old: str
    new: str


# The figures of a benchmark's parameters lie orders of magnitude apart: their scale is logarithmic unless the address
# says otherwise, and the address alone says so.
SCALE_OF_THE_ADDRESS = """\
if (!params['y-axis-scale']) {
            var several = $.asv.main_json.benchmarks[benchmark].params.length > 0;
            params['y-axis-scale'] = [several ? 'log' : 'linear'];
        }
        log_scale = zoom_y_axis = false;
        $('#log-scale, #zoom-y-axis').removeClass('active');
        """

NO_REGRESSIONS = """\
if (!data.regressions.length) {
            var count = function(number, name) { return number + ' ' + name + (number === 1 ? '' : 's'); };
            return main_div.text('No regressions in ' + count(data.commits, 'commit') +
                                 ' on ' + count(data.machines, 'machine'));
        }
        """

PATCHES = (
    Patch("graphdisplay.js", "if (params['y-axis-scale']) {", SCALE_OF_THE_ADDRESS + "if (params['y-axis-scale']) {"),
    Patch("graphdisplay.js", "log_scale ? ['log']: []", "[log_scale ? 'log' : 'linear']"),
    Patch("graphdisplay.js", "zoom_y_axis ? ['zoom'] : []", "[zoom_y_axis ? 'zoom' : 'linear']"),
    # A window that changes its size while another page is shown: a hidden plot cannot be drawn.
    Patch(
        "graphdisplay.js",
        "if (current_benchmark === null) {",
        "if (current_benchmark === null || !$('#main-graph').is(':visible')) {",
    ),
    Patch(
        "regressions.js",
        "var branches = $.asv.main_json.params['branch'];",
        NO_REGRESSIONS + "var branches = $.asv.main_json.params['branch'];",
    ),
)


def patched(script: str, patch: Patch) -> str:
    """The script with what the patch wants."""
    places = script.count(patch.old)
    if places != 1:
        raise DashboardError(f"asv's {patch.file} has {places} places of {patch.old}; 1 is wanted")
    return script.replace(patch.old, patch.new)
