"""Parts of the sample: a chooser that any Python repeats, a small grammar, and invented names, places and goods."""

import re

ALPHANUMERIC = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_CHOICE = re.compile(r"<([^<>]*)>")

_ON = "B D F G H K L M N P R S T V W Br Cl Cr Dr Fl Gl Gr Kl Pl Pr Sh Sk Sl St Th Tr Tw".split()
_VO = "a e i o u a e i o ea oa ee ai".split()
_MID = "l r n m d t v s rr nn ll dd st nd rl lm rk sk".split()
_LINE_END = "ow ick en ax on ard ell im ish et or una eft ane ock".split()
_FIRST_END = "a an eth in ia or el is een as una ric ela mar ith".split()
_LAST_END = "wright field worth mere ridge combe dale well stone thorpe lock brook gate march hurst shaw croft".split()
_TOWN_END = "mere bridge holt wick combe stow minster leigh thwaite burn hithe stoke moor hampton wold beck".split()
_REAL = set(
    """fiskars gardena bosch stihl wolf felco spear niwaki darlac wilkinson draper kent hozelock karcher ryobi makita flymo einhell worx burgon bulldog kew haws""".split()
)

# the catalogue's kinds of goods: shared by all sides of any split
GOODS = """pruning saw|hand fork|leaf rake|garden hose|bypass lopper|lawn edger|bulb planter|dibber set|kneeling pad|water butt|compost bin|cold frame|seed tray|plant label|soil sieve|garden twine|hedge shear|border spade|digging fork|patio weeder
hose reel|spray lance|bird feeder|wheel barrow|grass shear|potting bench|fruit picker|dutch hoe|garden line|root pruner|lawn aerator|leaf blower|chain saw|strimmer head|tool rack|grow tunnel|cane topper|plant tie|rain gauge|work glove""".replace(
    "\n", "|"
).split(
    "|"
)

COUNT_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def pick(r, seq):
    """A member of seq, by r.random() alone, so that every Python gives the same."""
    return seq[int(r.random() * len(seq))]


def between(r, low, high):
    return low + int(r.random() * (high - low + 1))


def shuffled(r, seq):
    out = list(seq)
    for i in range(len(out) - 1, 0, -1):
        j = int(r.random() * (i + 1))
        out[i], out[j] = out[j], out[i]
    return out


def digits(r, n):
    return "".join(pick(r, "0123456789") for _ in range(n))


def letters(r, n, alphabet=ALPHANUMERIC):
    return "".join(pick(r, alphabet) for _ in range(n))


def say(r, pattern, **slots):
    """Expands <a|b|c>, innermost first, then fills in {slot}."""
    while True:
        m = _CHOICE.search(pattern)
        if not m:
            break
        pattern = pattern[: m.start()] + pick(r, m.group(1).split("|")) + pattern[m.end() :]
    for k, v in slots.items():
        pattern = pattern.replace("{" + k + "}", str(v))
    return pattern


def alternatives(text):
    """Patterns separated by bars; the bars inside <> belong to a pattern."""
    out, depth, word = [], 0, ""
    for c in text:
        depth += (c == "<") - (c == ">")
        if c == "|" and depth == 0:
            out.append(word)
            word = ""
        else:
            word += c
    return out + [word]


class Once:
    """Draws from a maker, never the same value twice."""

    def __init__(self):
        self.used = set()

    def __call__(self, r, maker):
        while True:
            v = maker(r)
            if v.lower() not in self.used and v.lower() not in _REAL:
                self.used.add(v.lower())
                return v


def line_name(r):
    return pick(r, _ON) + pick(r, _VO) + pick(r, _MID) + pick(r, _LINE_END)


def first_name(r):
    return pick(r, _ON) + pick(r, _VO[:9]) + pick(r, _MID[:8]) + pick(r, _FIRST_END)


def full_name(r):
    return first_name(r) + " " + pick(r, _ON) + pick(r, _VO) + pick(r, _MID[:12]) + pick(r, _LAST_END)


def town(r):
    return pick(r, _ON) + pick(r, _VO) + pick(r, _MID) + pick(r, _TOWN_END)


def street(r):
    return "%d %s%s%s %s" % (
        between(r, 1, 190),
        pick(r, _ON),
        pick(r, _VO),
        pick(r, _MID[:8]) + pick(r, ["ton", "ley", "ham", "by"]),
        pick(r, ["Road", "Lane", "Street", "Close", "Way"]),
    )


def order_number(r):
    return "BW-" + digits(r, 5)


def tracking_number(r):
    return letters(r, 2, "GXTQZ") + digits(r, 7)


def price(r):
    return "%d.%s" % (between(r, 4, 89), pick(r, ["00", "25", "40", "50", "75", "80", "90", "95", "99"]))


_TYPO_WORDS = re.compile(r"\b[a-z]{5,}\b")


def careless(r, text, keep):
    """A hurried writer's text: now and then a slip of the finger, never inside a value of keep."""
    if r.random() < 0.8:
        return text
    spots = [m for m in _TYPO_WORDS.finditer(text) if not any(m.group(0) in k for k in keep)]
    if not spots:
        return text
    m = pick(r, spots)
    w = m.group(0)
    i = between(r, 1, len(w) - 2)
    slip = pick(r, ["swap", "drop", "double"])
    w = (
        w[:i] + w[i + 1] + w[i] + w[i + 2 :]
        if slip == "swap"
        else w[:i] + w[i + 1 :] if slip == "drop" else w[:i] + w[i] + w[i:]
    )
    return text[: m.start()] + w + text[m.end() :]
