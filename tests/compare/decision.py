"""What RFC 9110 says of conditions and ranges of a GET or HEAD for one file, apart from any server."""

import re

from parts import FILE, FILE_BYTES

#: Where each date that is one lies: before the file's, at it, after it.
DATES = {
    "{modified}": 0,
    # Its weekday says nothing (RFC 9110 §5.6.7).
    "Mon, 02 Jan 2026 03:04:05 GMT": 0,
    "Thu, 01 Jan 2026 00:00:00 GMT": -1,
    "Sat, 03 Jan 2026 00:00:00 GMT": 1,
    "Thu, 01 Jan 1970 00:00:00 GMT": -1,
    "Wed, 31 Dec 1969 23:59:59 GMT": -1,
    "Mon, 01 Jan 1900 00:00:00 GMT": -1,
    "Tue, 01 Jan 2999 00:00:00 GMT": 1,
    "Friday, 02-Jan-26 03:04:05 GMT": 0,
    "Friday, 02-Jan-26 03:04:06 GMT": 1,
    "Thursday, 01-Jan-26 00:00:00 GMT": -1,
    "Fri Jan  2 03:04:05 2026": 0,
    "Fri Jan  2 03:04:04 2026": -1,
    "Fri Jan 02 03:04:05 2026": 0,
}

TAG = r"(W/)?(\{etag\}|\"[^\"]*\")"


CONDITIONS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range")


def applies(shape):
    return not shape.raw and shape.target == FILE and shape.method in ("GET", "HEAD") and shape.has(*CONDITIONS)


def status(shape):
    """In the order of §13.2.2."""
    if (tags := values(shape, "if-match")) is not None:
        if not names(tags, strong=True):
            return 412
    elif DATES.get(shape.value("if-unmodified-since"), 1) < 0:
        return 412
    if (tags := values(shape, "if-none-match")) is not None:
        if names(tags, strong=False):
            return 304
    elif DATES.get(shape.value("if-modified-since"), -1) >= 0:
        return 304
    if shape.method != "GET" or not shape.has("range") or not is_current(shape):
        return 200
    return range_status(shape.value("range"))


def values(shape, name):
    """All fields of this name as one list; None: there is none."""
    found = [value for other, value in shape.fields if other.lower() == name]
    return ",".join(found) if found else None


def names(tags, strong):
    """Is the file's tag in the list, or anything meant?"""
    if tags.strip() == "*":
        return True
    elements = re.split(r",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)", tags)
    matches = [re.fullmatch(TAG, element.strip(" \t")) for element in elements]
    return any(match and match[2] == "{etag}" and not (strong and match[1]) for match in matches)


def is_current(shape):
    """If-Range (§13.1.5)."""
    if not shape.has("if-range"):
        return True
    value = shape.value("if-range").strip()
    return value == "{etag}" or DATES.get(value) == 0


def range_status(value):
    """§14.1.1, §14.1.2, and §14.2: ranges that are together longer than the file may be ignored, and are."""
    match = re.fullmatch(r"(?i)bytes=(.*)", value)
    ranges = [text.strip(" \t") for text in match[1].split(",")] if match else []
    matches = [re.fullmatch(r"([0-9]*)-([0-9]*)", text) for text in ranges if text]
    if not matches or not all(match and (match[1] or match[2]) for match in matches):
        return 200
    pairs = [(int(match[1]) if match[1] else None, int(match[2]) if match[2] else None) for match in matches]
    if any(None not in pair and pair[0] > pair[1] for pair in pairs):
        return 200
    lengths = [length(first, last) for first, last in pairs]
    if not any(lengths):
        return 416
    return 206 if len(lengths) == 1 or sum(lengths) <= FILE_BYTES else 200


def length(first, last):
    """What there is of a range."""
    if first is None:
        return min(last, FILE_BYTES)
    return max(0, min(FILE_BYTES, FILE_BYTES if last is None else last + 1) - first)
