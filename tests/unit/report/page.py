"""What the tests of the report ask a browser for: names of its tabs, and expressions in JavaScript."""

TABS = ("headline", "cohort", "slides", "prototypes", "training", "settings")
VISIBLE = "[...document.querySelectorAll('.tab')].filter(tab => tab.offsetParent !== null)"
ROWS = "[...document.querySelectorAll('#slide-table tbody tr')].map(row => row.cells[0].textContent)"
COUNT = "document.getElementById('slide-count').textContent"
