"""A Django project in one file, with the middleware that a new project has: a greeting, and a page of 50 rows of a database."""

import os
import sqlite3

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import models
from django.http import HttpResponse
from django.template import engines
from django.urls import path

ROWS = 50
PAGE = """<!doctype html>
<title>{{ title|capfirst }}</title>
{% if books %}
<table>
{% for book in books %}
<tr class="{% cycle 'odd' 'even' %}">
  <td>{{ forloop.counter }}<td><a href="{% url 'book' book.id %}">{{ book.title|truncatechars:30 }}</a>
  <td>{{ book.author|default:"unknown"|title }}<td>{{ book.price|floatformat:2 }}<td>{{ book.printed|date:"j F Y" }}
</tr>
{% endfor %}
</table>
{% endif %}
"""


def database():
    """The path of the database, which is made when it is not there; the rows that need none do without."""
    name = os.environ.get("BENCH_DATABASE")
    if not name:
        return ":memory:"
    if not os.path.exists(name):
        with sqlite3.connect(f"{name}.new") as made:
            made.execute("CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT, author TEXT, price REAL, printed DATE)")
            made.executemany(
                "INSERT INTO book VALUES (?, ?, ?, ?, ?)",
                [(n, f"book {n} <of many & more>", f"author {n}", n * 1.5, f"2020-01-{n % 28 + 1:02}") for n in range(1, ROWS + 1)],
            )
        made.close()
        os.rename(f"{name}.new", name)
    return name


settings.configure(
    DEBUG=False,
    SECRET_KEY="of the bench",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database(), "CONN_MAX_AGE": 600}},
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "django.contrib.messages"],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
)
django.setup()


class Book(models.Model):
    """One row of the page."""

    title = models.TextField()
    author = models.TextField()
    price = models.FloatField()
    printed = models.DateField()

    class Meta:
        app_label = "bench"
        db_table = "book"


page = engines["django"].from_string(PAGE)


def books(request):
    return HttpResponse(page.render({"title": "books", "books": Book.objects.order_by("id")}, request))


urlpatterns = [
    path("", lambda request: HttpResponse("hello world\n")),
    path("books", books),
    path("books/<int:number>", books, name="book"),
]
application = get_wsgi_application()
