/* What all parts of the page share: its data, its tabs with their addresses, tables that sort, the enlarged figure. */
const report = (function () {
  "use strict";
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const minus = "\u2212";

  /** An element with attributes; children are elements or text, never markup. `svg:` before the name makes it SVG's. */
  function element(name, attributes, ...children) {
    const made = name.startsWith("svg:")
      ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4))
      : document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key.startsWith("on")) { made.addEventListener(key.slice(2), value); }
      else if (value === true) { made.setAttribute(key, ""); }
      else if (value !== false && value !== null && value !== undefined) { made.setAttribute(key, value); }
    }
    made.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return made;
  }

  /** A number as the report prints it. */
  function number(value, digits) {
    return value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", minus);
  }

  function compare(a, b) {
    const empty = (value) => value === null || value === undefined || value === "";
    if (empty(a) || empty(b)) { return empty(a) - empty(b); }
    if (typeof a === "number" && typeof b === "number") { return a - b; }
    return String(a).localeCompare(String(b), undefined, { numeric: true });
  }

  /** Whether all words stand in a text that is in lower case. */
  function matches(text, words) {
    return words.toLowerCase().split(/\s+/).filter(Boolean).every((word) => text.includes(word));
  }

  const columns = data.table.columns;
  const place = Object.fromEntries(columns.map((column, index) => [column.key, index]));
  const texts = data.table.rows.map((row) => row.filter((cell) => cell !== null).join(" ").toLowerCase());
  const rowOf = new Map(data.table.rows.map((row, index) => [row[0], index]));
  const pageOf = new Map(data.pages.map((id, index) => [id, index]));
  const blocks = document.querySelectorAll("script.slide-data");

  /** What a slide's page is made of, read when it is asked for; null for a slide without a page. */
  function page(id) {
    return pageOf.has(id) ? JSON.parse(blocks[pageOf.get(id)].textContent) : null;
  }

  function address(id) { return "#slide/" + encodeURIComponent(id); }

  /** Buttons from one page of a list to the next; `go` is called with the number of the page. */
  function pager(holder, current, pages, go) {
    const step = (text, to, enabled) =>
      element("button", { type: "button", disabled: !enabled, onclick: () => go(to) }, text);
    holder.replaceChildren(...(pages < 2 ? [] : [
      step("Back", current - 1, current > 0),
      element("span", {}, `page ${current + 1} of ${pages}`),
      step("Next", current + 1, current + 1 < pages),
    ]));
  }

  const tabs = Array.from(document.querySelectorAll(".tab"));
  const links = Array.from(document.querySelectorAll("nav a"));
  const shown = [];

  /** Shows the tab that the address names, and what it names in it. */
  function route() {
    let name = location.hash.slice(1);
    try { name = decodeURIComponent(name); } catch (error) { name = ""; }
    const slide = name.startsWith("slide/") ? name.slice(6) : null;
    const target = document.getElementById(slide === null ? name : "slides") || document.getElementById("headline");
    const tab = target.closest(".tab") || tabs[0];
    tabs.forEach((one) => { one.hidden = one !== tab; });
    links.forEach((link) => {
      const current = document.querySelector(link.getAttribute("href")).closest(".tab") === tab;
      if (current) { link.setAttribute("aria-current", "page"); } else { link.removeAttribute("aria-current"); }
    });
    shown.forEach((tell) => tell(tab, slide));
    for (let box = target.closest("details"); box; box = box.parentElement.closest("details")) { box.open = true; }
    const first = target === tab || target.parentElement === tab && !target.previousElementSibling;
    if (first || slide !== null) { window.scrollTo(0, 0); } else { target.scrollIntoView(); }
  }

  document.querySelector("nav").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const from = links.indexOf(document.activeElement);
    if (!step || from < 0) { return; }
    event.preventDefault();
    const link = links[(from + step + links.length) % links.length];
    history.pushState(null, "", link.getAttribute("href"));  // setting the address would take the focus away
    route();
    link.focus();
  });

  document.querySelectorAll("table.sortable").forEach((table) => {
    const body = table.tBodies[0];
    const value = (row, index) => {
      const cell = row.cells[index];
      const text = cell.dataset.value !== undefined ? cell.dataset.value : cell.textContent.trim();
      return text !== "" && !isNaN(Number(text)) ? Number(text) : text;
    };
    table.querySelectorAll("thead button").forEach((button) => button.addEventListener("click", () => {
      const header = button.closest("th"), down = header.getAttribute("aria-sort") === "ascending";
      table.querySelectorAll("th[aria-sort]").forEach((th) => th.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = Array.from(body.rows);
      rows.sort((r, s) => (down ? -1 : 1) * compare(value(r, header.cellIndex), value(s, header.cellIndex)));
      body.append(...rows);
    }));
  });

  const dialog = document.getElementById("enlarged");

  /** Shows a picture as large as the window. */
  function enlarge(source, alt, text) {
    const image = dialog.querySelector("img");
    image.src = source;
    image.alt = alt;
    dialog.querySelector("p").textContent = text;
    dialog.showModal();
  }
  dialog.addEventListener("click", (event) => { if (event.target === dialog) { dialog.close(); } });
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((one) => { one.open = true; });
  });
  // What an address names is not covered by the menu, however many lines it takes.
  const menu = document.querySelector(".top");
  const clear = () => { document.documentElement.style.scrollPaddingTop = `${menu.offsetHeight + 12}px`; };
  clear();
  new ResizeObserver(clear).observe(menu);
  ["hashchange", "popstate"].forEach((change) => window.addEventListener(change, route));

  return {
    data, columns, place, texts, rowOf, pageOf, rows: data.table.rows,
    element, number, compare, matches, page, address, pager, enlarge, shown, start: route,
  };
})();
