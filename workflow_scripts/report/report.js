(function () {
  "use strict";
  function cellValue(row, index) {
    var cell = row.cells[index];
    return cell.dataset.value !== undefined ? cell.dataset.value : cell.textContent.trim();
  }
  function compare(a, b) {
    var x = parseFloat(a), y = parseFloat(b);
    var numeric = a !== "" && b !== "" && !isNaN(Number(a)) && !isNaN(Number(b));
    if (numeric) { return x - y; }
    if (a === "" || b === "") { return (a === "") - (b === ""); }
    return a.localeCompare(b);
  }
  document.querySelectorAll("table.sortable").forEach(function (table) {
    var body = table.tBodies[0];
    table.querySelectorAll("thead button").forEach(function (button) {
      button.addEventListener("click", function () {
        var header = button.closest("th");
        var down = header.getAttribute("aria-sort") === "ascending";
        table.querySelectorAll("th[aria-sort]").forEach(function (th) { th.removeAttribute("aria-sort"); });
        header.setAttribute("aria-sort", down ? "descending" : "ascending");
        var rows = Array.from(body.rows);
        rows.sort(function (r, s) {
          var order = compare(cellValue(r, header.cellIndex), cellValue(s, header.cellIndex));
          return down ? -order : order;
        });
        rows.forEach(function (row) { body.appendChild(row); });
      });
    });
  });
  var search = document.getElementById("slide-filter");
  var status = document.getElementById("status-filter");
  var count = document.getElementById("slide-count");
  function filter() {
    var words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    var shown = 0, rows = document.getElementById("slides").tBodies[0].rows;
    Array.from(rows).forEach(function (row) {
      var text = row.textContent.toLowerCase();
      var match = words.every(function (word) { return text.indexOf(word) >= 0; }) &&
        (status.value === "" || row.dataset.status === status.value);
      row.hidden = !match;
      shown += match ? 1 : 0;
    });
    count.textContent = shown + " of " + rows.length + " slides";
  }
  if (search) {
    search.addEventListener("input", filter);
    status.addEventListener("change", filter);
    filter();
  }
  var dialog = document.getElementById("enlarged");
  document.querySelectorAll("button.enlarge").forEach(function (button) {
    button.addEventListener("click", function () {
      dialog.querySelector("img").src = button.querySelector("img").src;
      dialog.querySelector("img").alt = button.querySelector("img").alt;
      dialog.querySelector("p").textContent = button.dataset.caption || "";
      dialog.showModal();
    });
  });
  dialog.addEventListener("click", function () { dialog.close(); });
  var links = Array.from(document.querySelectorAll("nav a"));
  var sections = links.map(function (a) { return document.querySelector(a.getAttribute("href")); });
  function here() {
    var current = 0;
    sections.forEach(function (section, i) { if (section.getBoundingClientRect().top < 140) { current = i; } });
    links.forEach(function (a, i) { a.classList.toggle("here", i === current); });
  }
  document.addEventListener("scroll", here, { passive: true });
  here();
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (d) { d.open = true; });
  });
})();
