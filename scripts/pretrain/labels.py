"""Choosing one label among those that the prompt lists: by topic, by mood, by a rule given there, by what a text contains."""

import render
from fields import decorate
from values import any_type, make, thing
from words import (
    ADJECTIVES,
    ADVERBS,
    COLOURS,
    MATERIALS,
    MONTHS,
    NOUNS,
    PLACES,
    TIMES,
    VERBS,
    WEEKDAYS,
    between,
    city,
    first_name,
    pick,
    pseudo,
    shuffled,
    some,
)

# topic / other names for it: phrases. {n} noun, {a} adjective, {p} name, {c} town, {t} time
_TOPICS = """weather,forecast,climate: rain is expected {t}|the wind in {c} is strong|will it snow {t}?|a thunder storm is coming|it was foggy and cold {t}|how warm will it be?|the sky is clear over {c}|frost warning {t}|bring an umbrella, heavy showers
sport,sports,athletics: the match ended two to one|who won the final {t}?|our goalkeeper is hurt|{p} ran a marathon in {c}|training is cancelled {t}|the tennis court is wet|she swims for the club|the coach picked a new team|they lost on penalties
food,cooking,kitchen: the soup needs more salt|a recipe with {n} please|bake it for an hour|how long do I boil eggs?|we ate fresh bread|the sauce is too thin|a vegetarian dinner for four|which spice goes with fish?|the cake did not rise
travel,trips,tourism: our hotel in {c} was lovely|two nights near the beach|do I need a visa for {c}?|the tour starts {t}|we missed our connection in {c}|which sights should we see?|a guide book of {c}|the luggage was too heavy
health,medical,doctor: my knee hurts when I walk|the pills make me dizzy|I have a fever {t}|the nurse took my blood pressure|when is the clinic open?|a rash on my arm|I cannot sleep {t}|my back aches|the wound is healing
music,concert,band: the guitar is out of tune|she sings in a choir|a new album by {p}|the drummer was too loud|tickets for the concert in {c}|learn the piano at home|this song is stuck in my head|the orchestra plays {t}
computer,technical,it: my screen stays black|the program crashes {t}|I forgot my password|the printer is offline|install the update|the server does not respond|my laptop is very slow|a virus was found|the file will not open
school,education,learning: the homework is due {t}|my teacher is {p}|the exam was hard|our class visits {c}|I failed maths|the term starts {t}|pupils need a new book|she got a degree|who teaches history?
animals,pets,vet: our cat will not eat|the dog barks {t}|a horse with a sore leg|what do rabbits like?|the parrot can talk|my puppy needs a vaccine|the hamster escaped|two kittens looking for a home
housing,rent,property: the flat has two bedrooms|my landlord raised the rent|the heating in the house is broken|we are moving {t}|a house for sale in {c}|the neighbours upstairs are loud|the lease ends {t}|a room to let
law,legal,court: the judge postponed the case|my lawyer is {p}|we signed a contract|is this clause valid?|they were sued {t}|the witness was heard|a fine for speeding|he appealed against the verdict
council,politics,government: the mayor of {c} resigned|the vote is {t}|a new tax was passed|the minister spoke about schools|the election was close|parliament debates {t}|citizens signed a petition
farming,agriculture,fields: the harvest was poor|the tractor is stuck in mud|cows give less milk {t}|the wheat is ripe|sheep broke the fence|we sow barley {t}|the barn needs a roof
fashion,clothes,style: this dress is too long|a scarf in {k}|which shoes go with it?|the coat comes in three sizes|jeans are back|the tailor shortened my sleeves|a silk shirt for summer
art,painting,gallery: a painting by {p}|the museum shows portraits|she carves in marble|the gallery opens {t}|water colours dry fast|the sculpture was restored|he draws with chalk
cars,driving,vehicles: the brakes squeak|I need new tyres|the engine will not start|my driving test is {t}|the car needs petrol|a dent in the door|change the oil {t}|the gear box is stuck
jobs,work,career: I applied for the position|the interview is {t}|my boss is {p}|she was promoted|the salary is low|we are hiring a {n} expert|he quit his job|shift plan for {t}
games,play,leisure: your move with the knight|roll the dice again|level nine is hard|a card game for four|he cheats at chess|the puzzle has a thousand pieces|who has the joker?
books,reading,literature: the novel is by {p}|chapter three was dull|I borrowed two poems|the ending surprised me|she reads {t}|a story about a {n}|the author signs copies
film,cinema,movies: the actor was brilliant|the film starts {t}|seats in row nine|the plot made no sense|a comedy with {p}|subtitles were missing|we watched a western
history,past,archive: the castle was built by monks|an ancient coin was found|the war ended that year|the king lost his crown|documents from the last century|ruins near {c}
science,research,laboratory: the experiment failed|atoms are tiny|a telescope on the hill|she studies bacteria|the theory was proven|a rocket to the moon|measure the acid again
money,finance,bank: the interest rate rose|I cannot log in to my savings|transfer the sum {t}|my credit limit|shares fell {t}|a loan for a house|the exchange rate|open a deposit
cleaning,household,laundry: the floor is sticky|wash it at forty degrees|dust on every shelf|the vacuum is full|how do I remove a wine stain?|iron the shirts {t}|wipe the windows
energy,power,electricity: there was a power cut {t}|the meter reads too high|solar panels on the roof|the gas bill doubled|a fuse blew|switch off the lights|the boiler needs a check
safety,emergency,alarm: smoke in the hall|the fire door is locked|call an ambulance|the alarm rang {t}|someone slipped on ice|a gas smell in the cellar|the exit is blocked
building,construction,repairs: the wall has a crack|the plumber comes {t}|tiles for the bathroom|the roof leaks|a wooden floor|the crane arrives {t}|mix the concrete
transport,traffic,public transport: the bus was late {t}|a train to {c}|the road is closed|a jam near the bridge|which tram goes to {c}?|the ferry is full|a single ticket please
events,party,celebration: {p} turns fifty {t}|we invite eighty guests|the wedding is in {c}|a stage and some lights|the band is booked|balloons and a cake|send out the invitations
language,translation,grammar: how do you spell it?|translate this into Greek|is it who or whom?|the accent is wrong|a word for {n}|learn Polish in a year|the comma is missing
sea,sailing,harbour: the boat leaves with the tide|the anchor is lost|waves were high {t}|a lighthouse near {c}|the sails are torn|fish were jumping|the harbour master is {p}
mountains,hiking,outdoors: the trail is steep|we camped near a lake|a hut at the summit|my boots are wet|the rope is too short|a map of the valley|we saw an eagle
post,letters,mail: the letter has no stamp|a postcard from {c}|the envelope was open|the postman comes {t}|wrong address on it|the letter box is full
phones,mobile,telephone: the battery dies {t}|no signal in {c}|my number has changed|the call was cut off|a cracked display|a new sim card|it keeps ringing
news,media,press: the headline was wrong|an article about {c}|the editor is {p}|a report on radio|the paper prints {t}|an interview with {p}
children,family,parents: the baby cried {t}|a toy for a two year old|our son is shy|the nursery is closed|grandmother comes {t}|twins run in the family|a story before bed
dentist,teeth,dental: a tooth hurts {t}|my filling fell out|how often should I brush?|the crown is loose|my gums bleed|braces for my daughter
hair,beauty,salon: a haircut {t}|colour it {k}|my beard is long|the nail varnish chips|a cream for dry skin|curls or straight?
theatre,drama,stage: the play was sold out|{p} forgot the lines|the curtain fell early|costumes for the second act|rehearsal is {t}|row three of the balcony
coffee,cafe,drinks: a tea without sugar|the espresso is bitter|two lemonades please|iced coffee {t}|the milk foam is perfect|a glass of water""".split(
    "\n"
)
TOPICS = []
for _line in _TOPICS:
    _names, _phrases = _line.split(": ", 1)
    TOPICS.append((_names.split(","), _phrases.split("|")))

_ASK = """Choose one label: {l}.|Classify the message as one of: {l}.|Labels: {l}. Answer with one label.|Which of {l} fits? One word.|Sort into {l}.|Topic? Options: {l}|You tag messages. Tags: {l}.|Pick the best category from {l}.
Reply with exactly one of {l}.|You are a classifier. Classes: {l}.|Assign a queue: {l}|What is this about: {l}?|Label the text. Allowed: {l}. Nothing else.|Route to {l}.|Decide between {l}.|tag: {l}|One of {l}, please.""".replace(
    "\n", "|"
).split(
    "|"
)
_GOOD = "I love it|it was wonderful|great work|everything went well|I am very happy|the staff were kind|it tasted perfect|five stars from me|what a lovely day|better than expected|it makes me smile|a delight from start to end".split(
    "|"
)
_BAD = "I hate it|it was terrible|poor work|everything went wrong|I am very angry|the staff were rude|it tasted awful|never again|what a sad day|worse than expected|it makes me cry|a waste of money".split(
    "|"
)
_SO_SO = "it is on the table|the door is at the back|it opens at nine|there are two of them|it was moved to the hall|the paper is white|we met at noon|it is made of wood|he lives in the next street".split(
    "|"
)
_MOODS = [
    ("positive", "negative", "neutral"),
    ("good", "bad", "mixed"),
    ("happy", "angry", "calm"),
    ("praise", "complaint", "fact"),
    ("plus", "minus", "none"),
    ("up", "down", "flat"),
]


def sentence(r, phrase):
    return (
        phrase.replace("{n}", pick(r, NOUNS))
        .replace("{a}", pick(r, ADJECTIVES))
        .replace("{p}", first_name(r))
        .replace("{c}", city(r))
        .replace("{t}", pick(r, TIMES))
        .replace("{k}", pick(r, COLOURS))
    )


def _cap(r, text):
    x = r.random()
    if x < 0.7:
        text = text[0].upper() + text[1:]
        return text if text[-1] in "?." else text + pick(r, [".", ".", "!", ""])
    return text


def _listed(r, names):
    x = r.random()
    return (
        ", ".join(names)
        if x < 0.6
        else (
            " | ".join(names)
            if x < 0.7
            else (
                " / ".join(names)
                if x < 0.8
                else ", ".join(names[:-1]) + " or " + names[-1] if x < 0.92 else "; ".join(names)
            )
        )
    )


def _style(r, names):
    x = r.random()
    if x < 0.7:
        return names
    if x < 0.8:
        return [n.upper() for n in names]
    if x < 0.9:
        return [n.capitalize() for n in names]
    tail = pick(r, ["_team", "_desk", "_q", "_msg", "_case"])
    return [n.replace(" ", "_") + tail for n in names]


def _message(r, phrases):
    n = 1 if r.random() < 0.5 else 2
    return decorate(r, " ".join(_cap(r, sentence(r, p)) for p in some(r, phrases, n)))


def _finish(r, question, text, answer):
    x = r.random()
    if x < 0.7:
        return render.example([("system", question), ("user", text)], answer)
    if x < 0.85:
        return render.example([("user", question + "\n" + text)], answer)
    return render.example([("user", text + "\n" + question)], answer)


def by_topic(r):
    topics = some(r, TOPICS, between(r, 3, 9))
    names = _style(r, [pick(r, t[0]) for t in topics])
    i = between(r, 0, len(topics) - 1)
    return _finish(r, pick(r, _ASK).format(l=_listed(r, names)), _message(r, topics[i][1]), names[i])


def by_definition(r):
    """Labels without a meaning of their own: the prompt says what each stands for."""
    topics = some(r, TOPICS, between(r, 2, 6))
    x = r.random()
    if x < 0.35:
        names = [pseudo(r) for _ in topics]
    elif x < 0.6:
        names = [c for c, _ in zip("ABCDEFGH", topics)]
    elif x < 0.8:
        first = between(r, 1, 80)
        names = shuffled(r, [str(first + i) for i in range(len(topics))])
    else:
        names = [pseudo(r, 1).upper() + "-" + str(between(r, 1, 9)) for _ in topics]
    form = pick(r, ["%s = %s", "%s: %s", "%s for %s", "%s (%s)", "%s means %s"])
    rules = pick(r, ["; ", ", ", "\n"]).join(form % (n, pick(r, t[0])) for n, t in zip(names, topics))
    i = between(r, 0, len(topics) - 1)
    return _finish(
        r,
        pick(r, ["Give the code.\n", "Codes: ", "Answer with one code. ", "Legend: ", "Use these tags: ", "Rules: "])
        + rules,
        _message(r, topics[i][1]),
        names[i],
    )


def by_mood(r):
    names = pick(r, _MOODS)
    n = 3 if r.random() < 0.7 else 2
    i = between(r, 0, n - 1)
    phrase = pick(r, (_GOOD, _BAD, _SO_SO)[i])
    text = _cap(r, phrase) + (
        " "
        + _cap(
            r,
            "the " + pick(r, NOUNS) + " " + pick(r, ["was there", "is " + pick(r, COLOURS), "came " + pick(r, TIMES)]),
        )
        if r.random() < 0.5
        else ""
    )
    return _finish(r, pick(r, _ASK).format(l=_listed(r, shuffled(r, names[:n]))), decorate(r, text), names[i])


def by_rule(r):
    """A rule of the prompt's own: which word of the rule is in the text?"""
    n = between(r, 2, 5)
    cues = [
        make(r, pick(r, ["noun", "pseudo", "colour", "first", "city", "material", "weekday", "thing"]))
        for _ in range(n)
    ]
    if len(set(cues)) < n or any(a != b and a in b for a in cues for b in cues):
        return by_topic(r)
    names = some(r, NOUNS, n) if r.random() < 0.5 else [pseudo(r) for _ in range(n)]
    other = "other"
    i = between(r, 0, n) if r.random() < 0.4 else between(r, 0, n - 1)
    rule = pick(r, ["{c} -> {l}", "{c} goes to {l}", "{l} if it says {c}", "{l}: {c}", "when {c} then {l}"])
    rules = "; ".join(rule.format(c=c, l=l) for c, l in zip(cues, names)) + pick(
        r, ["; else other", ". Otherwise other.", "; rest other"]
    )
    cue = cues[i] if i < n else "nothing"
    text = pick(
        r,
        [
            "I saw {c} {t}.",
            "Please bring {c} {t}.",
            "There is {c} {pl}.",
            "What about {c}?",
            "{p} asked for {c}.",
            "My {n} has {c} on it.",
            "It is about {c}, {p} said.",
        ],
    )
    text = text.format(c=cue, t=pick(r, TIMES), pl=pick(r, PLACES), p=first_name(r), n=pick(r, NOUNS))
    return _finish(r, rules, decorate(r, text), names[i] if i < n else other)


def by_kind(r):
    """What sort of thing is this?"""
    kinds = {
        "colour": COLOURS,
        "material": MATERIALS,
        "month": MONTHS,
        "weekday": WEEKDAYS,
        "adverb": ADVERBS,
        "verb": [v[0] for v in VERBS],
    }
    made = {
        "person": "person",
        "date": "date",
        "price": "money",
        "e-mail": "email",
        "time": "time",
        "address": "address",
        "file": "file",
        "code": "code",
        "phone": "phone",
        "web address": "url",
    }
    if r.random() < 0.4:
        names = some(r, list(kinds), between(r, 2, 5))
        k = pick(r, names)
        v = pick(r, kinds[k])
    else:
        names = some(r, list(made), between(r, 2, 5))
        k = pick(r, names)
        v = make(r, made[k])
    return _finish(
        r,
        pick(r, ["What is this: {l}?", "Kind? {l}", "Is it a {l}?", "Type of the value, one of {l}."]).format(
            l=_listed(r, names)
        ),
        v,
        k,
    )


def yes_no(r):
    yes, no = pick(r, [("yes", "no"), ("true", "false"), ("Y", "N"), ("1", "0"), ("ok", "stop"), ("pass", "fail")])
    x = r.random()
    hit = r.random() < 0.5
    if x < 0.35:
        topic, other = some(r, TOPICS, 2)
        q = pick(
            r, ["Is it about {n}? {y} or {o}.", "Answer {y} if the text is about {n}, else {o}.", "{n}: {y}/{o}?"]
        ).format(n=pick(r, topic[0]), y=yes, o=no)
        return _finish(r, q, _message(r, (topic if hit else other)[1]), yes if hit else no)
    if x < 0.65:
        words = [make(r, any_type(r)) if r.random() < 0.4 else thing(r) for _ in range(between(r, 2, 5))]
        w = pick(r, words)
        if not hit:
            w = thing(r)
            hit = w in words
        q = pick(
            r,
            ["Does the list have {w}? {y} or {o}.", "Is {w} in it? ({y}/{o})", "{y} if {w} is listed, otherwise {o}."],
        ).format(w=w, y=yes, o=no)
        return _finish(r, q, ", ".join(words), yes if hit else no)
    a, b = between(r, 1, 999), between(r, 1, 999)
    q = pick(r, ["Is {a} more than {b}? {y} or {o}.", "{y} if {a} is above {b}, else {o}."]).format(
        a=a, b=b, y=yes, o=no
    )
    return render.example([("user", q)], yes if a > b else no)


def labels(r):
    x = r.random()
    return (
        by_topic
        if x < 0.42
        else (
            by_definition
            if x < 0.6
            else by_rule if x < 0.75 else by_mood if x < 0.83 else by_kind if x < 0.9 else yes_no
        )
    )(r)
