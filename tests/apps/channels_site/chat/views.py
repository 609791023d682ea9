import asyncio
import time

from django.http import HttpResponse, JsonResponse, StreamingHttpResponse


def home(request):
    return HttpResponse("home\n")


def how(request):
    """Which of the two worlds this is."""
    return JsonResponse({"request": type(request).__name__, "address": request.META["REMOTE_ADDR"]})


def slow(request):
    time.sleep(0.2)
    return HttpResponse("slow\n")


async def stream(request):
    async def parts():
        for number in range(3):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return StreamingHttpResponse(parts())


def login(request, name):
    request.session["name"] = name
    return HttpResponse("hello\n")
