"""Adds up the report of the fuzzing client and ends with 1 when a case failed: python3 totals.py REPORT/index.json"""

import collections
import json
import sys

BAD = {"FAILED", "UNCLEAN", "UNIMPLEMENTED", "WRONG CODE", "FAILED BY CLIENT"}

with open(sys.argv[1]) as file:
    (cases,) = json.load(file).values()
totals = collections.Counter(case["behavior"] for case in cases.values())
closes = collections.Counter(case["behaviorClose"] for case in cases.values())
print(f"{len(cases)} cases:", ", ".join(f"{count} {kind}" for kind, count in sorted(totals.items())))
print("closing handshake:", ", ".join(f"{count} {kind}" for kind, count in sorted(closes.items())))
failed = [name for name, case in cases.items() if BAD & {case["behavior"], case["behaviorClose"]}]
for name in failed:
    print(f"case {name}: {cases[name]['behavior']}, closing {cases[name]['behaviorClose']}")
if not cases:
    sys.exit("no case was run")
sys.exit(bool(failed))
