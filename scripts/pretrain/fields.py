"""Texts with typed slots, and questions about them: fields to JSON and its relatives. Keys, wording and layout are drawn anew each time."""

import re

import render
from talk import careless, remark
from values import NUMERIC, any_type, make
from words import (
    ADJECTIVES,
    GREETINGS,
    NOUNS,
    NUMBER_WORDS,
    THANKS,
    between,
    first_name,
    last_name,
    pick,
    pseudo,
    shuffled,
    some,
)

# slot: (value type, names that a key may have)
SLOTS = {
    "guest": ("person", "guest guest_name name traveller full_name booked_by visitor"),
    "member": ("person", "member member_name name person who"),
    "host": ("first", "host host_name contact owner"),
    "doctor": ("last", "doctor physician dr seen_by"),
    "teacher": ("last", "teacher tutor instructor"),
    "pet": ("first", "pet pet_name animal_name"),
    "company": ("brand", "company firm business employer organisation"),
    "maker": ("brand", "maker brand manufacturer make"),
    "town": ("city", "town city location destination place"),
    "from": ("city", "from origin departure_city start"),
    "to": ("city", "to destination arrival_city target"),
    "street": ("address", "street address home_address"),
    "day": ("date", "date day on when"),
    "due": ("date", "due due_date deadline until"),
    "weekday": ("weekday", "weekday day day_of_week"),
    "time": ("time", "time at start_time hour"),
    "end": ("time", "end end_time until"),
    "room": ("code", "room room_no room_id"),
    "booking": ("code", "booking booking_no reservation ref reference"),
    "ticket": ("code", "ticket ticket_no number id"),
    "policy": ("code", "policy policy_no contract"),
    "meter": ("digits", "meter meter_id meter_no"),
    "reading": ("number", "reading value meter_reading"),
    "isbn": ("digits", "isbn book_no code"),
    "book": ("brand", "book title book_title"),
    "film": ("brand", "film movie title"),
    "song": ("brand", "song track title"),
    "dish": ("thing", "dish meal food order"),
    "product": ("brand", "product model device unit"),
    "serial": ("code", "serial serial_no sn"),
    "fault": ("phrase", "fault problem issue symptom"),
    "error": ("code", "error error_code code"),
    "count": ("small", "count n amount how_many number"),
    "people": ("small", "people guests party_size seats"),
    "price": ("money", "price cost amount total"),
    "fee": ("money", "fee charge amount"),
    "phone": ("phone", "phone telephone mobile call_back"),
    "mail": ("email", "email mail e_mail contact"),
    "web": ("url", "url link website page"),
    "login": ("user", "login user username account"),
    "file": ("file", "file file_name attachment document"),
    "colour": ("colour", "colour color paint"),
    "material": ("material", "material fabric made_of"),
    "size": ("quantity", "size length weight measure"),
    "language": ("language", "language lang tongue"),
    "flight": ("flight", "flight flight_no plane"),
    "gate": ("code", "gate door terminal"),
    "plate": ("code", "plate licence_plate registration reg"),
    "item": ("thing", "item object thing article"),
    "parcel": ("digits", "parcel parcel_no tracking shipment"),
    "course": ("phrase", "course class subject lesson"),
    "score": ("percent", "score result mark grade"),
    "team": ("brand", "team club squad"),
    "invoice": ("code", "invoice invoice_no bill"),
    "branch": ("city", "branch office site"),
    "version": ("decimal", "version release build"),
    "commit": ("hex", "commit revision hash"),
    "server": ("pseudo", "server host machine node"),
    "temp": ("temperature", "temp temperature degrees"),
    "percent": ("percent", "percent share rate discount"),
    "part": ("noun", "part component piece"),
    "topic": ("nouns", "topic subject about theme"),
    "reason": ("phrase", "reason cause why"),
    "plan": ("adjective", "plan tier level package"),
    "month": ("month", "month period"),
    "word": ("pseudo", "word password keyword token"),
    "job": ("noun", "job role position"),
    "crop": ("noun", "crop plant field"),
    "vessel": ("brand", "vessel ship boat"),
    "note": ("text", "note remark comment"),
}
SLOTS = {k: (t, names.split()) for k, (t, names) in SLOTS.items()}

TEXTS = """I would like to book {room} for {people} people on {day}, my name is {guest}.
This is {guest}, reservation {booking}, we will arrive at {time} on {day}.
Please move booking {booking} to {day}. {guest} will come instead.
We stayed in {town} with {people} guests and paid {price}.
Flight {flight} from {from} to {to} was late, it left at {time}.
My bag with the tag {ticket} did not arrive in {to}. Call me on {phone}.
A train from {from} to {to} on {day} at {time}, please, {people} seats.
{member} has an appointment with Dr {doctor} on {day} at {time}.
Could Dr {doctor} see my {pet} on {weekday}? It is about a {fault}.
The dog {pet} belongs to {member}, {street}, {town}.
My policy is {policy}, the damage happened on {day} in {town} and cost about {price}.
Claim for policy {policy}: {item} broken, repair {price}, see {file}.
Meter {meter} shows {reading} on {day}.
The reading of my meter {meter} in {street} is {reading}.
I want to borrow {book} with the number {isbn} until {due}.
Member {member} returned {book} on {day} and owes {fee}.
The book {book} is lost. I will pay the {fee}. Regards, {member}
Two tickets for {film} on {weekday} at {time}, seat {room}.
We saw {film} in {town} and the sound was {reason}.
Play {song} by {maker} in the {room} please.
Table for {people} at {time} on {weekday}, name {guest}, and one {dish}.
The {dish} was cold, table {room}, waiter {host}.
My {product} shows error {error} since {day}.
The {product} with serial {serial} has a {fault}.
Device {product}, serial {serial}, software {version}: {fault}, code {error}.
Server {server} went down at {time}, error {error}, last change {commit}.
Deploy version {version} of {server} at {time}; ask {host} if it fails.
Commit {commit} by {login} breaks {file}.
User {login} cannot open {file}, message {error}.
Please reset the account {login}, my mail is {mail}.
My login is {login} and the link {web} does not work.
You can reach me at {mail} or {phone}, {member}.
Send invoice {invoice} over {price} to {mail}.
Invoice {invoice} of {company} is due on {due}, amount {price}.
We owe {company} {price} for {item}, invoice {invoice}.
{company} in {town} is looking for a {job}, apply by {due}.
{member} applied for the job as {job} at {company}, speaks {language}.
Parcel {parcel} is at the {branch} branch, collect it by {due}.
Please deliver parcel {parcel} to {street} instead, on {weekday}.
The car {plate} was parked at {street} at {time}, fine {fee}.
I rent a car with plate {plate} from {from}, back on {due}.
Our {product} needs a new {part}, size {size}, colour {colour}.
We need {count} of the {material} {part}, each {size}.
Paint the {item} {colour}, it is made of {material}.
The {item} is {size} long and costs {price}.
The lesson {course} with {teacher} starts at {time} in {room}.
{member} got {score} in {course}, teacher {teacher}.
The exam in {course} is on {day} in room {room}.
{team} plays in {town} on {weekday} at {time}.
{team} won with {score} of the votes against {company}.
Ship {vessel} leaves {from} on {day} for {to}, berth {gate}.
Container {ticket} is on board the {vessel}, gate {gate}.
It was {temp} in {town} at {time}.
Oven {room} reached {temp} at {time}, batch {ticket}.
I want to switch to the {plan} plan from {month}, my contract is {policy}.
Cancel the {plan} plan of {member}, reason: {reason}.
We harvested {size} of {crop} in {month}.
The field of {crop} at {town} has a {fault}.
The password hint is {word}, user {login}.
Say {word} at gate {gate}, ask for {host}.
Raise the share of {company} to {percent}, says {member}.
There is {percent} off the {item} until {due}.
The meeting about {topic} is at {time} in {room}, bring {file}.
{host} talks about {topic} in {language} on {weekday}.
Translate {file} into {language} by {due}.
The courier {company} charged {fee} for {size}.
I found a {item} in {colour} near {street}.
Lost: {colour} {item}, last seen in {town} on {day}, call {phone}.
For sale: {maker} {item}, {price}, call {phone}.
Note for {host}: {note}.
Remind me of {note} on {day} at {time}.
The {maker} {part} does not fit, I ordered {count} of them on {day}.
{count} pieces of {item}, ticket {ticket}.
My ticket is {ticket} and I live in {town}.
The winner of number {ticket} is {member} from {town}.
{member} ({mail}) moved from {from} to {to}.
New address from {day}: {street}, {town}.
The museum in {town} lends us {item} until {due}, insured for {price}.
Exhibit {ticket}: {item}, {material}, found in {town}.
The patient in {room} needs {size} at {time}.
Blood sample {ticket}, Dr {doctor}, taken {day}.
Lab value {score}, sample {ticket}, machine {product}.
Workshop {course}: {people} places left, {fee} each, {weekday} at {time}.
The choir meets on {weekday} at {time}, bring {song}.
Order {count} crates of {crop} from {company}.
{host} said the code for the {part} is {word}.
Please print {file} {count} times in {colour}.
Backup {file} of {server} took {size}.
Lift {room} in {street} is stuck, fault {error}.
The tenant {member} in {street} pays {price} from {month}.
Tenant {member} reports a {fault} in {room}.
{guest} wants a {language} guide in {town} at {time}.
Grant {ticket}: {company} gets {price} for {topic}.
Taxi from {street} to gate {gate} at {time} for {people}.
The concert of {team} costs {price}, doors open at {time}, {town}.
Visa for {to}: passport {ticket}, arrival {day}.
My {pet} weighs {size} and eats {dish}.
The radio plays {song} at {time} on {month} mornings.
Vote {ticket}: {percent} for {member}.
Bus {ticket} to {to} stops at {street} at {time}.
Roof of {material}, {size}, quote {price} from {company}.
Wrong colour: I wanted {colour}, not {reason}, article {ticket}.
Alarm {error} in {branch} at {time}, sensor {serial}.
Sensor {serial} in {room} reads {temp}.
Upload {file} to {web} before {due}.
See {web} for {topic}, written by {member}.""".split("\n")
_PARTS = [re.split(r"\{(\w+)\}", t) for t in TEXTS]

_ASK = """Return JSON with the keys {k}.|Extract {k} as JSON.|JSON only: {k}|Reply with a JSON object: {k}.|Find {k}. Answer in JSON.|Give {k} in JSON form.|Turn the message into JSON ({k}).|Fields: {k}. Output JSON.|Read the note and fill in {k}.
Output one JSON object with exactly these keys: {k}.|You extract data. Keys: {k}.|Extract: {k}|Write JSON with {k}, nothing else.|You are a parser. Emit {k} as JSON.|json {k}|From the text below take {k} and print JSON.
Fill this record from the message: {k}. Use JSON.|Data entry clerk. Copy {k} exactly as written, as JSON.|Parse the request into {k} (JSON).|Keys in this order: {k}. JSON.""".replace(
    "\n", "|"
).split(
    "|"
)
_ASK_ONE = """What is the {k}? Answer with the value only.|Give the {k}.|Copy the {k} from the text.|{k}?|Find the {k}.|Only the {k}, please.|Extract the {k}; no other words.|Reply with the {k} and nothing else.|Which {k} is meant?""".replace(
    "\n", "|"
).split(
    "|"
)
_MISSING = [
    "Use null if it is missing.",
    "Missing values are null.",
    "null when not given.",
    "If a field is absent write null.",
]
_LINES = [
    "Write one line per field: {k}.",
    "List {k} as key: value lines.",
    "Format {k} as 'key: value', one a line.",
    "Lines of key: value for {k}.",
]
_CSV = ["Give {k} separated by {s}", "Output {k} in this order, separator {s}", "One line, {k}, joined by {s}"]
_CHAT_SYSTEM = [
    "You extract data from messages.",
    "You are a careful assistant.",
    "Answer briefly.",
    "You copy values exactly.",
    "Follow the instruction.",
    "Be precise.",
    "Clerk.",
    "You help the front desk.",
    "You work for a small company.",
]


def key_style(r, name):
    x = r.random()
    if x < 0.62:
        return name
    if x < 0.74:
        return name.replace("_", "")
    if x < 0.86:
        head, *tail = name.split("_")
        return head + "".join(t.capitalize() for t in tail)
    if x < 0.93:
        return name.upper()
    return pick(r, ["the_", "my_", "x_", "f_"]) + name


def fill(r):
    """A text from a template: (text, [(slot, type, value)] in order of appearance, slots different)."""
    parts = pick(r, _PARTS)
    out, found, used = [], [], {}
    for i, part in enumerate(parts):
        if i % 2 == 0:
            out.append(part)
            continue
        kind, _ = SLOTS[part]
        if part not in used:
            value = make(r, kind)
            shown = value
            if kind == "small" and r.random() < 0.3:
                shown = NUMBER_WORDS[int(value)]
            used[part] = shown
            found.append((part, kind, value))
        out.append(used[part])
    return "".join(out), found


def decorate(r, text):
    """Greetings, remarks and carelessness around a text."""
    x = r.random()
    if x < 0.45:
        text = pick(r, GREETINGS) + " " + text
    if r.random() < 0.35:
        extra = remark(r) if r.random() < 0.8 else careless(r, remark(r))
        text = text + " " + extra if r.random() < 0.7 else extra + " " + text
    if r.random() < 0.3:
        text += " " + pick(r, THANKS)
    return text


def free_text(r):
    """Keys and values with no story behind them: every kind of key beside every kind of value."""
    n = between(r, 2, 5)
    keys = []
    while len(keys) < n:
        x = r.random()
        k = pick(r, NOUNS) if x < 0.6 else pseudo(r) if x < 0.8 else pick(r, ADJECTIVES) + "_" + pick(r, NOUNS)
        if k not in keys:
            keys.append(k)
    found = [(k, t, make(r, t)) for k in keys for t in [any_type(r)]]
    x = r.random()
    spoken = [(k.replace("_", " "), v) for k, _, v in found]
    if x < 0.2:
        text = ", ".join(k + " " + v for k, v in spoken)
    elif x < 0.4:
        text = "\n".join(k.capitalize() + ": " + v for k, v in spoken)
    elif x < 0.6:
        text = ". ".join("The " + k + " is " + v for k, v in spoken) + "."
    elif x < 0.75:
        text = " | ".join(k + "=" + v for k, v in spoken)
    elif x < 0.88:
        text = (
            pick(r, ["Take", "We have", "Note", "Please use", "I want", "It has"])
            + " "
            + " and ".join(pick(r, [v + " as " + k, k + " " + v, "the " + k + " " + v]) for k, v in spoken)
            + "."
        )
    else:
        text = "; ".join(v + " (" + k + ")" for k, v in spoken)
    return text, found


def _value(kind, value):
    return int(value) if kind in ("number", "small") else value


def fields(r):
    """One example of reading fields out of a text."""
    if r.random() < 0.68:
        text, found = fill(r)
        named = [(key_style(r, pick(r, SLOTS[s][1])), t, v) for s, t, v in found]
        slots = {s for s, _, _ in found}
        if r.random() < 0.15:
            other, more = fill(r)
            seen = slots
            fresh = [(s, t, v) for s, t, v in more if s not in seen]
            if len(fresh) == len(more):
                text += " " + other
                named += [(key_style(r, pick(r, SLOTS[s][1])), t, v) for s, t, v in fresh]
                slots = slots | {s for s, _, _ in fresh}
    else:
        text, found = free_text(r)
        slots = set()
        named = [(key_style(r, s) if r.random() < 0.3 else s, t, v) for s, t, v in found]
    keys = {}
    for k, t, v in named:
        keys.setdefault(k, (t, v))
    names = list(keys)
    text = decorate(r, text)
    x = r.random()
    if x < 0.18:
        k = pick(r, names)
        return _ask(r, pick(r, _ASK_ONE).format(k=k if r.random() < 0.4 else k.replace("_", " ")), text, keys[k][1])
    n = min(len(names), between(r, 1, 5))
    chosen = some(r, names, n) if r.random() < 0.5 else [k for k in names if k in set(some(r, names, n))]
    if x < 0.24:
        q = pick(r, _LINES).format(k=", ".join(chosen))
        return _ask(r, q, text, "\n".join(k + ": " + keys[k][1] for k in chosen))
    if x < 0.30:
        s = pick(r, [";", "|", ",", " - ", " / ", "#"])
        q = pick(r, _CSV).format(k=", ".join(chosen), s=s.strip())
        return _ask(r, q, text, s.join(keys[k][1] for k in chosen))
    numeric = r.random() < 0.5
    obj = {k: _value(*keys[k]) if numeric else keys[k][1] for k in chosen}
    q = ""
    if r.random() < 0.12:
        extra = pick(r, SLOTS[pick(r, list(SLOTS))][1])
        known = {k for s in slots for k in SLOTS[s][1]} | set(names)
        if not any(extra in k or k in extra for k in known):
            at = between(r, 0, len(chosen))
            items = list(obj.items())
            obj = dict(items[:at] + [(extra, None)] + items[at:])
            q = " " + pick(r, _MISSING)
    listed = render.compact(list(obj)) if r.random() < 0.1 else ", ".join(obj)
    hint = (
        (" Numbers as numbers." if numeric else " All values are strings.")
        if any(keys[k][0] in NUMERIC for k in chosen) and r.random() < 0.6
        else ""
    )
    return _ask(r, pick(r, _ASK).format(k=listed) + q + hint, text, render.compact(obj))


def _ask(r, question, text, answer):
    x = r.random()
    if x < 0.62:
        messages = [("system", question), ("user", text)]
    elif x < 0.78:
        messages = [("system", pick(r, _CHAT_SYSTEM)), ("user", question + "\n" + text)]
    elif x < 0.88:
        messages = [("user", text + "\n\n" + question)]
    else:
        messages = [("user", question + " " + pick(r, ["Text: ", "Message: ", "Input: ", "Note: "]) + text)]
    return render.example(messages, answer)


_COPY = ["Repeat: ", "Copy this: ", "Say: ", "Echo ", "Write exactly: ", "Repeat after me: ", "Type: ", "copy "]


def copying(r):
    """Plain copying, whole or a marked part: the root of all of the above."""
    x = r.random()
    n = between(r, 1, 4)
    values = [make(r, any_type(r)) for _ in range(n)]
    if x < 0.4:
        text = pick(r, [" ", ", ", " "]).join(values)
        return render.example([("user", pick(r, _COPY) + text)], text)
    if x < 0.6:
        mark = pick(r, ['"%s"', "(%s)", "[%s]", "<%s>", "'%s'", "*%s*"])
        v = make(r, any_type(r))
        words = [pick(r, NOUNS) for _ in range(between(r, 1, 5))]
        words.insert(between(r, 0, len(words)), mark % v)
        q = pick(r, ["Give what stands in the marks.", "Copy the marked part.", "What is between the marks?"])
        return render.example([("system", q), ("user", " ".join(words))], v)
    if x < 0.8:
        items = ["%d. %s" % (i + 1, v) for i, v in enumerate(values)]
        i = between(r, 0, n - 1)
        ask = pick(r, ["Item %d?", "Give number %d.", "Which is number %d?", "Copy line %d."]) % (i + 1)
        return render.example([("user", "\n".join(items) + "\n" + ask)], values[i])
    names = some(r, [first_name(r) for _ in range(6)] + [last_name(r) for _ in range(3)], n)
    pairs = list(zip(names, values))
    a, v = pick(r, pairs)
    verb = pick(r, ["has", "likes", "wants", "bought", "found", "sent", "chose"])
    text = " ".join("%s %s %s." % (k, verb, w) for k, w in shuffled(r, pairs))
    return render.example(
        [("user", text + " " + pick(r, ["What about %s?", "And %s?", "%s:", "Tell me %s's."]) % a)], v
    )
