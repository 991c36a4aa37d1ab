"""Plain sentences, small stories and friendly talk from a grammar over the word lists: it teaches the language, not facts."""

import render
from labels import TOPICS, sentence
from talk import remark
from values import money
from words import (
    ADJECTIVES,
    ADVERBS,
    COLOURS,
    GREETINGS,
    MATERIALS,
    NOUNS,
    NUMBER_WORDS,
    PLACES,
    THANKS,
    TIMES,
    VERBS,
    between,
    city,
    first_name,
    pick,
    some,
)

_SENTENCES = """The {a} {n} is {pl}.|{p} {d} the {n} {t}.|{p} and {q} {d} a {a} {n} {pl}.|We {d} the {n} because it was {a}.|I will {v} the {n} {t}.|Do you want to {v} a {n}?|There are {w} {a} {n} boxes {pl}.|The {n} of {p} is {k} and {a}.|{p} is {a}, but {q} is {b}.
If the {n} is {a}, {v} it.|Nobody {d} the {n} {t}.|She has never {d} a {a} {n}.|When {p} came home, the {n} was {a}.|They {e} {d} the {n}.|My {n} is made of {m}.|It was a {a} day {pl}.|{q} said that the {n} was {a}.|The {n} costs {c}.
You can {v} the {n} or {u} it.|He {d} it {e}.|{p} lives in {y} and has a {a} {n}.|Please do not {v} the {n} {pl}.|A {n} is bigger than a {o}.|First we {d} the {n}, then we {f} the {o}.|Why did you {v} the {n}?|The {o} {pl} belongs to {p}.|I have {w} of them.|Every {n} needs a {o}.
{t} {p} {d} a {n} for {q}.|Who {d} my {k} {n}?|This {n} looks {a}, that one looks {b}.|It takes {w} days to {v} a {n}.|The {n} and the {o} were {a}.|{p}, could you {v} the {o}?|Some people {v} a {n} {t}.|We should {v} it before {q} {f} the {o}.""".replace(
    "\n", "|"
).split(
    "|"
)
_HELP = """I am sorry about that.|Thank you for telling us.|Of course, I can help with that.|That is good to hear.|Let me check this for you.|No problem at all.|We will take care of it.|I understand.|Thanks for your patience.|Please give us a little time.|You are welcome.|I see what you mean.
That should not happen.|Happy to help!|I have passed it on to my colleagues.|We will write to you soon.|Could you tell me a little more?|Have a nice day!|Is there anything else?|Sorry for the trouble.|All done.|I will look into it {t}.|We will {v} the {n} {t}.|Please {v} the {n} first.|You will hear from us {t}.|I will send it {t}.""".replace(
    "\n", "|"
).split(
    "|"
)


def line(r, template=None):
    a, b = some(r, ADJECTIVES, 2)
    n, o = some(r, NOUNS, 2)
    v, u = some(r, VERBS, 2)
    s = (template or pick(r, _SENTENCES)).format(
        a=a,
        b=b,
        n=n,
        o=o,
        v=v[0],
        u=u[0],
        d=v[1],
        f=u[1],
        e=pick(r, ADVERBS),
        p=first_name(r),
        q=first_name(r),
        pl=pick(r, PLACES),
        t=pick(r, TIMES),
        w=pick(r, NUMBER_WORDS),
        k=pick(r, COLOURS),
        m=pick(r, MATERIALS),
        c=money(r),
        y=city(r),
    )
    return s[0].upper() + s[1:]


def story(r):
    text = " ".join(line(r) if r.random() < 0.6 else remark(r) for _ in range(between(r, 2, 5)))
    return {
        "text": render.prompt(
            [
                (
                    "user",
                    pick(
                        r,
                        [
                            "Tell a story.",
                            "Write some sentences.",
                            "Say something.",
                            "Go on.",
                            "A short text, please.",
                            "Describe the day.",
                            "What happened?",
                        ],
                    ),
                )
            ]
        )
        + text
        + render.CLOSE
        + "\n"
    }


def question(r):
    """Questions about a sentence."""
    n, a, p, v = pick(r, NOUNS), pick(r, ADJECTIVES), first_name(r), pick(r, VERBS)
    pl, t, k = pick(r, PLACES), pick(r, TIMES), pick(r, COLOURS)
    form, asks = pick(
        r,
        [
            (
                "{p} {d} the {a} {n} {pl}.",
                [
                    ("Who {d} the {n}?", "{p}"),
                    ("What did {p} {v}?", "the {a} {n}"),
                    ("Where was the {n}?", "{pl}"),
                    ("How was the {n}?", "{a}"),
                ],
            ),
            (
                "The {k} {n} of {p} is {pl}.",
                [("Whose {n} is it?", "{p}"), ("Which colour has the {n}?", "{k}"), ("Where is it?", "{pl}")],
            ),
            (
                "{t} {p} {d} a {n}.",
                [("When did {p} {v} it?", "{t}"), ("Who {d} it?", "{p}"), ("What did {p} {v}?", "a {n}")],
            ),
            (
                "{p} wants the {k} {n}, but {x} wants the {a} one.",
                [
                    ("Who wants the {a} one?", "{x}"),
                    ("Who wants the {k} one?", "{p}"),
                    ("Which {n} does {x} want?", "the {a} one"),
                ],
            ),
        ],
    )
    q, ans = pick(r, asks)
    words = dict(n=n, a=a, p=p, v=v[0], d=v[1], pl=pl, t=t, k=k, x=first_name(r))
    text = form.format(**words)
    text = text[0].upper() + text[1:]
    if r.random() < 0.5:
        text = line(r) + " " + text if r.random() < 0.5 else text + " " + line(r)
    return render.example(
        (
            [("user", text + " " + q.format(**words))]
            if r.random() < 0.6
            else [("system", "Answer from the text."), ("user", text + "\n" + q.format(**words))]
        ),
        ans.format(**words),
    )


def chat(r):
    """A friendly answer that takes up the person's name and matter."""
    topic = pick(r, TOPICS)
    name = first_name(r)
    said = sentence(r, pick(r, topic[1]))
    x = r.random()
    user = (
        pick(r, GREETINGS)
        + " "
        + (pick(r, ["I am {p}. ", "{p} here. ", "My name is {p}. "]).format(p=name) if x < 0.6 else "")
        + said[0].upper()
        + said[1:]
        + ("" if said[-1] in "?." else ".")
        + (" " + remark(r) if r.random() < 0.4 else "")
    )
    reply = (
        pick(r, ["Hello {p}, ", "Dear {p}, ", "Hi {p}! "]).format(p=name)
        if x < 0.6
        else pick(r, ["Hello, ", "Hi! ", ""])
    )
    body = [line(r, pick(r, _HELP)) for _ in range(between(r, 2, 3))]
    reply += " ".join(body)
    if r.random() < 0.4:
        reply += (
            " "
            + pick(r, ["Regards, ", "Best wishes, ", "Yours, "])
            + pick(r, ["your team", "the help desk", "the office", first_name(r)])
        )
    system = pick(
        r,
        [
            "Write a friendly reply.",
            "You answer letters.",
            "Reply kindly in two or three sentences.",
            "You are the help desk. Be polite.",
            "Friendly answer, please.",
            "You talk to visitors.",
        ],
    )
    return {"text": render.prompt([("system", system), ("user", user)]) + reply + render.CLOSE + "\n"}


def heading(r):
    """What is it about, in a few words of the text."""
    n, a, p = pick(r, NOUNS), pick(r, ADJECTIVES), first_name(r)
    v = pick(r, VERBS)
    t = pick(r, TIMES)
    core, head = pick(
        r,
        [
            ("{p} {d} the {a} {n} {t}", "{a} {n}"),
            ("the {a} {n} must be {d} {t}", "{a} {n}"),
            ("{p} cannot {v} the {n}", "cannot {v} the {n}"),
            ("we need a new {n} for {p}", "new {n} for {p}"),
            ("I want to {v} my {a} {n}", "{v} {a} {n}"),
        ],
    )
    words = dict(n=n, a=a, p=p, v=v[0], d=v[1], t=t)
    core = core.format(**words)
    text = pick(r, GREETINGS) + " " + core[0].upper() + core[1:] + ". " + remark(r) + " " + pick(r, THANKS)
    return render.example(
        [
            (
                "system",
                pick(
                    r,
                    [
                        "A subject line of a few words.",
                        "Title?",
                        "Headline, at most five words.",
                        "Sum up in three or four words.",
                    ],
                ),
            ),
            ("user", text),
        ],
        head.format(**words),
    )


def prose(r):
    x = r.random()
    return (story if x < 0.3 else question if x < 0.6 else chat if x < 0.8 else heading)(r)
