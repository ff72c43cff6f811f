"""Short commands do not wait for libraries that they do not need."""

import subprocess
import sys

_CODE = """
import sys
from workflow_scripts.core import schemas
from workflow_scripts.core.tables import read_table, write_table
path = sys.argv[1]
write_table(path, [{"slide_id": "a", "patient_id": "p", "status": "ok"}], schemas.SLIDES)
table = read_table(path, ["slide_id"])
print([name for name in ("pandas", "pyarrow.dataset", "torch", "scipy") if name in sys.modules])
print(table.to_pandas()["slide_id"].tolist())
import pandas
import pyarrow
print(pyarrow.array(pandas.Series([1, 2])).to_pylist())
"""


def test_tables_need_no_pandas_and_pandas_works_when_asked_for(tmp_path):
    command = [sys.executable, "-c", _CODE, str(tmp_path / "t.parquet")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == ["[]", "['a']", "[1, 2]"]
