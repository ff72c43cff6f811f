"""The demo cohort's slides.csv."""

import csv
import io

from workflow_scripts.demo.plan import SlidePlan

COLUMNS = ("slide_id", "path", "patient_id", "mpp", "subtype", "grade", "time", "event", "batch")


def manifest_text(plans: list[SlidePlan], directory: str) -> str:
    """CSV text, one row a slide; `mpp` is given only where the file itself records none."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for plan in plans:
        path = f"{directory.rstrip('/')}/{plan.slide_id}.{plan.suffix}"
        mpp = "" if plan.mpp_in_file else f"{plan.mpp:g}"
        labels = (plan.subtype, plan.grade, f"{plan.time:.1f}", plan.event, plan.batch)
        writer.writerow([plan.slide_id, path, plan.patient_id, mpp, *labels])
    return buffer.getvalue()
