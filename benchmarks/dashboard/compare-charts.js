"use strict";

/* Charts on logarithmic scales, as SVG drawn to the width of their place; colours come from compare.css. */
const Charts = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const FONT = 12;
  const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "pentagon", "star", "nabla"];

  function element(name, attributes = {}, ...children) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  const text = (content, x, y, attributes = {}) => element("text", { x, y, ...attributes }, content);
  const line = (x1, y1, x2, y2, kind) => element("line", { x1, y1, x2, y2, class: kind });
  const titled = (node, title) => (node.append(element("title", {}, title)), node);

  const canvas = document.createElement("canvas").getContext("2d");

  /* In pixels, in the page's font. */
  function textWidth(content, weight = 400) {
    canvas.font = `${weight} ${FONT}px ${getComputedStyle(document.body).fontFamily}`;
    return Math.ceil(canvas.measureText(content).width);
  }

  /* 1, 2 and 5 times powers of ten, on either side of what they enclose. */
  function roundDown(value) {
    const power = 10 ** Math.floor(Math.log10(value) + 1e-9);
    return power * [5, 2, 1].find((each) => each * power <= value * (1 + 1e-9));
  }

  function roundUp(value) {
    const power = 10 ** Math.floor(Math.log10(value) + 1e-9);
    return power * [1, 2, 5, 10].find((each) => each * power >= value * (1 - 1e-9));
  }

  function logScale(lowest, highest, from, to) {
    const span = Math.log(highest / lowest);
    return (value) => (span ? from + ((to - from) * Math.log(value / lowest)) / span : (from + to) / 2);
  }

  /* Round values from lowest to highest, as many as leave `apart` pixels from one to the next. */
  function ticks(lowest, highest, scale, apart) {
    for (const [mantissas, every] of [
      [[1, 2, 5], 1],
      [[1, 3], 1],
      [[1], 1],
      [[1], 2],
      [[1], 3],
      [[1], 6],
    ]) {
      const values = [];
      for (let power = Math.floor(Math.log10(lowest)) - 1; power <= Math.ceil(Math.log10(highest)); power++) {
        if (power % every !== 0) continue;
        for (const mantissa of mantissas) {
          const value = Number(`${mantissa}e${power}`);
          if (value >= lowest * (1 - 1e-9) && value <= highest * (1 + 1e-9)) values.push(value);
        }
      }
      const places = values.map(scale);
      if (places.every((place, i) => i === 0 || Math.abs(place - places[i - 1]) >= apart)) return values;
    }
    return [lowest, highest];
  }

  /* A picture, or a group where there are links in it. */
  function frame(width, height, label, role = "img") {
    return element("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role, "aria-label": label });
  }

  /* The node, leading to the address if there is one. */
  const linked = (node, href, attributes = {}) => (href ? element("a", { href, ...attributes }, node) : node);

  /* The outline of a marker around (x, y). */
  function outline(shape, x, y, r) {
    const corners = (angles, radius = () => r) =>
      angles.map((angle, i) => [x + radius(i) * Math.sin(angle), y - radius(i) * Math.cos(angle)]);
    const turns = (n, start = 0) => Array.from({ length: n }, (_, i) => start + (2 * Math.PI * i) / n);
    const points = {
      square: () => corners(turns(4, Math.PI / 4), () => r * 1.25),
      triangle: () => corners(turns(3), () => r * 1.35),
      nabla: () => corners(turns(3, Math.PI), () => r * 1.35),
      diamond: () => corners(turns(4), () => r * 1.35),
      pentagon: () => corners(turns(5), () => r * 1.2),
      star: () => corners(turns(10), (i) => (i % 2 ? r * 0.6 : r * 1.5)),
    };
    if (shape === "circle") return `M${x - r},${y}a${r},${r} 0 1 0 ${2 * r},0a${r},${r} 0 1 0 ${-2 * r},0z`;
    if (shape === "cross") {
      const [a, b] = [r * 1.3, r * 0.5];
      const arms = [
        [-b, -a],
        [b, -a],
        [b, -b],
        [a, -b],
        [a, b],
        [b, b],
        [b, a],
        [-b, a],
        [-b, b],
        [-a, b],
        [-a, -b],
        [-b, -b],
      ];
      return `M${arms.map(([dx, dy]) => `${x + dx},${y + dy}`).join("L")}z`;
    }
    return `M${points[shape]().join("L")}z`;
  }

  const marker = (series, x, y, r = 4) =>
    element("path", { d: outline(series.shape, x, y, r), class: `marker ${series.colour}` });

  /* One marker on a piece of its line, for a legend. */
  function swatch(series) {
    const node = element("svg", { width: 28, height: 14, viewBox: "0 0 28 14", "aria-hidden": "true" });
    node.append(line(1, 7, 27, 7, `series ${series.colour}`));
    if (series.shape) node.append(marker(series, 14, 7));
    return node;
  }

  /*
   * One marker for each row {title, detail, colour, shape, value, label}, and the limit as a line across them. From the
   * limit, a stem leads to each marker: where a logarithmic axis begins says nothing, and a length from there would say
   * as little; from the limit, it is the ratio to it. Names stand left of the plot where there is room, above their
   * markers where there is not.
   */
  function dots(width, { label, xTitle, rows, limit, limitLabel, format }) {
    const narrow = width < 420;
    const [top, left, bottom] = [24, narrow ? 0 : 146, 44];
    const pitch = narrow ? 46 : 42;
    const radius = 6;
    const apart = 2 * radius; // from a marker to its label
    const right = Math.max(...rows.map((row) => textWidth(row.label, 600))) + apart + 6;
    const height = top + rows.length * pitch + bottom;
    const values = [limit, ...rows.map((row) => row.value)];
    const [lowest, highest] = [roundDown(Math.min(...values) * 0.8), Math.max(...values)];
    const scale = logScale(lowest, highest, left, width - right);
    const limitX = scale(limit);
    const end = height - bottom;
    const svg = frame(width, height, label);

    for (const tick of ticks(lowest, highest, scale, 56)) {
      const name = format(tick);
      const x = scale(tick);
      const anchor = x - textWidth(name) / 2 < 0 ? "start" : "middle";
      svg.append(line(x, top, x, end, "grid"), text(name, x, end + 17, { "text-anchor": anchor, class: "tick" }));
    }
    svg.append(text(xTitle, (left + width - right) / 2, height - 6, { "text-anchor": "middle", class: "detail" }));
    const [stems, markers, names] = [[], [], []];
    const middle = (i) => top + i * pitch + (narrow ? 34 : pitch / 2);
    rows.forEach((row, i) => {
      const y = middle(i);
      const x = scale(row.value);
      const title = `${row.title}${row.detail ? ` (${row.detail})` : ""}: ${row.label}`;
      stems.push(titled(line(limitX, y, x, y, `stem ${row.colour}`), title));
      markers.push(titled(marker(row, x, y, radius), title));
      // What is faster than the limit lies left of it, and its stem where its label would stand.
      names.push(text(row.label, Math.max(x, limitX) + apart, y + 4, { class: "value" }));
      if (narrow) {
        const name = text(row.title, 0, y - 14, { class: "name" });
        if (row.detail) name.append(element("tspan", { class: "detail", dx: 6 }, row.detail));
        names.push(name);
      } else {
        names.push(text(row.title, left - 12, y + (row.detail ? -3 : 4), { "text-anchor": "end", class: "name" }));
        if (row.detail) names.push(text(row.detail, left - 12, y + 12, { "text-anchor": "end", class: "detail" }));
      }
    });
    const room = limitX + textWidth(limitLabel) < width;
    // Above the markers stand their names: there, the line is broken.
    const broken = rows.map((_, i) => [middle(i) - 10, middle(i) + 10]);
    const pieces = narrow ? [[top - 6, top + 4], ...broken] : [[top - 6, end]];
    svg.append(
      ...stems,
      ...pieces.map(([from, to]) => line(limitX, from, limitX, to, "limit")),
      text(limitLabel, room ? limitX : width, 12, { "text-anchor": room ? "start" : "end", class: "detail" }),
      ...markers,
      ...names,
    );
    return svg;
  }

  /*
   * A line with markers for each series {title, colour, shape, points: [{x, y, label}]}, and the limit, points as
   * well, as a dashed line. `positions` are the sizes or commits on the x axis, [{x, label}]; the label and the points
   * of one with `href` lead there, and the one with `current` stands out.
   */
  function lines(width, height, { label, xTitle, positions, even, series, limit = [], format }) {
    const every = [...series.flatMap((each) => each.points), ...limit];
    const values = every.map((point) => point.y);
    const [lowest, highest] = [roundDown(Math.min(...values)), roundUp(Math.max(...values) * 1.05)];
    const [top, bottom, right] = [10, 44, 18];
    const y = logScale(lowest, highest, height - bottom, top);
    const yTicks = ticks(lowest, highest, y, 24);
    const left = Math.max(...yTicks.map((tick) => textWidth(format(tick)))) + 12;
    const xs = positions.map((position) => position.x);
    const labelWidth = ({ label, current }) => textWidth(label, current ? 600 : 400);
    const margin = Math.max(10, labelWidth(positions.at(-1)) / 2 - right);
    const across = [left + margin, width - right - margin];
    const x = even
      ? (value) =>
          xs.length > 1
            ? across[0] + ((across[1] - across[0]) * xs.indexOf(value)) / (xs.length - 1)
            : (across[0] + across[1]) / 2
      : logScale(Math.min(...xs), Math.max(...xs), ...across);
    const href = new Map(positions.map((position) => [position.x, position.href]));
    const svg = frame(width, height, label, positions.some((position) => position.href) ? "group" : "img");

    for (const tick of yTicks) {
      svg.append(line(left, y(tick), width - right, y(tick), "grid"));
      svg.append(text(format(tick), left - 8, y(tick) + 4, { "text-anchor": "end", class: "tick" }));
    }
    let free = -Infinity;
    for (const position of positions) {
      const place = x(position.x);
      svg.append(line(place, height - bottom, place, height - bottom + 4, "axis"));
      const half = labelWidth(position) / 2;
      if (place - half < free) continue;
      const name = text(position.label, place, height - bottom + 18, { "text-anchor": "middle", class: "tick" });
      svg.append(linked(name, position.href, position.current ? { "aria-current": "page" } : {}));
      free = place + half + 6;
    }
    svg.append(line(left, height - bottom, width - right, height - bottom, "axis"));
    svg.append(text(xTitle, (left + width - right) / 2, height - 6, { "text-anchor": "middle", class: "detail" }));

    const path = (points) => `M${points.map((point) => `${x(point.x)},${y(point.y)}`).join("L")}`;
    if (limit.length) svg.append(element("path", { d: path(limit), class: "limit" }));
    for (const each of [...series].reverse())
      svg.append(element("path", { d: path(each.points), class: `series ${each.colour}` }));
    for (const each of [...series].reverse()) {
      for (const point of each.points) {
        const drawn = titled(marker(each, x(point.x), y(point.y)), point.label);
        svg.append(linked(drawn, href.get(point.x), { tabindex: -1 })); // a commit's label is enough for the keyboard
      }
    }
    return svg;
  }

  return { SHAPES, dots, lines, swatch };
})();
