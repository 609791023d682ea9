"""Views that a real site has: a page, an upload, a download, a stream."""

import hashlib
import threading

from django.conf import settings
from django.core.files.storage import default_storage
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.views.decorators.csrf import csrf_exempt

GO_ON = threading.Event()


def home(request):
    return HttpResponse("home\n")


@csrf_exempt
def upload(request):
    """Stores the uploaded file below media and answers with its digest."""
    uploaded = request.FILES["file"]
    name = default_storage.save(uploaded.name, uploaded)
    digest = hashlib.sha256()
    with default_storage.open(name) as stored:
        for block in iter(lambda: stored.read(1 << 20), b""):
            digest.update(block)
    return JsonResponse({"name": name, "size": uploaded.size, "sha256": digest.hexdigest()})


def download(request, name):
    """A file that the application opens itself (wsgi.file_wrapper)."""
    return FileResponse(open(settings.MEDIA_ROOT / name, "rb"), as_attachment=True)


def stream(request):
    """Parts that are sent as they are made; the second waits until the first has been seen."""

    def parts():
        yield b"first\n"
        seen = settings.BASE_DIR / "seen"
        while not seen.exists():
            GO_ON.wait(0.01)
        yield b"second\n"

    return StreamingHttpResponse(parts(), content_type="text/plain")


def who(request):
    return JsonResponse(
        {
            "address": request.META["REMOTE_ADDR"],
            "secure": request.is_secure(),
            "host": request.get_host(),
            "uri": request.build_absolute_uri(),
        }
    )


def broken(request):
    raise RuntimeError("the view is broken")
