"""Does the cost stay flat? Loads beside many open connections, and configurations with many of one thing."""

import subprocess

from loads import crowd, wrk

#: Clients that work while the others only stay connected.
ACTIVE = 16


def beside_open(kind, count):
    """Fast clients alone and beside so many connections that are open and silent."""

    def load(bench, stack, seconds=None):
        alone = wrk(connections=ACTIVE)(bench, stack, seconds)
        if seconds:
            return alone
        with crowd(bench, stack, "hold", count, int(kind == "websocket"), says="open"):
            beside = wrk(connections=ACTIVE)(bench, stack)
        return {
            "KiB/connection": (beside["PSS MiB"] - alone["PSS MiB"]) * 1024 / count,
            "CPU us/request": beside["CPU us/request"],
            "CPU us/request alone": alone["CPU us/request"],
            "p99 us": beside["p99 us"],
            "p99 us alone": alone["p99 us"],
        }

    return load


def routes(count):
    """So many routes; `/route-1/` is the one that is asked for."""
    return "".join(f'[[site.route]]\npath = "/route-{number}/"\nfiles = "www"\n' for number in range(1, count + 1))


def sites(count):
    """So many sites beside the one that is asked for."""
    return "".join(f'[[site]]\nhosts = ["site-{number}.example"]\nfiles = {{ "/" = "www" }}\n' for number in range(1, count))


def certificates(directory, count):
    """A P-256 certificate for each of these sites."""
    made = []
    for number in range(1, count):
        names = directory / f"site-{number}.crt", directory / f"site-{number}.key"
        if not names[0].exists():
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
                + ["-subj", f"/CN=site-{number}.example", "-addext", f"subjectAltName=DNS:site-{number}.example"]
                + ["-keyout", names[1], "-out", names[0]],
                check=True,
                capture_output=True,
            )
        made.append(names)
    return made
