import hashlib
import os

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound
from pyramid.response import FileResponse, Response

HERE = os.path.dirname(__file__)


def hello(request):
    name = request.matchdict["name"]
    request.response.set_cookie("seen", "yes")
    return {"hello": request.params.get("q"), "name": name, "seen": request.cookies.get("seen")}


def form(request):
    file = request.POST["file"]
    data = file.file.read()
    return {"note": request.POST["note"], "name": file.filename, "sha256": hashlib.sha256(data).hexdigest()}


with Configurator() as config:
    for name, path, view, renderer in [
        ("hello", "/hello/{name}", hello, "json"),
        ("json", "/json", lambda request: request.json_body, "json"),
        ("form", "/form", form, "json"),
        ("away", "/away", lambda request: HTTPFound(request.route_url("hello", name="there")), None),
        (
            "parts",
            "/parts",
            lambda request: Response(app_iter=(b"part %d\n" % number for number in range(3)), content_type="text/plain"),
            None,
        ),
        ("file", "/file", lambda request: FileResponse(os.path.join(HERE, "note.txt"), request=request), None),
    ]:
        config.add_route(name, path)
        config.add_view(view, route_name=name, renderer=renderer)
    app = config.make_wsgi_app()
