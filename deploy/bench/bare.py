"""Starts a server that has no command of its own: `bare.py SERVER PORT MODULE:CALLABLE`."""

import importlib
import sys

server, port, target = sys.argv[1:]
module, _, name = target.partition(":")
application = getattr(importlib.import_module(module), name)
if server == "freastal":
    import freastal

    freastal.serve(application, host="127.0.0.1", port=int(port))
else:
    import bjoern

    bjoern.run(application, "127.0.0.1", int(port))
