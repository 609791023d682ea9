"""Flask-SQLAlchemy that makes its tables when it is imported, so that the import leaves a connection in the pool."""

import os

from flask import Flask
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE"]
db = SQLAlchemy(app)


class Visit(db.Model):
    id = db.Column(db.Integer, primary_key=True)


with app.app_context():
    db.create_all()


@app.get("/")
def visit():
    db.session.add(Visit())
    db.session.commit()
    return "%d after %d visits\n" % (os.getpid(), db.session.query(Visit).count())
