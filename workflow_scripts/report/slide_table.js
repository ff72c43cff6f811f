/* The table of slides: filter, choose, sort, a page at a time. */
(function () {
  "use strict";
  const { element, number, columns, rows, texts } = report;
  const LINES = 100, MOST_CHOICES = 20, LONGEST_WORD = 10;
  const table = document.getElementById("slide-table"), body = table.tBodies[0];
  const search = document.getElementById("slide-filter");
  const seen = columns.map((column, index) => index).filter((index) => !columns[index].detail);
  const state = { chosen: {}, by: null, down: false, page: 0 };
  let found = [];

  function headings() {
    const line = element("tr", {}, seen.map((index) => {
      const column = columns[index];
      return element("th", { scope: "col", class: column.kind === "num" ? "num" : "", "data-column": index },
        element("button", { type: "button", onclick: () => sort(index) }, column.title));
    }));
    table.tHead.replaceChildren(line);
  }

  function cell(row, index) {
    const column = columns[index], value = row[index];
    if (column.kind === "id") {
      return element("td", { class: "id wraps" }, element("a", { href: report.address(value) }, value));
    }
    if (column.key === "status") {
      return element("td", {}, element("span", { class: "tag " + (value === "used" ? "ok" : "excluded") }, value));
    }
    if (column.kind === "num") {
      return element("td", { class: "num" }, number(value, column.digits));
    }
    if (!value || column.key === "detail") { return element("td", { class: value ? "detail" : "" }, value === null ? "" : String(value)); }
    const parts = String(value).split(/(?<=_)/);  // lines may end behind an underscore
    const words = String(value).split(/[\s_-]/), whole = Math.max(...words.map((word) => word.length)) <= LONGEST_WORD;
    const kind = (column.key === "reason" ? "reason " : "") + (whole ? "wraps whole" : "wraps");
    return element("td", { class: kind }, ...parts.flatMap((part, place) => place ? [element("wbr"), part] : [part]));
  }

  function line(row) {
    return element("tr", { class: row[report.place.status] === "used" ? "ok" : "excluded" },
      seen.map((index) => cell(row, index)));
  }

  function find() {
    const chosen = Object.entries(state.chosen).filter(([, value]) => value !== "");
    found = rows.map((row, index) => index).filter((index) =>
      report.matches(texts[index], search.value) &&
      chosen.every(([column, value]) => String(rows[index][column]) === value));
    if (state.by !== null) {
      // Where nothing is known stays below, whichever way the others are sorted.
      const known = (index) => rows[index][state.by] !== null && rows[index][state.by] !== "";
      found.sort((a, b) => known(a) !== known(b) ? known(b) - known(a)
        : (state.down ? -1 : 1) * report.compare(rows[a][state.by], rows[b][state.by]));
    }
    state.page = 0;
    draw();
  }

  function draw() {
    const first = state.page * LINES;
    body.replaceChildren(...found.slice(first, first + LINES).map((index) => line(rows[index])));
    document.getElementById("slide-count").textContent = `${found.length} of ${rows.length} slides`;
    report.pager(document.getElementById("slide-pager"), state.page, Math.ceil(found.length / LINES), (page) => {
      state.page = page;
      draw();
    });
  }

  function sort(index) {
    state.down = state.by === index && !state.down;
    state.by = index;
    table.querySelectorAll("th").forEach((th) => {
      if (Number(th.dataset.column) === index) {
        th.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      } else { th.removeAttribute("aria-sort"); }
    });
    find();
  }

  function choices() {
    const holder = document.getElementById("slide-choices");
    columns.forEach((column, index) => {
      const values = [...new Set(rows.map((row) => row[index]))].filter((value) => value !== null && value !== "");
      if (!column.chosen || column.kind === "num" || values.length < 2 || values.length > MOST_CHOICES) { return; }
      const select = element("select", { "data-key": column.key, onchange: () => {
        state.chosen[index] = select.value;
        find();
      } }, element("option", { value: "" }, "all"), values.sort(report.compare).map((value) => element("option", { value: String(value) }, value)));
      holder.append(element("label", {}, column.title + " ", select));
    });
  }

  document.getElementById("clear-filters").addEventListener("click", () => {
    search.value = "";
    state.chosen = {};
    document.querySelectorAll("#slide-choices select").forEach((select) => { select.value = ""; });
    find();
  });
  search.addEventListener("input", find);
  window.addEventListener("beforeprint", () => {
    body.replaceChildren(...found.map((index) => line(rows[index])));
  });
  window.addEventListener("afterprint", draw);
  headings();
  choices();
  find();
  report.foundSlides = () => found;
})();
