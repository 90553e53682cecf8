"use strict";

/* The Compare page: what is picked, kept in the address, and shown from the records in compare-data.js. */
(() => {
  const { h } = Elements;
  const pickers = ["machine", "commit", "dtype"].map((id) => document.getElementById(id));
  const [machinePicker, commitPicker, dtypePicker] = pickers;
  const chosen = document.getElementById("chosen");
  const comparison = document.getElementById("comparison");
  const records = window.FASTBP_RECORDS ?? [];
  const history = window.FASTBP_HISTORY ?? { newest: null, later: {}, measured: [] };

  const dtypesOf = ({ cases, scaling = [], networks = [] }) =>
    [...new Set([...cases, ...scaling, ...networks].map((entry) => entry.dtype))].sort();

  const time = (each) => Date.parse(each.date);

  /* The record of the commit nearest in time; the newest where the time is not known. */
  function nearest(candidates, commit) {
    const apart = (each) => Math.abs(time(each) - time(commit));
    return commit ? candidates.reduce((best, each) => (apart(each) < apart(best) ? each : best)) : candidates[0];
  }

  /* The choice that there is to what is asked for, and, where it is another, why. */
  function choose(wanted) {
    const isMachine = (each) => each.machine.name === wanted.machine;
    const isCommit = (each) => wanted.commit && each.commit.startsWith(wanted.commit);
    const measured = history.measured.find(isCommit);
    const commit = records.find(isCommit) ?? measured;
    const candidates = [
      records.filter(isMachine),
      records.filter(isCommit),
      records.filter((each) => measured?.machines.includes(each.machine.name)),
      records,
    ].find((each) => each.length);
    const record = candidates.find(isCommit) ?? nearest(candidates, commit);
    const dtypes = dtypesOf(record);
    const dtype = dtypes.includes(wanted.dtype) ? wanted.dtype : dtypes[0];
    return { record, dtype, notices: notices(wanted, record, dtype, commit) };
  }

  /* What is shown instead of what is asked for; `commit` is what is known of the one asked for, if anything. */
  function notices(wanted, record, dtype, commit) {
    const { name } = record.machine;
    const said = [];
    if (wanted.machine && wanted.machine !== name) {
      said.push(`Nothing was compared on ${wanted.machine}. Shown: ${name}.`);
    }
    if (wanted.commit && !record.commit.startsWith(wanted.commit)) {
      const missing = records.includes(commit) ? `not compared on ${name}` : "measured by asv, without a comparison";
      const what = commit ? `${Measures.about(commit)}: ${missing}.` : `Nothing is known of commit ${wanted.commit}.`;
      const shown = Measures.shortHash(record.commit);
      said.push(`${what} Shown: ${shown}, the ${commit ? "nearest" : "newest"} on ${name}.`);
    }
    if (wanted.dtype && wanted.dtype !== dtype) said.push(`No comparison of ${wanted.dtype}. Shown: ${dtype}.`);
    return said;
  }

  /* How far the branch has come since. */
  function since({ commit }) {
    const { newest, later } = history;
    if (!newest || !(commit in later)) return "";
    const commits = `commit${later[commit] === 1 ? "" : "s"}`;
    return later[commit]
      ? `, ${Measures.grouped(later[commit])} ${commits} before the newest (${Measures.shortHash(newest)})`
      : ", the newest";
  }

  const picked = () => Object.fromEntries(pickers.map((picker) => [picker.id, picker.value]));

  function fill(picker, options, value) {
    picker.replaceChildren(...options.map(([key, title]) => h("option", { value: key }, title)));
    picker.value = value;
  }

  function show(choice) {
    const { record, dtype, notices } = choice;
    const machines = [...new Set(records.map((each) => each.machine.name))].sort();
    const commits = records.filter((each) => each.machine.name === record.machine.name);
    fill(
      machinePicker,
      machines.map((name) => [name, name]),
      record.machine.name,
    );
    fill(
      commitPicker,
      commits.map((each) => [each.commit, Measures.about(each)]),
      record.commit,
    );
    fill(
      dtypePicker,
      dtypesOf(record).map((each) => [each, each]),
      dtype,
    );
    const hash = h("code", {}, Measures.shortHash(record.commit));
    chosen.replaceChildren(hash, `${since(record)}: ${record.subject}`);
    comparison.replaceChildren(...Sections.all(records, record, dtype));
    if (notices.length) {
      const said = notices.map((notice) => h("div", {}, notice));
      comparison.prepend(h("div", { class: "notice", id: "absent" }, said));
    }
  }

  function showAddress() {
    const wanted = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    show(choose(wanted));
  }

  const main = document.getElementById("main");

  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address keeps what is picked
    main.focus();
  });

  // The link to another comparison leads to its beginning: this page stays, and the link itself is drawn anew.
  comparison.addEventListener("click", ({ target, ctrlKey, metaKey, shiftKey }) => {
    if (!target.closest("a") || ctrlKey || metaKey || shiftKey) return; // opened elsewhere
    main.focus({ preventScroll: true });
    main.scrollIntoView();
  });

  if (!records.length) {
    chosen.hidden = true;
    comparison.append(
      h(
        "p",
        { class: "notice" },
        "Nothing has been compared yet. Records of comparisons appear here when the dashboard is published with them.",
      ),
    );
    return;
  }
  const form = document.getElementById("pickers");
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => {
    const { record, dtype } = choose(picked());
    location.hash = Measures.address(record, dtype);
  });
  window.addEventListener("hashchange", showAddress);
  showAddress();
})();
