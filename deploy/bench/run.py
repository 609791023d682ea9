"""Alternating rounds of load against each stack; prints medians and ratios.

CPU is the sum over every process of a stack (user and system), divided by the requests answered: the figure to trust on a
shared machine. Memory is PSS summed over the same processes after the load. nginx and appliance write their access log to a
file; the others' is off, which favours them. In brackets: appliance's figure divided by that stack's.
"""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

import plot
import stacks
from loads import Bench
from rows import ROWS
from stack import DoesNotServe, DoesNotStart, NotHere, make_urgent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--appliance", required=True, type=pathlib.Path)
    parser.add_argument("--environment", required=True, type=pathlib.Path)
    parser.add_argument("--scratch", required=True, type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--row", nargs="*", choices=list(ROWS), default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--peer", nargs="*", default=[], help="only these stacks; all when none is named")
    parser.add_argument("--against", nargs="*", default=[], type=pathlib.Path, help="other builds of appliance")
    parser.add_argument("--unstable", type=pathlib.Path, default="target/tests/unstable", help="a root of Debian unstable with nginx")
    parser.add_argument("--urgent", action="store_true", help="as root: lets no other work of the machine get between")
    parser.add_argument("--plot", type=pathlib.Path, help="directory for a plot of each row")
    arguments = parser.parse_args()
    # Each stack runs in a directory of its own.
    arguments.appliance, arguments.environment = arguments.appliance.absolute(), arguments.environment.absolute()
    arguments.against = [path.absolute() for path in arguments.against]
    cores = sorted(os.sched_getaffinity(0))
    cores = str(cores[0]), str(cores[-1]), ",".join(map(str, cores))
    if arguments.urgent:
        make_urgent("self")
    print(f"{os.cpu_count()} cores; servers on core {cores[0]}, load on core {cores[1]}, free rows on all of them;", end=" ")
    print(f"{arguments.connections} connections, {arguments.rounds} rounds of {arguments.seconds} s\n")
    for name in arguments.row:
        measured = measure(name, arguments, cores)
        if measured:
            table(name, measured, arguments.plot)


def measure(name, arguments, cores):
    """Stack to its rounds. A stack that does not start, or does not serve, is told and left out."""
    row = ROWS[name]
    cores = (cores[2], cores[2]) if row.free else cores[:2]
    directory = arguments.scratch.resolve() / name
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "www").mkdir(parents=True)
    make_file(directory / "www" / "index.html", row.file_bytes or 12)
    bench = Bench(arguments, directory, cores)
    builds = {"appliance": bench.binary} | {f"appliance {path.name}": path for path in bench.against}
    makers = [lambda name=name, path=path: stacks.appliance(row, bench, path, name) for name, path in builds.items()]
    makers += [lambda peer=peer: peer(row, bench) for peer in row.peers]
    measured, failed = {}, set()
    for _ in range(arguments.rounds):
        for make in list(makers):
            try:
                stack = make()
            except NotHere as missing:
                print(f"    {name}: {missing}", file=sys.stderr)
                makers.remove(make)
                continue
            chosen = not arguments.peer or stack.name.startswith("appliance") or stack.name in arguments.peer
            if not chosen or stack.name in failed:
                continue
            try:
                took = stack.start(*cores, arguments.urgent)
                row.load(bench, stack, 1)
                figures = row.load(bench, stack)
                measured.setdefault(stack.name, []).append(figures | {"first answer ms": took * 1e3})
            except (DoesNotStart, DoesNotServe, subprocess.CalledProcessError) as error:
                print(f"    {name}: {stack.name} is left out: {error}", file=sys.stderr)
                failed.add(stack.name)
            finally:
                stack.stop()
    return {stack: rounds for stack, rounds in measured.items() if stack not in failed}


def make_file(path, size):
    """A file that is worth caching is written; a huge one has a hole where its end would be."""
    with open(path, "wb") as file:
        file.write(b"x" * min(size, 16 << 20))
        file.truncate(size)


def table(name, measured, plots):
    columns = list(next(iter(measured.values()))[0])
    medians = {
        stack: {column: statistics.median(each[column] for each in rounds) for column in columns}
        for stack, rounds in measured.items()
    }
    ours = next(iter(medians.values()))
    picture = f"![{ROWS[name].title}]({plots.name}/{name}.svg)\n\n" if plots else ""
    print(f"## {name}: {ROWS[name].title}\n\n{picture}| stack | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
    for stack, median in medians.items():
        cells = [f"{median[column]:,.2f} ({ours[column] / (median[column] or 1):.2f})" for column in columns]
        print(f"| {stack} | " + " | ".join(cells) + " |")
    print(flush=True)
    if plots:
        plots.mkdir(parents=True, exist_ok=True)
        values = {stack: median[columns[0]] for stack, median in medians.items()}
        (plots / f"{name}.svg").write_text(plot.bars(ROWS[name].title, columns[0], values))


if __name__ == "__main__":
    main()
