"""A WebDAV share of the directory in $SHARE."""

import os

from wsgidav.wsgidav_app import WsgiDAVApp

app = WsgiDAVApp(
    {
        "provider_mapping": {"/": os.environ["SHARE"]},
        "simple_dc": {"user_mapping": {"*": True}},
        "mount_path": os.environ.get("MOUNTED", ""),
        "lock_storage": True,
        "verbose": 1,
    }
)
