"""Tool calls: signatures in the prompt, one request in plain words, the call with its arguments copied from the request."""

import re

import render
from fields import SLOTS, decorate, key_style
from labels import TOPICS, sentence
from talk import remark
from values import make
from words import ADJECTIVES, NOUNS, NUMBER_WORDS, VERBS, between, pick, pseudo, shuffled, some

# verbs of the name / nouns of the name: requests
_TOOLS = """book,reserve/table,dinner: a table for {people} on {day} at {time}|book dinner for {people}, {weekday} {time}|we are {people} people and come at {time} on {day}
book,reserve/room,hotel_room: a room in {town} for {people} from {day}|I need a bed in {town} on {day}, {people} people|book me a hotel in {town}, {day}
find,search/flights,flight: which planes go from {from} to {to} on {day}?|fly me from {from} to {to}, {day}|find a flight to {to} from {from}
buy,order/train_ticket,ticket: a train from {from} to {to} at {time}|one ticket from {from} to {to}, {day}|I must be in {to} on {day}, I start in {from}
get,check/weather,forecast: what is the weather in {town} on {day}?|will it rain in {town} on {weekday}?|how warm is it in {town}?
set,create/alarm,wake_up: wake me at {time} on {weekday}|set an alarm for {time}|ring at {time} please, {weekday}
add,create/event,meeting: meeting about {topic} on {day} at {time}|put {topic} in my diary for {day}|schedule {topic} at {time}, {room}
send,write/mail,message: tell {mail} that {topic} is ready|write to {mail} about {topic}|drop a line to {mail}: {note}
call,phone/person,contact: call {member} on {phone}|ring {phone} and ask for {member}|phone {member}
play,start/song,music: play {song} by {maker}|I want to hear {song}|put on {song} from {maker} in room {room}
turn,switch/light,lamp: make the lamp in {room} {colour}|light in {room} to {percent}|set {room} to {colour} at {percent}
set,change/heating,temperature: heat {room} to {temp}|it should be {temp} in {room} from {time}|warm up {room} to {temp}
translate,convert/text,document: translate {word} to {language}|what is {word} in {language}?|I need {file} in {language}
pay,settle/invoice,bill: pay {price} for invoice {invoice}|settle {invoice}, it is {price}|transfer {price} to {company} for {invoice}
transfer,move/money,funds: send {price} to {member}|move {price} from {login} to {member}|{member} gets {price}, note {note}
open,create/ticket,incident: {server} is down with {error}|report a {fault} on {server}|file an incident: {error} on {server} since {time}
restart,reboot/server,machine: restart {server} at {time}|{server} hangs, reboot it|bring {server} back up
reset,unlock/password,account: {login} is locked out|reset the password of {login}, mail to {mail}|unlock {login}
read,fetch/file,document: show me {file}|open {file} version {version}|get {file} from {server}
delete,remove/file,entry: delete {file} on {server}|throw away {file}|remove {file}
deploy,release/version,build: put version {version} on {server}|release {version} at {time}|deploy commit {commit} to {server}
track,find/parcel,shipment: where is parcel {parcel}?|trace {parcel}, it was sent on {day}|parcel {parcel} to {town} is late
borrow,lend/book,volume: I want to borrow {book}|lend me {isbn} until {due}|take out {book}, card {ticket}
extend,renew/loan,lease: keep {book} until {due}|renew {isbn} until {due}|extend loan {ticket} to {due}
enrol,register/student,course: sign {member} up for {course}|put me in {course} on {weekday}, name {member}|register {member} for {course} with {teacher}
grade,rate/paper,exam: {member} gets {score} in {course}|enter {score} for {member}|mark {ticket} with {score}
admit,check_in/patient,visitor: {member} is here for Dr {doctor}|check in {member}, room {room}|patient {member}, born {day}
prescribe,order/medicine,dose: give {member} {size} at {time}|{size} for {member}|order {size} of drug {product} for {member}
log,record/reading,meter: meter {meter} says {reading}|note {reading} for {meter} on {day}|my reading is {reading}, meter {meter}
file,report/claim,damage: damage of {price} under policy {policy}|claim {price}, policy {policy}, on {day}|my {item} broke, policy {policy}
rent,hire/car,van: a car in {town} from {day} until {due}|rent a van in {town}, {day}|car from {from}, back on {due}
park,register/vehicle,plate: park {plate} until {time}|register {plate} at {street}|plate {plate} in {street} until {time}
call,order/taxi,cab: a taxi from {street} at {time}|cab to {gate} at {time} for {people}|pick us up at {street}
water,treat/crop,field: spray the {crop} in {town} on {day}|water {crop} for {size}|treat {crop} with {product}
paint,colour/part,surface: paint the {item} {colour}|make the {part} {colour}|colour {item} in {colour}, {size}
print,copy/document,page: print {file} {count} times|{count} copies of {file} in {colour}|copy {file}
measure,weigh/item,sample: weigh {ticket}|measure the {item} in {room}|sample {ticket} at {time}
post,publish/note,article: publish {note} at {time}|post {file} on {web}|put {topic} online at {web}
block,ban/user,account: block {login} until {due}|ban {login} because of {reason}|lock out {login}
hire,invite/candidate,applicant: invite {member} on {day} at {time}|ask {member} for an interview as {job}|offer {member} the job as {job}
count,list/stock,items: how many {item} are in {branch}?|list {item} in {branch}|stock of {product} in {town}
vote,choose/option,winner: my vote goes to {member}|vote {ticket} for {team}|choose {team}
dock,berth/ship,vessel: {vessel} arrives at {time}, berth {gate}|berth {vessel} at {gate} on {day}|dock {vessel}
lookup,query/customer,member: who is {mail}?|look up {member}|find the customer with phone {phone}
repair,service/device,machine: {product} with serial {serial} has a {fault}|fix {serial}, code {error}|send someone for {product}, {street}
convert,exchange/currency,amount: change {price} on {day}|exchange {price} in {branch}|how much is {price}?
compare,check/price,offer: is {price} fair for {item}?|compare {product} at {price}|check {item} on {web}
remind,notify/me,person: remind {host} of {note} at {time}|tell {host} on {weekday}: {note}|a reminder for {host} on {day}
store,save/value,setting: remember {word} as {version}|set {word} to {reading}|save {word}
tag,name/photo,picture: call {file} {word}|tag {file} with {host}|name the picture {ticket} {topic}""".split(
    "\n"
)


def _parse(line):
    names, phrases = line.split(": ", 1)
    verbs, nouns = names.split("/")
    phrases = phrases.split("|")
    slots = []
    for s in re.findall(r"\{(\w+)\}", " ".join(phrases)):
        if s not in slots:
            slots.append(s)
    return verbs.split(","), nouns.split(","), phrases, slots


TOOLS = [_parse(t) for t in _TOOLS]
_SYSTEM = """You can call tools.|Call one tool.|Pick the right tool and copy the arguments.|You are an assistant with tools.|Use a tool for every request.|Answer with a tool call.|Agent.|Choose a function and fill in its arguments.|Help the user by calling a function.
You run the back office.|Do what is asked with the tools below.|One call, no talk.|Operator.|Turn the request into a call.|Leave out arguments that are not given.""".replace(
    "\n", "|"
).split(
    "|"
)
_LEAD = ["", "", "", "", "Please: ", "Can you help? ", "Could you do this: ", "I need this: ", "Quick one: ", "Next: "]


def _name(r, verb, noun):
    x = r.random()
    if x < 0.7:
        return verb + "_" + noun
    if x < 0.85:
        return verb + "".join(w.capitalize() for w in noun.split("_"))
    if x < 0.93:
        return noun + "." + verb
    return pick(r, ["api_", "do_", "t_", pseudo(r, 1) + "_"]) + verb + "_" + noun


class _Tool:
    """One tool as this example sees it: a name and argument names of its own."""

    def __init__(self, r, spec, keep=()):
        verbs, nouns, self.phrases, slots = spec
        self.name = _name(r, pick(r, verbs), pick(r, nouns))
        extra = [s for s in slots if s not in keep]
        chosen = set(keep) | set(some(r, extra, min(len(extra), between(r, 0, 2) if keep else between(r, 1, 3))))
        self.args = {}
        for s in slots:
            if s in chosen:
                key = key_style(r, pick(r, SLOTS[s][1]))
                while key in self.args.values():
                    key += "_" + pick(r, ["a", "b", "2", "x"])
                self.args[s] = key

    def signature(self, r, required, numeric):
        items = [
            (
                k,
                "integer" if numeric and SLOTS[s][0] in ("small", "number") else "string",
                s in required or r.random() < 0.4 and not required,
            )
            for s, k in self.args.items()
        ]
        return render.signature(self.name, items)


def known_tools(r):
    specs = some(r, TOOLS, between(r, 2, 5))
    phrase = pick(r, specs[0][2])
    used = re.findall(r"\{(\w+)\}", phrase)
    numeric = r.random() < 0.5
    tool = _Tool(r, specs[0], used)
    values, shown = {}, {}
    for s in used:
        v = make(r, SLOTS[s][0])
        values[s] = int(v) if numeric and SLOTS[s][0] in ("small", "number") else v
        shown[s] = NUMBER_WORDS[int(v)] if SLOTS[s][0] == "small" and r.random() < 0.25 else v
    text = phrase.format(**shown)
    if r.random() < 0.7:
        text = text[0].upper() + text[1:] + ("" if text[-1] in "?." else ".")
    arguments = {k: values[s] for s, k in tool.args.items() if s in values}
    signatures = [tool.signature(r, used, numeric)] + [
        t.signature(r, (), numeric) for t in (_Tool(r, s) for s in specs[1:])
    ]
    return _finish(r, decorate(r, pick(r, _LEAD) + text), render.tool_call(tool.name, arguments), signatures)


def made_up_tools(r):
    """Tools from any verb and any noun: the request names both, or nearly, and each argument by its name."""
    n = between(r, 2, 5)
    names, specs = set(), []
    for _ in range(n):
        verb, noun = pick(r, VERBS), pick(r, NOUNS) if r.random() < 0.8 else pseudo(r)
        if verb[0] + noun in names:
            continue
        names.add(verb[0] + noun)
        slots = some(r, list(SLOTS), between(r, 1, 3))
        keys = []
        for s in slots:
            k = pick(r, SLOTS[s][1]) if r.random() < 0.75 else pseudo(r)
            keys.append(k if k not in keys else k + "2")
        specs.append((_name(r, verb[0], noun), verb, noun, slots, keys))
    name, verb, noun, slots, keys = specs[0]
    keep = [i for i in range(len(slots)) if r.random() < 0.85] or [0]
    values = [make(r, SLOTS[s][0]) for s in slots]
    said = []
    for i in shuffled(r, keep):
        k = keys[i].replace("_", " ")
        said.append(pick(r, ["%s %s", "the %s is %s", "with %s %s", "%s: %s", "%s = %s"]) % (k, values[i]))
    lead = pick(
        r,
        [
            "Please {v} the {n}",
            "{v} a {n}",
            "I want to {v} the {n}",
            "can you {v} my {n}",
            "the {n} must be {p}",
            "We would like the {a} {n} {p}",
            "{v} {n}",
        ],
    )
    text = (
        lead.format(v=verb[0], n=noun, p=verb[1], a=pick(r, ADJECTIVES))
        + pick(r, [", ", "; ", " - ", ": "])
        + pick(r, [", ", " and ", "; "]).join(said)
    )
    arguments = {keys[i]: values[i] for i in range(len(slots)) if i in keep}
    signatures = [
        render.signature(nm, [(k, "string", True if nm != name else i in keep) for i, k in enumerate(ks)])
        for nm, _, _, _, ks in specs
    ]
    return _finish(r, decorate(r, text), render.tool_call(name, arguments), signatures)


def after_result(r):
    """A tool's answer is there: say what the user asked for."""
    keys = some(r, NOUNS, between(r, 2, 4))
    row = {k: make(r, pick(r, ["code", "person", "date", "money", "number", "city", "brand"])) for k in keys}
    k = pick(r, keys)
    ask = pick(r, ["What is the {k}?", "Tell me the {k}.", "{k}?", "I need the {k}, please."]).format(k=k)
    name, ident = "get_" + pick(r, NOUNS), make(r, "code")
    call = render.tool_call(name, {"id": ident})
    answer = pick(r, ["The {k} is {v}.", "{v}", "It is {v}.", "{k}: {v}"])
    system = {
        "The {k} is {v}.": "Answer in a sentence.",
        "{v}": "Answer with the value.",
        "It is {v}.": "Say: It is ...",
        "{k}: {v}": "Answer as name: value.",
    }[answer]
    return render.example(
        [("system", system), ("user", ask + " (" + ident + ")"), ("assistant", call), ("tool", render.compact(row))],
        answer.format(k=k, v=row[k]),
        [render.signature(name, [("id", "string", True)])],
    )


def no_tool(r):
    """Talk that fits no tool."""
    specs = some(r, TOOLS, between(r, 1, 3))
    signatures = [_Tool(r, s).signature(r, (), False) for s in specs]
    topic = pick(r, TOPICS)
    reply = pick(r, ["none", "No tool fits.", "NONE", "I have no tool for this."])
    return render.example(
        [
            ("system", pick(r, _SYSTEM) + " If none fits say: " + reply),
            ("user", sentence(r, pick(r, topic[1])) + " " + remark(r)),
        ],
        reply,
        signatures,
    )


def _finish(r, text, answer, signatures):
    signatures = shuffled(r, signatures)
    system = pick(r, _SYSTEM)
    x = r.random()
    if x < 0.8:
        return render.example([("system", system), ("user", text)], answer, signatures)
    return render.example([("user", text)], answer, signatures)


def tools(r):
    x = r.random()
    return (known_tools if x < 0.6 else made_up_tools if x < 0.9 else after_result if x < 0.97 else no_tool)(r)
