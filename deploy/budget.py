"""Holds what the hot paths cost, in instructions, to the counts in budget.json: more than 5 % above one fails.

Instructions are counted by valgrind, so a busy machine changes little. The cost of one time is the difference between many
times and half as many, so that starting costs nothing either. What other threads do meanwhile only adds to a count, so the lowest
of three is taken. Another compiler makes other instructions: counts are kept by the version of rustc (and, inside Python, of
the interpreter), and what has no count yet is told, not compared.
`python3 deploy/budget.py --record` writes the counts of this machine's versions.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUDGETS = ROOT / "deploy" / "budget.json"
TOLERANCE = 1.05
TIMES = 2000

#: Bench and its works.
WORKS = [
    ("codec", ["encode_request", "decode_request", "encode_response"]),
    ("line", ["line_combined", "line_json"]),
    ("head", ["head_small", "head_browser", "route"]),
]

#: Our packages are optimised as in what ships. Their dependencies are taken as the tests have them: all of those once more with
#: every optimisation would take longer than all the rest of this.
PACKAGES = ["config", "logs", "message", "proxy", "shm", "websocket", "wire"]
AS_SHIPPED = ["opt-level=3", "codegen-units=1", "debug-assertions=false", "overflow-checks=false"]

ENVIRON = """
import importlib.machinery as m, importlib.util as u, sys
loader = m.ExtensionFileLoader("appliance_worker", sys.argv[1])
engine = u.module_from_spec(u.spec_from_file_location("appliance_worker", loader.path, loader=loader))
loader.exec_module(engine)
engine._bench_environ(int(sys.argv[2]))
"""


def instructions(command, environment):
    counted = subprocess.run(
        ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", *command],
        env=environment,
        capture_output=True,
        text=True,
    )
    found = re.search(r"I\s+refs:\s+([\d,]+)", counted.stderr)
    if counted.returncode or not found:
        sys.exit(f"{command} can not be counted:\n{counted.stderr}")
    return int(found.group(1).replace(",", ""))


def per_time(run):
    many, half = (min(run(times) for _ in range(3)) for times in (TIMES, TIMES // 2))
    return round((many - half) / (TIMES - TIMES // 2))


def cargo(*options):
    command = ["cargo", *options, "--workspace", "--locked"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def benches():
    """Name of each bench to its executable."""
    options = [word for bench, _ in WORKS for word in ("--bench", bench)]
    for package in PACKAGES:
        options += [word for how in AS_SHIPPED for word in ("--config", f"profile.dev.package.{package}.{how}")]
    # What a compiler makes of a package in pieces, to be quicker the next time, differs from time to time.
    options += ["--config", "profile.dev.incremental=false"]
    output = cargo("bench", "--profile", "dev", "--no-run", "--message-format=json-render-diagnostics", *options)
    artifacts = [json.loads(line) for line in output.splitlines()]
    return {
        artifact["target"]["name"]: artifact["executable"]
        for artifact in artifacts
        if artifact["reason"] == "compiler-artifact" and "bench" in artifact["target"]["kind"]
    }


def engine():
    """The engine as it ships: whatever is built of the binary has it."""
    cargo("test", "--no-run", "--quiet")
    metadata = subprocess.run(
        ["cargo", "metadata", "--no-deps", "--format-version=1"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return pathlib.Path(json.loads(metadata.stdout)["target_directory"]) / "engine" / "release" / "libappliance_worker.so"


def count():
    """Name of each work to its count and the versions that it depends on."""
    rustc = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True).stdout.split()[1]
    machine = f"{os.uname().machine} rustc {rustc}"
    executables = benches()
    counts = {}
    for bench, works in WORKS:
        for work in works:

            def run(times, work=work, executable=executables[bench]):
                return instructions([executable], dict(os.environ, COUNTED=f"{work}:{times}"))

            counts[work] = per_time(run), machine
    library = engine()
    quiet = dict(os.environ, PYTHONHASHSEED="0")

    def environ(times):
        return instructions([sys.executable, "-c", ENVIRON, library, str(times)], quiet)

    counts["environ"] = per_time(environ), f"{machine} python {sys.version.split()[0]}"
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    budgets = json.loads(BUDGETS.read_text()) if BUDGETS.exists() else {}
    over = False
    for work, (now, versions) in count().items():
        budget = budgets.setdefault(work, {}).get(versions)
        if arguments.record:
            budgets[work][versions] = now
            verdict = "recorded"
        elif budget is None:
            verdict = f"not compared: no count for {versions}"
        else:
            above = now > budget * TOLERANCE
            over |= above
            verdict = f"budget {budget}: " + (f"OVER, {now / budget - 1:+.1%}" if above else f"{now / budget - 1:+.1%}")
        print(f"{work:16} {now:>7} instructions, {verdict}")
    if arguments.record:
        BUDGETS.write_text(json.dumps(budgets, indent=2, sort_keys=True) + "\n")
    sys.exit(over)


if __name__ == "__main__":
    main()
