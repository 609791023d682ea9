"""Queries that wait in the database, through the two drivers for PostgreSQL that are written in C."""

import sys
from contextlib import closing

import psycopg
import psycopg2
from flask import Flask

if "gevent" in sys.modules:
    # eventlet makes psycopg2 wait in greenlets when it patches.
    from psycogreen.gevent import patch_psycopg

    patch_psycopg()

app = Flask(__name__)
DRIVERS = {"psycopg": psycopg, "psycopg2": psycopg2}


@app.get("/query/<driver>/<int:port>")
def query(driver, port):
    place = "host=127.0.0.1 port=%d user=postgres dbname=postgres" % port
    with closing(DRIVERS[driver].connect(place)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT 'met' FROM pg_advisory_lock_shared(%s)", [1])
        return cursor.fetchone()[0]
