"""A module whose application is called `app`."""

from forms import answer

app = answer(b"app")
