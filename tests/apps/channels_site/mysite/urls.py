from chat import views
from django.urls import path

urlpatterns = [
    path("", views.home),
    path("how", views.how),
    path("slow", views.slow),
    path("stream", views.stream),
    path("login/<name>", views.login),
]
