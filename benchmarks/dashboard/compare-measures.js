"use strict";

/* What the records say, and how numbers are written: no page, no drawing. Times are in seconds. */
const Measures = (() => {
  const TITLES = {
    fastbp: "fastbp",
    reference: "reference",
    numpy: "NumPy",
    torch: "PyTorch",
    jax: "JAX",
    "scikit-learn": "scikit-learn",
  };
  const ORDER = Object.keys(TITLES);

  const known = (family) => (ORDER.includes(family) ? ORDER.indexOf(family) : ORDER.length);
  const familyTitle = (family) => TITLES[family] ?? family;

  /* "torch compile, 2 threads" is the implementation "torch compile" of the family "torch" on 2 threads. */
  function implementation(label) {
    const [, name, threads] = label.match(/^(.*?)(?:, (\d+) threads?)?$/);
    const [family, ...rest] = name.split(" ");
    return { label, name, family, variant: rest.join(" "), threads: threads ? Number(threads) : null };
  }

  /* The implementations of a case, the fastest first. */
  function ranking(entry) {
    return Object.entries(entry.medians)
      .filter(([, seconds]) => Number.isFinite(seconds))
      .map(([label, seconds]) => ({ ...implementation(label), seconds }))
      .sort((a, b) => a.seconds - b.seconds);
  }

  /* The fastest of each family, in the order of the families. */
  function bestOfFamilies(entry) {
    const best = new Map();
    for (const each of ranking(entry)) if (!best.has(each.family)) best.set(each.family, each);
    return [...best.values()].sort((a, b) => known(a.family) - known(b.family));
  }

  const bestOf = (entry, family) => ranking(entry).find((each) => each.family === family) ?? null;

  /* How many times as fast as NumPy's best this time is; null where that was not timed. */
  function speedUp(entry, seconds) {
    const other = bestOf(entry, "numpy");
    return other && other.seconds / seconds;
  }

  const digits = (value) => Number(value.toPrecision(3));

  /* Three digits, with thousands set apart. */
  function number(value) {
    const rounded = digits(value);
    if (rounded === 0) return "0";
    if (rounded >= 100) return grouped(rounded);
    return rounded.toPrecision(3);
  }

  const UNITS = [
    ["s", 1],
    ["ms", 1e-3],
    ["µs", 1e-6],
    ["ns", 1e-9],
  ];

  /* A time and its unit; `write` writes the number. */
  function duration(seconds, write = number) {
    const rounded = digits(seconds);
    const [unit, size] = UNITS.find(([, each]) => rounded >= each * (1 - 1e-9)) ?? UNITS.at(-1);
    return `${write(seconds / size)}\u00a0${unit}`;
  }

  const plainDuration = (seconds) => duration(seconds, (value) => String(digits(value)));

  const ratio = (value) => `${number(value)}\u00d7`;
  /* Two digits are enough of less than 1 %: a third is a column too wide for a phone. */
  const percent = (share) => `${share < 0.01 ? (100 * share).toPrecision(2) : number(100 * share)}\u00a0%`;

  function rate(perSecond, unit) {
    const [prefix, size] = [
      ["T", 1e12],
      ["G", 1e9],
      ["M", 1e6],
    ].find(([, each]) => perSecond >= each) ?? ["", 1];
    return `${number(perSecond / size)}\u00a0${prefix}${unit}`;
  }

  /* A whole number, with thousands set apart. */
  const grouped = (value) => value.toLocaleString("en");

  /* 1000 as 1k, 60000 as 60k, 1797 as 1,797. */
  function count(value) {
    if (value >= 1e6 && value % 1e5 === 0) return `${value / 1e6}M`;
    return value >= 1000 && value % 100 === 0 ? `${value / 1000}k` : grouped(value);
  }

  /* Of a layer from its figures; a network's is described in words, and written alike. */
  function shape(entry) {
    if (!("inputs" in entry)) return entry.shape.replace(/(?<![.\d])\d{4,}/g, (digits) => grouped(Number(digits)));
    const [rows, inputs, outputs, steps] = [entry.rows, entry.inputs, entry.outputs, entry.steps].map(grouped);
    return `${rows} × ${inputs} → ${outputs}${entry.steps > 1 ? `, ${steps} steps` : ""}`;
  }

  const utc = (date) => new Date(date).toISOString().slice(0, 16).replace("T", " ");
  const day = (date) => utc(date).slice(0, 10);
  const shortHash = (commit) => commit.slice(0, 8); // as on asv's pages

  /* The comparison of a commit on a machine, as the page's address names it. */
  const address = ({ machine, commit }, dtype) =>
    `#${new URLSearchParams({ machine: machine.name, commit: commit.slice(0, 10), dtype })}`;

  /* A commit on a line. */
  function about({ commit, date, subject }) {
    const shortened = subject.length > 60 ? `${subject.slice(0, 59)}…` : subject;
    return [shortHash(commit), day(date), shortened].filter(Boolean).join(" · ");
  }

  return {
    about,
    address,
    bestOf,
    bestOfFamilies,
    count,
    duration,
    familyTitle,
    grouped,
    implementation,
    number,
    percent,
    plainDuration,
    ranking,
    rate,
    ratio,
    shape,
    shortHash,
    speedUp,
    utc,
  };
})();
