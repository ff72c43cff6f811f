"""Fetch one remote slide, check its size and checksum, and record what came; a failure is recorded, too."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from workflow_scripts.core.entry import entry_parser, log, parse_entry, run_entry
from workflow_scripts.core.errors import UserError
from workflow_scripts.core.fetched import Fetched, fetched_path, write_record
from workflow_scripts.core.status import SlideError
from workflow_scripts.wsi.fetch import fetch


def _row(text: str) -> dict[str, Any]:
    row = json.loads(text)
    missing = {"slide_id", "url"} - set(row)
    if missing:
        raise UserError(f"--row has no {' and '.join(sorted(missing))}; give slide_id, url, size_bytes and sha256")
    return row


def main(argv: list[str] | None = None) -> None:
    parser = entry_parser(__doc__)
    parser.add_argument(
        "--row", type=_row, required=True, help='JSON {"slide_id", "url", "size_bytes", "sha256", "attempt"}'
    )
    parser.add_argument(
        "--cohort", required=True, help="name of the cohort; the slide goes to results/{cohort}/fetched"
    )
    parser.add_argument("--output", type=Path, required=True, help="the record, fetched/{slide}.json")
    args = parse_entry(parser, argv)
    url, slide_id = args.row["url"], args.row["slide_id"]
    target = Path(fetched_path(args.cohort, slide_id, url))
    try:
        record = fetch(url, target, args.row.get("size_bytes"), args.row.get("sha256") or "")
        log.info("slide %s: %d bytes, SHA-256 %s", slide_id, record.size_bytes, record.sha256)
    except SlideError as error:
        record = Fetched(url, reason=error.reason, detail=f"{error.detail}; to try again, raise cohort.fetch_attempt")
        target.unlink(missing_ok=True)
        log.warning("slide %s: %s", slide_id, record.detail)
    write_record(args.output, replace(record, attempt=args.row.get("attempt", 1)))


if __name__ == "__main__":
    run_entry(main)
