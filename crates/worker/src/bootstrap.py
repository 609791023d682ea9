import os, struct, sys
kind, version = getattr(getattr(sys, "implementation", None), "name", "cpython"), "%d.%d" % sys.version_info[:2]
refused = ""
if kind != "cpython":
    refused = "%s is not supported, CPython 3.9 or later is" % kind
elif sys.version_info < (3, 9):
    refused = "CPython %s is not supported, 3.9 or later is" % version
elif "t" in sys.abiflags:
    refused = "free-threaded CPython %s is not supported, a build with the global interpreter lock is" % version
if refused:
    texts = [text.encode() for text in ("python", "%s (%s)" % (refused, sys.executable), "")]
    os.write(3, b"\x02" + b"".join(struct.pack("<I", len(text)) + text for text in texts))
    os._exit(1)
from importlib import machinery, util
loader = machinery.ExtensionFileLoader("appliance_worker", "/proc/self/fd/4")
spec = util.spec_from_file_location("appliance_worker", loader.path, loader=loader)
engine = util.module_from_spec(spec)
loader.exec_module(engine)
engine.main(3)
