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

# asv draws bars along an axis of names, and its library places those of several lines side by side by the width of a
# name: at no number. Even with a place, a bar says nothing on a log scale. So: points, each name in the middle of its
# place.
BARS = """\
options.series = {
                    bars: {
                        show: true,
                        barWidth: 0.6 / graphs.length,
                        align: "center"
                    }
                };
"""

POINTS_BY_NAME = """\
var names = {};
                $.each(orig_graphs, function(i, graph) {
                    $.each(graph.data, function(j, point) {
                        if (point[1] !== null) names[point[0]] = true;
                    });
                });
                var places = Math.max(obj_length(names), 1);
                options.xaxis.min = -0.5;
                options.xaxis.max = places - 0.5;
                options.xaxis.labelWidth = Math.min(Math.floor(0.8 * $('#main-graph').width() / places), 100);
                options.series = {points: {show: true, radius: 4}, shadowSize: 0};
"""

# Sizes grow by factors: on a linear axis, all but the largest lie on one spot.
SIZES_APART = """\
options.xaxis.axisLabel = param_names[x_coordinate_axis-1];
            var sizes = $.asv.main_json.benchmarks[current_benchmark].params[x_coordinate_axis-1].map(Number);
            if (!x_coordinate_is_category && sizes.every(function(size) { return size > 0; })) {
                options.xaxis.ticks = sizes.map(function(size) { return [size, String(size)]; });
                options.xaxis.transform = Math.log;
                options.xaxis.inverseTransform = Math.exp;
            }
"""

# A place on such an axis is no revision, though asv takes it for one, and finds a commit that has nothing to do with
# the point.
NO_REVISION = """\
if (x_coordinate_axis != 0) {
            return null;
        }
        if (date_scale) {
            x = date_to_revision[x];"""

PATCHES = (
    Patch("graphdisplay.js", "if (params['y-axis-scale']) {", SCALE_OF_THE_ADDRESS + "if (params['y-axis-scale']) {"),
    Patch("graphdisplay.js", "log_scale ? ['log']: []", "[log_scale ? 'log' : 'linear']"),
    Patch("graphdisplay.js", "zoom_y_axis ? ['zoom'] : []", "[zoom_y_axis ? 'zoom' : 'linear']"),
    Patch("graphdisplay.js", BARS, POINTS_BY_NAME),
    Patch("graphdisplay.js", "options.xaxis.axisLabel = param_names[x_coordinate_axis-1];\n", SIZES_APART),
    Patch("graphdisplay.js", "if (date_scale) {\n            x = date_to_revision[x];", NO_REVISION),
    Patch(
        "graphdisplay.js",
        "if (commit_hash) {",
        "var where = commit_hash || $('<span>').text(item.series.label).html();\n                    if (where) {",
    ),
    Patch("graphdisplay.js", '" @ " + commit_hash);', '" @ " + where);'),
    Patch(
        "graphdisplay.js",
        "if (previous_hash !== commit_hash) {",
        "if (commit_hash && previous_hash !== commit_hash) {",
    ),
    # The name of the x axis stood on the lowest line of the canvas, without room for what hangs below a line, and where
    # a screen has several dots to a pixel, below the canvas.
    Patch(
        "jquery.flot.axislabels.js",
        "y = plot.getCanvas().height;",
        "y = plot.getPlaceholder().height() - height / 4;",
    ),
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
