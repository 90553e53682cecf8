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

  /*
   * What is wider than the page scrolls in a place of its own, and can be reached from the keyboard when it does. It
   * fades where there is more of it, over as many pixels as there are more, at most FADE.
   */
  const FADE = 40;

  function scrolling(label, content) {
    const place = h("div", { class: "scroll", role: "region", "aria-label": label }, content);
    const fade = () => {
      const hidden = place.scrollWidth - place.clientWidth;
      place.style.setProperty("--more-left", `${Math.min(place.scrollLeft, FADE)}px`);
      place.style.setProperty("--more-right", `${Math.min(hidden - place.scrollLeft, FADE)}px`);
    };
    place.addEventListener("scroll", fade, { passive: true });
    resized.observe(place);
    onResize.set(place, () => {
      place.tabIndex = place.scrollWidth > place.clientWidth ? 0 : -1; // a browser alone stops for half a pixel too
      fade();
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
