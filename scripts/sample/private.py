"""Invented private data of the shapes that detectors look for: check digits are right, ranges are those kept for examples where such exist."""

import base64
import json

from parts import between, digits, letters, pick

_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BASE32 = _UPPER + "234567"
_URL64 = _UPPER + _UPPER.lower() + "0123456789-_"
_MAIL = ["example.com", "example.org", "example.net", "mail.example.com", "post.example.org", "home.example.net"]


def luhn_digit(number):
    """The digit that makes number + digit pass Luhn."""
    total = 0
    for i, c in enumerate(reversed(number)):
        d = int(c) * (2 if i % 2 == 0 else 1)
        total += d - 9 if d > 9 else d
    return str((10 - total % 10) % 10)


def luhn_ok(number):
    return luhn_digit(number[:-1]) == number[-1]


def iban_ok(iban):
    s = iban.replace(" ", "")
    return int("".join(str(int(c, 36)) for c in s[4:] + s[:4])) % 97 == 1


def _grouped(s, joint):
    return joint.join(s[i : i + 4] for i in range(0, len(s), 4))


def email(r, name):
    first, last = name.lower().split(" ")
    local = pick(
        r, [first + "." + last, first + last, first[0] + "." + last, last + str(between(r, 10, 99)), first + "_" + last]
    )
    return local + "@" + pick(r, _MAIL)


def phone(r):
    """Numbers that Ofcom keeps for drama."""
    area, tail = pick(
        r,
        [
            ("0113 496 0", 3),
            ("0114 496 0", 3),
            ("0115 496 0", 3),
            ("0116 496 0", 3),
            ("0117 496 0", 3),
            ("0118 496 0", 3),
            ("0121 496 0", 3),
            ("0131 496 0", 3),
            ("0141 496 0", 3),
            ("0151 496 0", 3),
            ("0161 496 0", 3),
            ("0191 498 0", 3),
            ("020 7946 0", 3),
            ("029 2018 0", 3),
            ("07700 900", 3),
            ("01632 960", 3),
        ],
    )
    return area + digits(r, tail)


def card(r):
    body = pick(r, ["400000", "411111", "555555", "520000"]) + digits(r, 9)
    return _grouped(body + luhn_digit(body), pick(r, [" ", "", "-"]))


def iban(r):
    country, body = pick(
        r, [("GB", "BRWK" + digits(r, 14)), ("DE", "0" + digits(r, 17)), ("NL", "BRWK" + digits(r, 10))]
    )
    check = 98 - int("".join(str(int(c, 36)) for c in body + country + "00")) % 97
    s = country + "%02d" % check + body
    return _grouped(s, " ") if r.random() < 0.5 else s


def ip(r):
    if r.random() < 0.2:
        return "2001:db8:%x:%x::%x" % (between(r, 1, 65535), between(r, 1, 65535), between(r, 1, 65535))
    return pick(r, ["192.0.2.", "198.51.100.", "203.0.113."]) + str(between(r, 1, 254))


def url_credential(r):
    return "%s://%s:%s@%s.example.%s/%s" % (
        pick(r, ["https", "ftp", "https"]),
        pick(r, ["shop", "feed", "export", "partner", "stock"]) + digits(r, 2),
        letters(r, 10),
        pick(r, ["files", "feeds", "ftp", "data"]),
        pick(r, ["com", "net", "org"]),
        pick(r, ["prices.csv", "stock.xml", "orders", "feed"]),
    )


def private_key(r):
    kind = pick(r, ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"])
    return "-----BEGIN %s-----\nMII%s\n%s\n%s==\n-----END %s-----" % (
        kind,
        letters(r, 61),
        letters(r, 64),
        letters(r, 30),
        kind,
    )


def jwt(r):
    def part(obj):
        return base64.urlsafe_b64encode(json.dumps(obj, separators=(",", ":")).encode()).decode().rstrip("=")

    return (
        part({"alg": "HS256", "typ": "JWT"})
        + "."
        + part({"sub": "c" + digits(r, 6), "exp": 1740000000 + between(r, 0, 9999999)})
        + "."
        + letters(r, 43, _URL64[:-2])
    )


def cloud_key(r):
    return pick(
        r, [lambda: "AKIA" + letters(r, 16, _BASE32), lambda: "AIza" + letters(r, 35), lambda: "ghp_" + letters(r, 36)]
    )()


def model_key(r):
    return pick(
        r,
        [
            lambda: "sk-proj-" + letters(r, 48),
            lambda: "sk-ant-api03-" + letters(r, 93) + "AA",
            lambda: "hf_" + letters(r, 34),
        ],
    )()


def card_like(r):
    """Sixteen digits that fail Luhn: a carrier's number, no card."""
    body = pick(r, ["34", "90", "12", "77"]) + digits(r, 13)
    return body + str((int(luhn_digit(body)) + between(r, 1, 9)) % 10)


MAKERS = {
    "phone": phone,
    "card": card,
    "iban": iban,
    "ip": ip,
    "url_credential": url_credential,
    "private_key": private_key,
    "jwt": jwt,
    "cloud_key": cloud_key,
    "model_key": model_key,
}
