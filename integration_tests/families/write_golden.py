"""Write golden prints anew: `python -m integration_tests.families.write_golden [row ...]`, all rows by default.

Read what git shows as changed before you commit it: a golden print is only as good as its last reader.
"""

import sys
from collections.abc import Sequence

from hf_modeling.families import FAMILIES
from integration_tests.families.golden import GOLDEN, golden_file, printed
from integration_tests.families.tiny_configs import ROWS


def main(names: Sequence[str]) -> int:
    """Write the prints of the rows called `names`; 2 if there is a name that no row has."""
    known = {row.name: row for row in ROWS if row.model_type in FAMILIES}
    unknown = sorted(set(names) - known.keys())
    if unknown:
        print(f"no row is called {', '.join(unknown)}; rows are in tiny_configs.py", file=sys.stderr)
        return 2
    GOLDEN.mkdir(exist_ok=True)
    for name in names or known:
        golden_file(known[name]).write_text(printed(known[name]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
