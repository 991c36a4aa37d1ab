"""Makers of typed values (a code, a date, a name …): the rare strings which the model must learn to copy exactly."""

from words import (
    ADJECTIVES,
    COLOURS,
    MATERIALS,
    MONTHS,
    NOUNS,
    NUMBER_WORDS,
    WEEKDAYS,
    between,
    city,
    first_name,
    last_name,
    pick,
    pseudo,
    some,
)

_UP = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LOW = _UP.lower()
_DIGITS = "0123456789"
_HEX = "0123456789abcdef"
_CODE_SHAPES = """AA-#### AAA-### AA##### A-#### ####-AA #######  ###-### AAA#### AA-##-AA #A#A#A AAAA-## A#### ##-#### AA/####/## #####  AA-#####-A aa### aaa-##### AAAA#### A##-### ###.### AAA_### #####-A AA##-##
######## AAAAA-# A#-A#-A# aa##aa ####/## AA.### ## ### #### ####A""".split()
_DOMAINS = ["example.com", "example.org", "example.net", "mail.example", "post.example", "inbox.example", "web.example"]
_STREETS = "Street Road Lane Avenue Way Close Drive Court Place Row Square Hill Terrace Walk Crescent Gate".split()
_EXT = "txt csv pdf png doc zip log json md wav jpg xml".split()
_UNITS = "kg g km m cm mm litres ml miles feet inches hours minutes days weeks pages pieces boxes grams tons watts metres".split()
_LANGS = "English French German Spanish Italian Polish Dutch Danish Swedish Finnish Greek Turkish Welsh Irish Czech Hindi Arabic Korean Japanese Latin".split()
_CUR = ["$", "£", "€", "EUR ", "USD ", "CHF "]


def code(r):
    return "".join(
        pick(r, _DIGITS) if c == "#" else pick(r, _UP) if c == "A" else pick(r, _LOW) if c == "a" else c
        for c in pick(r, _CODE_SHAPES)
    )


def number(r):
    x = r.random()
    return str(
        between(r, 0, 9)
        if x < 0.2
        else between(r, 10, 99) if x < 0.5 else between(r, 100, 999) if x < 0.75 else between(r, 1000, 99999)
    )


def digits(r):
    return "".join(pick(r, _DIGITS) for _ in range(between(r, 4, 10)))


def small(r):
    return str(between(r, 1, 12))


def person(r):
    return first_name(r) + " " + last_name(r)


def phrase(r):
    return pick(r, ADJECTIVES) + " " + pick(r, NOUNS)


def thing(r):
    x = r.random()
    if x < 0.35:
        return pick(r, NOUNS)
    if x < 0.6:
        return phrase(r)
    if x < 0.75:
        return pick(r, MATERIALS) + " " + pick(r, NOUNS)
    if x < 0.9:
        return pick(r, NOUNS) + " " + pick(r, NOUNS)
    return pick(r, COLOURS) + " " + pseudo(r)


def brand(r):
    """An invented proper name, often with a word or a model number beside it."""
    w = pseudo(r).capitalize()
    x = r.random()
    if x < 0.35:
        return w
    if x < 0.55:
        return w + " " + pick(r, NOUNS)
    if x < 0.7:
        return w + " " + pseudo(r).capitalize()
    if x < 0.85:
        return w + " " + pick(r, ["X", "S", "Pro ", "T", "Mk ", "No. ", ""]) + str(between(r, 1, 900))
    return pick(r, ADJECTIVES).capitalize() + " " + pick(r, NOUNS).capitalize()


def date(r):
    d, m, y = between(r, 1, 28), between(r, 0, 11), between(r, 2015, 2035)
    x = r.random()
    if x < 0.3:
        return "%d %s" % (d, MONTHS[m])
    if x < 0.5:
        return "%04d-%02d-%02d" % (y, m + 1, d)
    if x < 0.6:
        return "%d %s %d" % (d, MONTHS[m], y)
    if x < 0.7:
        return "%s %d" % (MONTHS[m], d)
    if x < 0.8:
        return "%02d/%02d/%d" % (d, m + 1, y)
    if x < 0.87:
        return "%d.%d." % (d, m + 1)
    if x < 0.94:
        return "%d %s" % (d, MONTHS[m][:3])
    return "%s %d, %d" % (MONTHS[m], d, y)


def clock(r):
    h, m = between(r, 0, 23), 5 * between(r, 0, 11)
    x = r.random()
    if x < 0.6:
        return "%02d:%02d" % (h, m)
    if x < 0.8:
        return "%d:%02d %s" % (h % 12 + 1, m, pick(r, ["am", "pm"]))
    return "%d%s" % (h % 12 + 1, pick(r, ["am", "pm", " pm", " am"]))


def money(r):
    return pick(r, _CUR) + (
        "%d.%02d" % (between(r, 1, 400), between(r, 0, 99)) if r.random() < 0.7 else str(between(r, 5, 3000))
    )


def decimal(r):
    return "%d.%d" % (between(r, 0, 99), between(r, 1, 99))


def user_name(r):
    x = r.random()
    a, b = first_name(r).lower(), last_name(r).lower()
    return (
        a + pick(r, [".", "_", "", "-"]) + b
        if x < 0.5
        else a + str(between(r, 1, 99)) if x < 0.75 else pseudo(r) + pick(r, ["", "_", "."]) + pick(r, NOUNS)
    )


def email(r):
    return user_name(r) + "@" + (pick(r, _DOMAINS) if r.random() < 0.7 else pseudo(r) + ".example")


def phone(r):
    x = r.random()
    if x < 0.4:
        return "555-%04d" % between(r, 0, 9999)
    if x < 0.7:
        return "+%d 555 %03d %04d" % (between(r, 1, 99), between(r, 0, 999), between(r, 0, 9999))
    return "0%d 555 %03d" % (between(r, 10, 999), between(r, 0, 999))


def url(r):
    return (
        pick(r, ["https://", "http://", "www."])
        + pseudo(r)
        + ".example"
        + ("/" + pick(r, NOUNS) if r.random() < 0.6 else "")
    )


def address(r):
    return "%d %s %s" % (between(r, 1, 240), pick(r, [last_name(r), pick(r, NOUNS).capitalize()]), pick(r, _STREETS))


def file_name(r):
    return (
        pick(r, [pick(r, NOUNS), pseudo(r)])
        + pick(r, ["_", "-", "", "."])
        + str(between(r, 1, 2030))
        + "."
        + pick(r, _EXT)
    )


def hex_id(r):
    return "".join(pick(r, _HEX) for _ in range(between(r, 5, 9)))


def quantity(r):
    return (number(r) if r.random() < 0.6 else decimal(r)) + " " + pick(r, _UNITS)


def place(r):
    return city(r)


def short_text(r):
    n = between(r, 2, 4)
    return " ".join(pick(r, NOUNS) if r.random() < 0.6 else pick(r, ADJECTIVES) for _ in range(n))


def count_word(r):
    return NUMBER_WORDS[between(r, 1, 20)]


MAKERS = {
    "code": code,
    "number": number,
    "digits": digits,
    "small": small,
    "person": person,
    "first": first_name,
    "last": last_name,
    "thing": thing,
    "brand": brand,
    "date": date,
    "time": clock,
    "money": money,
    "decimal": decimal,
    "user": user_name,
    "email": email,
    "phone": phone,
    "url": url,
    "address": address,
    "file": file_name,
    "hex": hex_id,
    "quantity": quantity,
    "city": place,
    "text": short_text,
    "count": count_word,
    "pseudo": pseudo,
    "phrase": phrase,
    "colour": lambda r: pick(r, COLOURS),
    "material": lambda r: pick(r, MATERIALS),
    "weekday": lambda r: pick(r, WEEKDAYS),
    "month": lambda r: pick(r, MONTHS),
    "language": lambda r: pick(r, _LANGS),
    "noun": lambda r: pick(r, NOUNS),
    "adjective": lambda r: pick(r, ADJECTIVES),
    "percent": lambda r: str(between(r, 1, 99)) + "%",
    "temperature": lambda r: str(between(r, -20, 40)) + " degrees",
    "flight": lambda r: pick(r, _UP) + pick(r, _UP) + " " + str(between(r, 10, 4999)),
    "nouns": lambda r: " and ".join(some(r, NOUNS, 2)),
}
_ANY = list(MAKERS)
NUMERIC = {"number", "small", "decimal"}


def any_type(r):
    return pick(r, _ANY)


def make(r, kind):
    return MAKERS[kind](r)
