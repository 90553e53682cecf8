"use strict";

/* The Compare page: what is picked, kept in the address, and shown from the records in compare-data.js. */
(() => {
  const { h } = Elements;
  const pickers = ["machine", "commit", "dtype"].map((id) => document.getElementById(id));
  const [machinePicker, commitPicker, dtypePicker] = pickers;
  const chosen = document.getElementById("chosen");
  const comparison = document.getElementById("comparison");
  const records = window.FASTBP_RECORDS ?? [];

  const dtypesOf = ({ cases, scaling = [], networks = [] }) =>
    [...new Set([...cases, ...scaling, ...networks].map((entry) => entry.dtype))].sort();

  /* The nearest choice that there is to what is asked for, the newest where nothing fits, and what there is not. */
  function choose(wanted) {
    const isMachine = (each) => each.machine.name === wanted.machine;
    const isCommit = (each) => wanted.commit && each.commit.startsWith(wanted.commit);
    const known = records.find(isMachine) ?? records.find(isCommit) ?? records[0];
    const candidates = records.filter((each) => each.machine.name === known.machine.name);
    const record = candidates.find(isCommit) ?? candidates[0];
    const dtypes = dtypesOf(record);
    const dtype = dtypes.includes(wanted.dtype) ? wanted.dtype : dtypes[0];
    const absent = [
      wanted.machine && !isMachine(record) ? `machine ${wanted.machine}` : "",
      wanted.commit && !isCommit(record) ? `commit ${wanted.commit}` : "",
      wanted.dtype && dtype !== wanted.dtype ? wanted.dtype : "",
    ].filter(Boolean);
    return { record, dtype, absent };
  }

  const address = ({ record, dtype }) =>
    `#${new URLSearchParams({ machine: record.machine.name, commit: record.commit.slice(0, 10), dtype })}`;

  const picked = () => Object.fromEntries(pickers.map((picker) => [picker.id, picker.value]));

  function fill(picker, options, value) {
    picker.replaceChildren(...options.map(([key, title]) => h("option", { value: key }, title)));
    picker.value = value;
  }

  function show(choice) {
    const { record, dtype, absent } = choice;
    const machines = [...new Set(records.map((each) => each.machine.name))].sort();
    const commits = records.filter((each) => each.machine.name === record.machine.name);
    const shortened = (subject) => (subject.length > 60 ? `${subject.slice(0, 59)}…` : subject);
    const commitTitle = (each) =>
      `${Measures.shortHash(each.commit)} · ${Measures.day(each.date)} · ${shortened(each.subject)}`;
    fill(
      machinePicker,
      machines.map((name) => [name, name]),
      record.machine.name,
    );
    fill(
      commitPicker,
      commits.map((each) => [each.commit, commitTitle(each)]),
      record.commit,
    );
    fill(
      dtypePicker,
      dtypesOf(record).map((each) => [each, each]),
      dtype,
    );
    chosen.replaceChildren(h("code", {}, Measures.shortHash(record.commit)), ` ${record.subject}`);
    comparison.replaceChildren(...Sections.all(records, record, dtype));
    if (absent.length) {
      const what = absent.join(", ");
      comparison.prepend(h("p", { class: "notice", id: "absent" }, `No comparison of ${what}: this is the nearest.`));
    }
  }

  function showAddress() {
    const wanted = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    show(choose(wanted));
  }

  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address keeps what is picked
    document.getElementById("main").focus();
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
    location.hash = address(choose(picked()));
  });
  window.addEventListener("hashchange", showAddress);
  showAddress();
})();
