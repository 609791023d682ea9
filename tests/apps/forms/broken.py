"""Can not be imported."""


def connect():
    raise RuntimeError("the database is not there")


connect()
