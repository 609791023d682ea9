"""Uploads as Django and Django REST framework take them, under either interface: `wsgi` and `asgi`."""

import hashlib

from django.conf import settings

settings.configure(
    SECRET_KEY="only-for-tests",
    ALLOWED_HOSTS=["localhost"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["rest_framework"],
    # Larger files go to disk, smaller ones stay in memory.
    FILE_UPLOAD_MAX_MEMORY_SIZE=1 << 20,
    DATA_UPLOAD_MAX_MEMORY_SIZE=1 << 20,
    REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": [], "UNAUTHENTICATED_USER": None},
    USE_TZ=True,
)

import django

django.setup()

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from rest_framework import serializers
from rest_framework.parsers import FileUploadParser, MultiPartParser
from rest_framework.response import Response
from rest_framework.views import APIView


def told(uploaded):
    digest = hashlib.sha256()
    for chunk in uploaded.chunks():
        digest.update(chunk)
    return [uploaded.name, uploaded.size, digest.hexdigest()]


def form(request):
    return JsonResponse(
        {
            "fields": {name: request.POST.getlist(name) for name in request.POST},
            "files": {name: [told(file) for file in request.FILES.getlist(name)] for name in request.FILES},
            "content_length": request.META.get("CONTENT_LENGTH"),
            "script_name": request.META["SCRIPT_NAME"],
            "path": request.path,
        }
    )


async def form_later(request):
    return form(request)


def raw(request):
    return JsonResponse({"size": len(request.body), "sha256": hashlib.sha256(request.body).hexdigest()})


def stream(request):
    digest, size = hashlib.sha256(), 0
    while part := request.read(65536):
        digest.update(part)
        size += len(part)
    return JsonResponse({"size": size, "sha256": digest.hexdigest()})


class Document(serializers.Serializer):
    title = serializers.CharField(max_length=40)
    copies = serializers.IntegerField(min_value=1)
    scan = serializers.FileField()
    pages = serializers.ListField(child=serializers.FileField(), required=False)


class Documents(APIView):
    parser_classes = [MultiPartParser]

    def post(self, request):
        document = Document(data=request.data)
        document.is_valid(raise_exception=True)
        data = document.validated_data
        return Response(
            {
                "title": data["title"],
                "copies": data["copies"],
                "scan": told(data["scan"]),
                "pages": [told(page) for page in data.get("pages", [])],
            },
            status=201,
        )


class Named(APIView):
    parser_classes = [FileUploadParser]

    def put(self, request, filename):
        return Response(told(request.data["file"]), status=201)


urlpatterns = [
    path("form", csrf_exempt(form)),
    path("form-later", csrf_exempt(form_later)),
    path("raw", csrf_exempt(raw)),
    path("stream", csrf_exempt(stream)),
    path("api/documents", Documents.as_view()),
    path("api/named/<str:filename>", Named.as_view()),
]
wsgi, asgi = get_wsgi_application(), get_asgi_application()
