"""Write golden prints anew: `python -m integration_tests.families.write_golden [row ...]`, all rows by default.

Read what git shows as changed before you commit it: a golden print is only as good as its last reader.
"""

from argparse import ArgumentParser

from hf_modeling.families import FAMILIES
from integration_tests.families.golden import GOLDEN, golden_file, printed
from integration_tests.families.tiny_configs import ROWS


def main() -> None:
    """Write the prints of the rows named on the command line."""
    known = {row.name: row for row in ROWS if row.model_type in FAMILIES}
    parser = ArgumentParser(description="Write golden prints of specs and weight tables anew.")
    parser.add_argument("rows", nargs="*", metavar="row", help="a row of tiny_configs.py; all by default")
    names: list[str] = parser.parse_args().rows
    unknown = sorted(set(names) - known.keys())
    if unknown:
        parser.error(f"no row is called {', '.join(unknown)}; rows are in tiny_configs.py")
    GOLDEN.mkdir(exist_ok=True)
    for name in names or known:
        golden_file(known[name]).write_text(printed(known[name]))


if __name__ == "__main__":
    main()
