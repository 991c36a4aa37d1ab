"""Short rewriting: dates and names to another form, letters, lists, abbreviations of the prompt's own, forms to fill in, heads and shortenings."""

import re

import render
from fields import _PARTS, SLOTS, decorate, fill
from talk import remark
from values import make, person, phone, short_text, thing
from words import (
    ADJECTIVES,
    GREETINGS,
    MONTHS,
    NOUNS,
    NUMBER_WORDS,
    PLACES,
    THANKS,
    TIMES,
    VERBS,
    WEEKDAYS,
    between,
    city,
    first_name,
    last_name,
    pick,
    pseudo,
    shuffled,
    some,
)

_DATE_FORMS = {
    "YYYY-MM-DD": lambda d, m, y: "%04d-%02d-%02d" % (y, m + 1, d),
    "DD/MM/YYYY": lambda d, m, y: "%02d/%02d/%04d" % (d, m + 1, y),
    "D Month YYYY": lambda d, m, y: "%d %s %d" % (d, MONTHS[m], y),
    "Month D, YYYY": lambda d, m, y: "%s %d, %d" % (MONTHS[m], d, y),
    "D.M.YYYY": lambda d, m, y: "%d.%d.%d" % (d, m + 1, y),
    "D Mon YYYY": lambda d, m, y: "%d %s %d" % (d, MONTHS[m][:3], y),
    "MM/DD/YYYY": lambda d, m, y: "%02d/%02d/%04d" % (m + 1, d, y),
    "YYYY/MM/DD": lambda d, m, y: "%d/%02d/%02d" % (y, m + 1, d),
    "DDMonYY": lambda d, m, y: "%02d%s%02d" % (d, MONTHS[m][:3], y % 100),
    "DD-MM-YY": lambda d, m, y: "%02d-%02d-%02d" % (d, m + 1, y % 100),
}
_FORM_NAMES = list(_DATE_FORMS)
_CARRY = [
    "I will come {}.",
    "due {}",
    "{}",
    "It was {}.",
    "Starts {} in {c}",
    "{} please",
    "born {}",
    "on {}, {p}",
    "we met on {}",
    "The {n} arrived on {}.",
]


def dates(r):
    d, m, y = between(r, 1, 28), between(r, 0, 11), between(r, 1950, 2040)
    a, b = some(r, _FORM_NAMES, 2)
    known = "Month" in a or "Mon" in a or a.startswith("YYYY") or d > 12
    text = pick(r, _CARRY).format(_DATE_FORMS[a](d, m, y), c=city(r), p=first_name(r), n=pick(r, NOUNS))
    q = pick(
        r,
        (
            [
                "Write the date as {b}.",
                "Date as {b}",
                "{b}",
                "Give the date in the form {b}.",
                "Rewrite dates: {b}.",
                "Change the date to {b}.",
            ]
            if known
            else ["The date is {a}. Write it as {b}.", "{a} -> {b}", "From {a} to {b}."]
        ),
    )
    return render.example([("system", q.format(a=a, b=b)), ("user", text)], _DATE_FORMS[b](d, m, y))


_SHAPES = [
    (["Write in capitals.", "UPPER CASE", "Make it upper case.", "all caps please"], str.upper),
    (["Write in small letters.", "lower case", "Make it lower case.", "no capitals"], str.lower),
    (
        ["Title case.", "Each Word With a Capital.", "Capitalise every word."],
        lambda s: " ".join(w[:1].upper() + w[1:] for w in s.split(" ")),
    ),
    (["Join the words with underscores.", "snake_case", "Replace spaces by _"], lambda s: s.lower().replace(" ", "_")),
    (["Join the words with hyphens.", "kebab-case", "As a url slug."], lambda s: s.lower().replace(" ", "-")),
    (["Put it in quotes.", "Add quotation marks.", "Quote it."], lambda s: '"' + s + '"'),
    (["Put it in brackets.", "Wrap in [ ]."], lambda s: "[" + s + "]"),
    (["Remove the spaces.", "No spaces."], lambda s: s.replace(" ", "")),
    (["Words in reverse order.", "Last word first."], lambda s: " ".join(reversed(s.split(" ")))),
    (["Only the first word.", "First word?"], lambda s: s.split(" ")[0]),
    (["Only the last word.", "Last word?"], lambda s: s.split(" ")[-1]),
    (["Words separated by commas.", "Comma separated."], lambda s: ", ".join(s.split(" "))),
    (["Initials.", "First letters only."], lambda s: "".join(w[0] for w in s.split(" ")).upper()),
    (["One word per line.", "Split into lines."], lambda s: "\n".join(s.split(" "))),
    (
        ["Initial and last word, as in A. Bell.", "Shorten the first word to its letter and a dot."],
        lambda s: s[0].upper() + ". " + " ".join(s.split(" ")[1:]),
    ),
]


def shapes(r):
    asks, change = pick(r, _SHAPES)
    x = r.random()
    text = (
        person(r)
        if x < 0.3
        else (
            thing(r) + " " + thing(r)
            if x < 0.6
            else short_text(r) if x < 0.8 else pick(r, ADJECTIVES) + " " + pick(r, NOUNS) + " " + pick(r, PLACES)
        )
    )
    return render.example(
        [("system", pick(r, asks)), ("user", text)] if r.random() < 0.7 else [("user", pick(r, asks) + " " + text)],
        change(text),
    )


def names(r):
    a, b = first_name(r), last_name(r)
    form = pick(
        r,
        [
            "{b}, {a}",
            "{a} {b}",
            "{i}. {b}",
            "{B} {a}",
            "{a} {j}.",
            "Dr {b}",
            "{b} {i}",
            "{B}, {i}.",
            "{a}.{b}",
            "Family {b}",
        ],
    )
    show = form.format(a="First", b="Last", i="F", j="L", B="LAST")
    text = pick(
        r,
        [
            "I am {a} {b}.",
            "{a} {b}",
            "my name is {a} {b}",
            "This is {a} {b} speaking.",
            "Signed: {a} {b}",
            "{b}, {a}" if form != "{b}, {a}" else "{a} {b}",
        ],
    ).format(a=a, b=b)
    return render.example(
        [
            ("system", pick(r, ["Write the name as '%s'.", "Name format: %s", "%s", "Give the name like %s."]) % show),
            ("user", text),
        ],
        form.format(a=a, b=b, i=a[0], j=b[0], B=b.upper()),
    )


def swaps(r):
    """Replace words as the prompt says."""
    pairs = []
    for _ in range(between(r, 1, 3)):
        x = r.random()
        a, b = (
            (pick(r, NOUNS), pick(r, NOUNS))
            if x < 0.4
            else (pseudo(r, 1), pick(r, NOUNS)) if x < 0.7 else (pick(r, NOUNS)[:3] + ".", pick(r, NOUNS))
        )
        if (
            a != b
            and not any(a in p or p in a for q in pairs for p in q)
            and not any(b in p or p in b for q in pairs for p in q)
        ):
            pairs.append((a, b))
    if not pairs:
        return shapes(r)
    words = []
    for a, _ in pairs:
        words.append(
            pick(r, ["the {a}", "my {j} {a}", "a {a} {pl}", "{a}", "no {a} {t}"]).format(
                a=a, j=pick(r, ADJECTIVES), pl=pick(r, PLACES), t=pick(r, TIMES)
            )
        )
    text = pick(r, ["I see ", "We need ", "Bring ", "There is ", "", "He took "]) + " and ".join(words)
    if any(len(re.findall(r"(?<!\w)" + re.escape(a) + r"(?!\w)", text)) != 1 or text.count(a) != 1 for a, _ in pairs):
        return names(r)
    answer = text
    for a, b in pairs:
        answer = answer.replace(a, b)
    form = pick(r, ["{a} = {b}", "{a} -> {b}", "{a} means {b}", "write {b} for {a}"])
    q = pick(r, ["Replace: ", "Expand: ", "Change words: ", "Rewrite with ", ""]) + pick(r, ["; ", ", "]).join(
        form.format(a=a, b=b) for a, b in pairs
    )
    return render.example([("system", q), ("user", text)], answer)


_SHORT = {
    "st": "Street",
    "rd": "Road",
    "ave": "Avenue",
    "ln": "Lane",
    "sq": "Square",
    "dr": "Drive",
    "ct": "Court",
    "pl": "Place",
}


def tidy(r):
    x = r.random()
    if x < 0.3:
        short = pick(r, list(_SHORT))
        n, w, c = between(r, 1, 300), last_name(r), city(r)
        text = "%d %s %s%s, %s" % (
            n,
            w.lower() if r.random() < 0.7 else w,
            short if r.random() < 0.7 else short.capitalize(),
            pick(r, ["", "."]),
            c.lower() if r.random() < 0.5 else c,
        )
        return render.example(
            [
                (
                    "system",
                    pick(
                        r,
                        [
                            "Write the address in full.",
                            "Clean up the address.",
                            "Tidy: number, Name, full street word, City.",
                        ],
                    ),
                ),
                ("user", text),
            ],
            "%d %s %s, %s" % (n, w, _SHORT[short], " ".join(p.capitalize() for p in c.split(" "))),
        )
    if x < 0.5:
        h, m, pm = between(r, 1, 12), 5 * between(r, 0, 11), r.random() < 0.5
        text = pick(r, ["%d:%02d %s", "at %d:%02d %s", "see you at %d:%02d %s"]) % (h, m, "pm" if pm else "am")
        return render.example(
            [("system", pick(r, ["24 hour time.", "Write the time as HH:MM, 24 hours.", "HH:MM"])), ("user", text)],
            "%02d:%02d" % (h % 12 + (12 if pm else 0), m),
        )
    if x < 0.7:
        n = between(r, 1, 20)
        w = NUMBER_WORDS[n]
        to_digit = r.random() < 0.5
        noun = pick(r, NOUNS)
        a, b = "%s %s" % (w, noun), "%d %s" % (n, noun)
        return render.example(
            [
                (
                    "system",
                    (
                        pick(r, ["Numbers as digits.", "Use digits."])
                        if to_digit
                        else pick(r, ["Numbers as words.", "Spell out numbers."])
                    ),
                ),
                ("user", a if to_digit else b),
            ],
            b if to_digit else a,
        )
    if x < 0.85:
        p = phone(r)
        return render.example(
            [
                ("system", pick(r, ["Phone number without spaces or dashes.", "Digits only."])),
                ("user", pick(r, ["call %s", "%s", "my number is %s"]) % p),
            ],
            "".join(c for c in p if c.isdigit()),
        )
    words = some(r, NOUNS, between(r, 2, 5))
    up = r.random() < 0.5
    return render.example(
        [("system", "Sort the words from A to Z." if up else "Number the words."), ("user", ", ".join(words))],
        ", ".join(sorted(words)) if up else "\n".join("%d. %s" % (i + 1, w) for i, w in enumerate(words)),
    )


def forms(r):
    """A line of the house's own to be filled in from a text."""
    text, found = fill(r)
    keys = []
    for slot, _, value in found:
        k = pick(r, SLOTS[slot][1])
        if k not in [q for q, _ in keys]:
            keys.append((k, value))
    if r.random() < 0.6:
        keys = shuffled(r, keys)
    keys = keys[: between(r, 1, 4)]
    mark = pick(r, ["{%s}", "<%s>", "[%s]", "$%s", "%s"])
    joint = pick(r, [" - ", " / ", ", ", " | ", ": ", " for ", " at ", " (", "; "])
    upper = r.random() < 0.15
    lead = pick(
        r,
        [
            "",
            "",
            pick(r, NOUNS).upper() + " ",
            "Re: ",
            "Dear team, ",
            pick(r, NOUNS).capitalize() + ": ",
            "#",
            "Note: ",
            pick(r, VERBS)[0].capitalize() + " ",
        ],
    )
    tail = ")" if joint == " (" and len(keys) == 2 else pick(r, ["", "", ".", "!"])
    if joint == " (" and len(keys) != 2:
        joint = " "
    pattern = lead + joint.join(mark % k for k, _ in keys) + tail
    answer = lead + joint.join(v for _, v in keys) + tail
    if upper:
        answer = answer.upper()
    q = pick(
        r,
        [
            "Write one line: {p}",
            "Format: {p}",
            "Fill in: {p}",
            "Pattern {p}",
            "Answer in the form {p}",
            "House style: {p}",
            "{p}",
        ],
    ).format(p=pattern) + (" In capitals." if upper else "")
    return render.example(
        [("system", q), ("user", decorate(r, text))] if r.random() < 0.75 else [("user", decorate(r, text) + "\n" + q)],
        answer,
    )


def shorten(r):
    """Leave out the talk around the one thing that matters."""
    parts = pick(r, _PARTS)
    values = {p: make(r, SLOTS[p][0]) for p in parts[1::2]}
    core = "".join(values[p] if i % 2 else p for i, p in enumerate(parts))
    before = [pick(r, GREETINGS)] * (r.random() < 0.6) + [remark(r)] * (r.random() < 0.6)
    after = [remark(r)] * (r.random() < 0.6 or not before) + [pick(r, THANKS)] * (r.random() < 0.5)
    q = pick(
        r,
        [
            "Give only the sentence that matters.",
            "Remove greetings and small talk.",
            "Keep the point, drop the rest.",
            "Shorten.",
            "What does it really say? Copy that part.",
            "Cut everything polite.",
        ],
    )
    return render.example([("system", q), ("user", " ".join(before + [core] + after))], core)


def sums(r):
    a, b = between(r, 0, 99), between(r, 0, 99)
    if r.random() < 0.5:
        return render.example([("user", pick(r, ["%d + %d", "Add %d and %d.", "%d plus %d?"]) % (a, b))], str(a + b))
    return render.example([("user", pick(r, ["%d - %d", "%d minus %d?"]) % (max(a, b), min(a, b)))], str(abs(a - b)))


def calendar(r):
    i = between(r, 0, 6)
    if r.random() < 0.5:
        return render.example(
            [("user", pick(r, ["Which day comes after %s?", "The day after %s?"]) % WEEKDAYS[i])], WEEKDAYS[(i + 1) % 7]
        )
    m = between(r, 0, 11)
    return render.example(
        [("user", pick(r, ["Which number has the month %s?", "%s as a number"]) % MONTHS[m])], str(m + 1)
    )


def rewrite(r):
    x = r.random()
    return (
        forms
        if x < 0.34
        else (
            shorten
            if x < 0.48
            else (
                dates
                if x < 0.62
                else (
                    shapes
                    if x < 0.74
                    else (
                        swaps
                        if x < 0.84
                        else names if x < 0.9 else tidy if x < 0.96 else sums if x < 0.985 else calendar
                    )
                )
            )
        )
    )(r)
