"""Runs every rule against the servers and writes a JSON object: server -> rule -> "ok", "no: why" or "none: why".

    python run.py --work DIR --certificate FILE --key FILE [--appliance BINARY] [--loop LOOP] [--server NAME]... [--rule NAME]...
"""

import argparse
import concurrent.futures
import json
import os
import sys
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import rules  # noqa: E402, F401
from at import At  # noqa: E402
from rule import RULES, NotApplicable  # noqa: E402
from servers import Appliance, Hypercorn, Process, Uvicorn  # noqa: E402


def main():
    arguments = parse()
    servers = {
        "appliance": lambda: Appliance(arguments.appliance, arguments.loop, arguments.certificate, arguments.key),
        "uvicorn": lambda: Uvicorn(arguments.certificate, arguments.key),
        "hypercorn": lambda: Hypercorn(arguments.certificate, arguments.key),
    }
    chosen = [rule for rule in RULES.values() if not arguments.rule or rule.name in arguments.rule]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        grids = pool.map(lambda name: (name, grid(servers[name](), chosen, arguments.work)), arguments.server)
        result = dict(grids)
    result["rules"] = [[rule.name, rule.group, rule.sentence] for rule in chosen]
    json.dump(result, sys.stdout, indent=1)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--appliance")
    parser.add_argument("--loop", default="auto")
    parser.add_argument("--server", action="append")
    parser.add_argument("--rule", action="append")
    arguments = parser.parse_args()
    arguments.server = arguments.server or ["appliance", "uvicorn", "hypercorn"]
    arguments.work = os.path.abspath(arguments.work)
    return arguments


def grid(server, chosen, work):
    """The column of one server."""
    common = Process(server, os.path.join(work, server.name), "app:app")
    try:
        if not common.serves():
            raise SystemExit(f"{server.name} does not start:\n{common.output()}")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return dict(pool.map(lambda rule: (rule.name, outcome(rule, server, common, work)), chosen))
    finally:
        common.kill()


def outcome(rule, server, common, work):
    """How one rule does at one server."""
    own = None
    try:
        if rule.target is None:
            rule.check(At(common, rule.name))
        else:
            target, _, root_path = rule.target.partition(" ")
            own = Process(server, os.path.join(work, server.name, rule.name), target, root_path)
            rule.check(At(own, rule.name))
    except NotApplicable as reason:
        return f"none: {reason}"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"no: {type(error).__name__}: {error} (line {place.lineno}: {place.line})"
    finally:
        if own:
            own.kill()
    return "ok"


main()
