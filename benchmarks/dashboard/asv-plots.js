"use strict";

/*
 * asv's plots: no line and no name without a point, and the names below the plot rather than on it. Loaded before
 * asv's scripts, which draw all they show with jQuery.plot.
 */
{
  const plot = jQuery.plot;
  const isMeasured = ({ data }) => data.some((point) => (point?.[1] ?? null) !== null);

  const draw = (place, series, options) => {
    const measured = series.filter(isMeasured);
    if (!jQuery(place).is("#main-graph")) return plot(place, measured, options);
    const legend = { ...options.legend, container: "#legend", sorted: "ascending" };
    plot(place, measured, { ...options, legend }); // fills the legend, which takes room from the plot
    const drawn = plot(place, measured, { ...options, legend });
    if (!measured.length) jQuery(place).append(jQuery("<p>", { id: "not-measured", text: "Not measured" }));
    return drawn;
  };

  jQuery.plot = Object.assign(draw, plot);
}
