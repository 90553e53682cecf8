"use strict";

/* The parts of a page: elements, tables, and places that follow their width. */
const Elements = (() => {
  function h(name, attributes = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children.flat().filter((child) => child !== null));
    return node;
  }

  function table(caption, titles, rows) {
    const head = titles.map(([title, numeric]) => h("th", { scope: "col", class: numeric ? "number" : "" }, title));
    const body = rows.map(({ cells: [name, ...cells], kind = "" }) =>
      h(
        "tr",
        { class: kind },
        h("th", { scope: "row" }, name),
        cells.map((cell) => h("td", { class: "number" }, cell)),
      ),
    );
    return scrolling(
      caption,
      h(
        "table",
        {},
        h("caption", { class: "hidden" }, caption),
        h("thead", {}, h("tr", {}, head)),
        h("tbody", {}, body),
      ),
    );
  }

  /* What is wider than the page scrolls in a place of its own, and can be reached from the keyboard when it does. */
  function scrolling(label, content) {
    const place = h("div", { class: "scroll", role: "region", "aria-label": label }, content);
    resized.observe(place);
    onResize.set(place, () => {
      if (place.scrollWidth > place.clientWidth) place.tabIndex = 0;
      else place.removeAttribute("tabindex");
    });
    return place;
  }

  /* A place for a chart that is drawn to its width, and again when that changes. */
  function chart(kind, draw) {
    const place = h("div", { class: `chart ${kind}` });
    let drawn = 0;
    onResize.set(place, () => {
      const width = Math.floor(place.clientWidth);
      if (width && width !== drawn) place.replaceChildren(draw((drawn = width)));
    });
    resized.observe(place);
    return place;
  }

  const onResize = new WeakMap();
  // In the next frame: what is drawn changes sizes, of which the observer would complain in its own.
  const resized = new ResizeObserver((entries) =>
    requestAnimationFrame(() => entries.forEach(({ target }) => onResize.get(target)())),
  );

  return { chart, h, table };
})();
