from django.contrib import admin
from django.urls import path

from . import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", views.home),
    path("upload", views.upload),
    path("download/<str:name>", views.download),
    path("stream", views.stream),
    path("who", views.who),
    path("broken", views.broken),
]
