"""Make the known answers of the self-test with the NumPy reference.

    python -m strop.host.make_known_answers [OUTPUT]

To be run after a change of numerics or of the cases in `selftest.py`, and only then. The answers of an earlier numerics
version are dropped: no device that speaks it is taken by this strop.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from strop.host.selftest import ANSWERS, CASES, run_case
from strop.runtime.contract import C
from strop.runtime.reference import ReferenceDevice


def main() -> None:
    """Run every case, write the table."""
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else ANSWERS
    answers = {case.name: asdict(run_case(case, ReferenceDevice()).answer) for case in CASES}
    output.write_text(json.dumps({str(C.NUMERICS_VERSION): answers}, indent=2) + "\n", encoding="utf-8")
    print(f"saved {output}: numerics {C.NUMERICS_VERSION}, {len(answers)} cases")


if __name__ == "__main__":
    main()
