"use strict";

/* The sections of the Compare page, each drawn from a record and a dtype. */
const Sections = (() => {
  const { chart, h, table } = Elements;
  const M = Measures;
  const FAMILY_SHAPES = { fastbp: "circle", reference: "square", numpy: "triangle", torch: "diamond", jax: "cross" };

  const section = (id, title, ...content) => h("section", { id }, h("h2", {}, title), ...content);
  const about = (...words) => h("p", { class: "muted" }, ...words);

  const legend = (series, ...others) =>
    h(
      "ul",
      { class: "legend" },
      [...series, ...others].map((each) => h("li", {}, Charts.swatch(each), each.title)),
    );

  const familySeries = (family) => ({
    title: M.familyTitle(family),
    colour: family in FAMILY_SHAPES ? family : "other",
    shape: FAMILY_SHAPES[family] ?? "star",
  });
  /* Before this commit, the peak was measured in bursts too short for the processor's clock to rise. */
  const BETTER_PEAK = Date.parse("2026-11-26T06:26:38+00:00");

  const LIMIT = { title: "limit of the machine", colour: "limit" };

  const threadsOf = ({ threads }) => (threads === null ? "auto threads" : `${threads} thread${threads > 1 ? "s" : ""}`);
  const detailOf = (each) => [each.variant, threadsOf(each)].filter(Boolean).join(", ");

  /* ---- the cases ---- */

  function casesSection(record, dtype) {
    const cases = record.cases.filter((entry) => entry.dtype === dtype);
    if (!cases.length) return null;
    return section("cases", "Layers", cases.map(caseSection));
  }

  /* The epochs of networks, where a record has them. */
  function networksSection(record, dtype) {
    const networks = (record.networks ?? []).filter((entry) => entry.dtype === dtype);
    if (!networks.length) return null;
    return section(
      "networks",
      "Networks",
      about("One call trains a network for an epoch, in batches of a new order, or for one step on all rows."),
      networks.map(caseSection),
    );
  }

  function caseSection(entry) {
    const best = M.bestOfFamilies(entry);
    const rows = M.ranking(entry).map((each) => {
      const isBest = best.some(({ label }) => label === each.label);
      const ratio = M.speedUp(entry, each.seconds);
      const name = [
        h("span", { class: `dot ${familySeries(each.family).colour}`, "aria-hidden": "true" }),
        `${each.name} `,
        isBest ? h("span", { class: "best", title: `the best of ${M.familyTitle(each.family)}` }, "best") : null,
      ];
      const threads = each.threads === null ? "auto" : String(each.threads);
      const cells = [
        name,
        threads,
        M.duration(each.seconds),
        ratio ? M.ratio(ratio) : "-",
        M.percent(entry.limit / each.seconds),
      ];
      return { cells, kind: [isBest ? "family-best" : "", each.family === "fastbp" ? "own" : ""].join(" ").trim() };
    });
    const titles = [
      ["implementation"],
      ["threads", true],
      ["time", true],
      ["vs NumPy", true],
      ["of the limit", true],
    ];
    const name = `${entry.name}, ${M.shape(entry)}`;
    const summary = best.map((each) => `${M.familyTitle(each.family)} ${M.duration(each.seconds)}`).join(", ");
    const draw = (width) =>
      Charts.dots(width, {
        label: `Time of one call of ${name}: ${summary}; the limit is ${M.duration(entry.limit)}`,
        xTitle: "time of one call, from the limit (log scale)",
        rows: best.map((each) => ({
          ...familySeries(each.family),
          detail: detailOf(each),
          value: each.seconds,
          label: M.duration(each.seconds),
        })),
        limit: entry.limit,
        limitLabel: `limit ${M.duration(entry.limit)}`,
        format: M.plainDuration,
      });
    return h(
      "section",
      { class: "case", "data-case": entry.case },
      h("h3", {}, entry.name, " ", h("span", { class: "shape" }, M.shape(entry))),
      h(
        "div",
        { class: "sides" },
        best.length ? chart("dots", draw) : h("p", {}, "Nothing was timed here."),
        best.length ? table(`All implementations on ${name}, the fastest first`, titles, rows) : null,
      ),
    );
  }

  /* ---- along one axis ---- */

  function scalingSection(record, dtype) {
    const all = record.scaling ?? [];
    const entries = all.filter((entry) => entry.dtype === dtype);
    if (!all.length) return null;
    if (!entries.length) {
      const others = [...new Set(all.map((entry) => entry.dtype))].join(" and ");
      return section("scaling", "Scaling", about(`Measured for ${others} only.`));
    }
    const axes = [...new Set(entries.map((entry) => entry.axis))];
    const families = familiesOf(entries);
    return section(
      "scaling",
      "Scaling",
      about(
        "Time of one call against one size, the others held; each family at its best for each size. Both axes are logarithmic.",
      ),
      legend(families.map(familySeries), LIMIT),
      h(
        "div",
        { class: "plots" },
        axes.map((axis) =>
          axisFigure(
            axis,
            entries.filter((entry) => entry.axis === axis),
          ),
        ),
      ),
    );
  }

  function familiesOf(entries) {
    const present = entries.flatMap((entry) => M.bestOfFamilies(entry).map((each) => each.family));
    const order = Object.keys(FAMILY_SHAPES);
    const rank = (family) => (order.includes(family) ? order.indexOf(family) : order.length);
    return [...new Set(present)].sort((a, b) => rank(a) - rank(b));
  }

  function axisFigure(axis, unsorted) {
    const entries = [...unsorted].sort((a, b) => a.size - b.size);
    const families = familiesOf(entries);
    const bestAt = (entry, family) => M.bestOf(entry, family);
    const series = families.map((family) => ({
      ...familySeries(family),
      points: entries
        .map((entry) => ({ entry, best: bestAt(entry, family) }))
        .filter(({ best }) => best)
        .map(({ entry, best }) => ({
          x: entry.size,
          y: best.seconds,
          label: `${best.label}: ${M.duration(best.seconds)} at ${M.grouped(entry.size)} ${axis}`,
        })),
    }));
    const rest = ["rows", "inputs", "outputs"]
      .filter((name) => name !== axis)
      .map((name) => `${M.grouped(entries[0][name])} ${name}`)
      .join(", ");
    const range = `${M.grouped(entries[0].size)} to ${M.grouped(entries.at(-1).size)} ${axis}`;
    const draw = (width) =>
      Charts.lines(width, 280, {
        label: `Time of one call from ${range}, for ${families.map(M.familyTitle).join(", ")}, and the limit`,
        xTitle: axis,
        positions: entries.map((entry) => ({ x: entry.size, label: M.count(entry.size) })),
        series,
        limit: entries.map((entry) => ({ x: entry.size, y: entry.limit })),
        format: M.plainDuration,
      });
    const titles = [[axis], ...families.map((family) => [M.familyTitle(family), true]), ["limit", true]];
    const rows = entries.map((entry) => ({
      cells: [
        M.count(entry.size),
        ...families.map((family) => (bestAt(entry, family) ? M.duration(bestAt(entry, family).seconds) : "-")),
        M.duration(entry.limit),
      ],
    }));
    return h(
      "figure",
      { "data-axis": axis },
      h("figcaption", {}, h("strong", {}, `By ${axis}`), " ", h("span", { class: "shape" }, rest)),
      chart("lines", draw),
      h("details", {}, h("summary", {}, `Numbers by ${axis}`), table(`Time of one call by ${axis}`, titles, rows)),
    );
  }

  /* ---- over commits ---- */

  function historySection(records, record, dtype) {
    const history = records.filter((each) => each.machine.name === record.machine.name).reverse();
    const figures = [
      historyFigure("Layers", history, record, dtype, (each) => each.cases),
      historyFigure("Networks", history, record, dtype, (each) => each.networks ?? []),
    ].filter(Boolean);
    if (!figures.length) return null;
    return section(
      "history",
      "Over commits",
      about(
        `The speed-up of fastbp over NumPy on ${record.machine.name}, both at their best, on a log scale. `,
        "A commit leads to its comparison.",
      ),
      figures,
    );
  }

  /* The speed-up at each commit that has one, of the cases or networks that the record has. */
  function historyFigure(title, history, record, dtype, entriesOf) {
    const speedUpAt = (commit, { case: name }) => {
      const same = entriesOf(commit).find((other) => other.case === name);
      const own = same && M.bestOf(same, "fastbp");
      return own && M.speedUp(same, own.seconds);
    };
    const isTimed = (entry) => history.some((commit) => speedUpAt(commit, entry));
    const entries = entriesOf(record).filter((entry) => entry.dtype === dtype && isTimed(entry));
    const commits = history.filter((commit) => entries.some((entry) => speedUpAt(commit, entry)));
    if (commits.length < 2) return null;
    const series = entries.map((entry, i) => ({
      title: "inputs" in entry ? `${entry.name} ${M.shape(entry)}` : entry.name, // a network's takes a line
      colour: `c${i % 8}`,
      shape: Charts.SHAPES[i % Charts.SHAPES.length],
      points: commits
        .map((commit) => ({ commit, ratio: speedUpAt(commit, entry) }))
        .filter(({ ratio }) => ratio)
        .map(({ commit, ratio }) => ({
          x: commit.commit,
          y: ratio,
          label: `${entry.name} at ${M.shortHash(commit.commit)}: ${M.ratio(ratio)}`,
        })),
    }));
    const titles = series.map((each) => each.title).join("; ");
    const draw = (width) =>
      Charts.lines(width, 300, {
        label: `fastbp's speed-up over NumPy at ${commits.length} commits, for ${titles}`,
        xTitle: "commit, the newest at the right",
        positions: commits.map((each) => ({
          x: each.commit,
          label: M.shortHash(each.commit),
          href: M.address(each, dtype),
          current: each === record,
        })),
        even: true,
        series,
        format: (value) => `${value}\u00d7`,
      });
    const rows = [...commits].reverse().map((commit) => ({
      cells: [
        h("a", { href: M.address(commit, dtype) }, M.shortHash(commit.commit)),
        ...entries.map((entry) => {
          const ratio = speedUpAt(commit, entry);
          return ratio ? M.ratio(ratio) : "-";
        }),
      ],
      kind: commit === record ? "own" : "",
    }));
    const columns = [["commit"], ...entries.map((entry) => [entry.name, true])];
    const name = title.toLowerCase();
    return h(
      "figure",
      { "data-history": name },
      h("figcaption", {}, h("strong", {}, title)),
      legend(series),
      chart("lines", draw),
      h(
        "details",
        {},
        h("summary", {}, `Numbers of ${name} by commit`),
        table(`Speed-up over NumPy by commit, of ${name}, the newest first`, columns, rows),
      ),
    );
  }

  /* ---- what it was measured on ---- */

  function environmentSection(record) {
    const { machine, limits } = record;
    const settings = Object.entries(machine.environment ?? {}).map(([name, value]) => `${name}=${value}`);
    const pairs = (object) =>
      Object.entries(object ?? {}).map(([name, value]) => h("span", { class: "pair" }, `${name} ${value}`));
    const facts = [
      ["Processor", `${machine.cpu} (${machine.microarchitecture})`],
      [
        "System",
        `${machine.system}, ${machine.architecture}, ${machine.threads} thread${machine.threads > 1 ? "s" : ""}`,
      ],
      [
        "Peak",
        Object.entries(limits.peak).map(([dtype, peak]) =>
          h("span", { class: "pair" }, `${M.rate(peak, "flop/s")} ${dtype}`),
        ),
      ],
      ["Read bandwidth", M.rate(limits.bandwidth, "B/s")],
      ["Versions", pairs(record.versions)],
      ["BLAS", pairs(record.blas)],
      ["Thread settings", settings.length ? settings.map((each) => h("code", { class: "pair" }, each)) : "none"],
      ["Measured", `${M.utc(record.measured)} UTC`],
    ];
    const errors = (record.errors ?? []).map((error) => h("li", {}, error));
    return section(
      "environment",
      "Measured on",
      h(
        "dl",
        {},
        facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
      ),
      leftOut("layers", record.missing),
      record.networks ? leftOut("networks", record.not_in_networks) : null,
      errors.length ? h("div", { class: "notice" }, h("h3", {}, "Errors"), h("ul", { id: "errors" }, errors)) : null,
    );
  }

  /* What took no part in the comparison of a subject, each reason said once. */
  function leftOut(subject, missing = {}) {
    const byReason = new Map();
    for (const [name, reason] of Object.entries(missing)) {
      byReason.set(reason, [...(byReason.get(reason) ?? []), name]);
    }
    const reasons = [...byReason].map(([reason, names]) =>
      h("li", {}, h("strong", {}, names.join(", ")), `: ${reason}`),
    );
    if (!reasons.length) return null;
    return [h("h3", {}, `Not compared for ${subject}`), h("ul", { id: `left-out-of-${subject}` }, reasons)];
  }

  function peakNotice({ date }) {
    if (Date.parse(date) >= BETTER_PEAK) return null;
    return h(
      "p",
      { class: "notice", id: "older-peak" },
      "The peak of this record is up to a fifth too low, and shares of limits set by it are as much too high; " +
        "limits set by bandwidth are not affected.",
    );
  }

  /* All that there is to show of the record for the dtype. */
  function all(records, record, dtype) {
    const sections = [
      peakNotice(record),
      casesSection(record, dtype),
      networksSection(record, dtype),
      scalingSection(record, dtype),
      historySection(records, record, dtype),
      environmentSection(record),
    ];
    return sections.filter(Boolean);
  }

  return { all };
})();
