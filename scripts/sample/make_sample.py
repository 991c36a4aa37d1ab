#!/usr/bin/env python3
"""Makes the quick-start sample: the call log of an invented shop's support agent, and the keys to check a run with.

Writes into OUT (default pipelines/quickstart): sample/calls-N.jsonl, pii_key.jsonl, task_key.jsonl, sample_key.json. Same seed, same bytes.
"""

import argparse
import datetime
import json
import os
import random

import private
import texts
from parts import (
    GOODS,
    Once,
    between,
    careless,
    digits,
    full_name,
    letters,
    line_name,
    order_number,
    pick,
    shuffled,
    street,
    town,
    tracking_number,
)

MODEL, SNAPSHOT = "gpt-4o", "gpt-4o-2024-08-06"
START = datetime.datetime(2025, 9, 1, 7, 0, tzinfo=datetime.timezone.utc)
DAYS = 60
TASKS = ["route", "fields", "decision", "tool", "note", "quote", "reply"]
GRADABLE = TASKS[:6]
SITE = {
    "route": "mail-router",
    "fields": "order-fields",
    "decision": "return-check",
    "tool": "desk-actions",
    "note": "house-note",
    "quote": "quote-total",
    "reply": "reply-draft",
    "chat": "chat",
}
SYSTEM = {
    "route": "Mail desk. Send to one queue: delivery, return, warranty, invoice, stock, advice, account, parts.",
    "fields": "Order mail to JSON: order, item, qty (a number), town.",
    "decision": "Return check, first rule that fits. Over 30 days: late; used: used; no receipt: proof; else accept.",
    "tool": "You act for customers. Call the one tool that fits.",
    "note": "Note to house style: ACTION qty x item (order). Actions: REPLACE, REFUND, SPARE, COLLECT.",
    "quote": "Total: lines less discount, plus VAT, plus delivery. Only the number.",
    "reply": "Draft a friendly mail of at most four sentences for the clerk to check.",
    "chat": "You are Bryony in the web chat of Brindlewick Garden Supply. Talk with the customer, kindly and briefly.",
}


def _tool(name, description, /, **args):
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {"type": "object", "properties": args, "required": list(args)},
        },
    }


_S = {"type": "string"}
TOOLS = [
    _tool("track_parcel", "Where a parcel is.", tracking=_S),
    _tool("book_callback", "A clerk phones the customer.", name=_S, phone=_S),
    _tool("send_manual", "Mails a manual.", item=_S, email=_S),
    _tool(
        "start_return", "Opens a return.", order=_S, reason={"type": "string", "enum": ["damaged", "wrong", "unwanted"]}
    ),
]
RECORD_TOOL = [_tool("get_record", "The customer's record.", order=_S)]

# type: (how many, in which tasks, sentences around it)
PLANTS = {
    "email": (60, "route fields decision note chat", ["My mail is {v}.", "Write to {v}.", "You reach me at {v}."]),
    "phone": (60, "route fields decision note chat", ["My number is {v}.", "Call me on {v}.", "Phone {v}."]),
    "card": (
        70,
        "route fields decision chat",
        ["I paid with card {v}.", "My card number is {v}.", "Card {v} was charged."],
    ),
    "iban": (60, "route decision note chat", ["Refund to {v} please.", "My IBAN is {v}.", "Account {v}."]),
    "ip": (
        60,
        "route fields note chat",
        ["Your site blocks {v}.", "My address on the net is {v}.", "Logged in from {v}."],
    ),
    "url_credential": (40, "note chat quote", ["Our feed is {v}", "Prices from {v}", "See {v}"]),
    "private_key": (20, "note chat", ["This came with the download:\n{v}", "Their plug-in sent\n{v}"]),
    "jwt": (40, "route note chat", ["The app shows {v}", "Token {v}"]),
    "cloud_key": (45, "route note chat quote", ["The plug-in prints {v}", "Key {v}"]),
    "model_key": (45, "route note chat quote", ["The bot key is {v}", "I see {v} on the page"]),
}
DECOYS = {
    "carrier": (
        60,
        "route fields note chat",
        lambda r: private.card_like(r),
        ["The carrier has it as {v}.", "Carrier code {v}."],
    ),
    "article": (
        50,
        "route fields quote note",
        lambda r: "%s-%s" % (digits(r, 4), digits(r, 3)),
        ["Article {v}.", "Catalogue {v}."],
    ),
    "version": (
        40,
        "route chat",
        lambda r: "%d.%d.%d" % (between(r, 1, 9), between(r, 0, 20), between(r, 0, 30)),
        ["The app is version {v}.", "Firmware {v}."],
    ),
    "norm": (
        30,
        "route decision",
        lambda r: "EN %d-%d" % (between(r, 10000, 60999), between(r, 1, 9)),
        ["The label says {v}.", "It follows {v}."],
    ),
    "stamp": (
        30,
        "note chat",
        lambda r: "2025-%02d-%02dT%02d:%02d:00"
        % (between(r, 9, 10), between(r, 1, 28), between(r, 8, 17), between(r, 0, 59)),
        ["Logged {v}.", "Seen {v}."],
    ),
}


class Case:
    """One customer's matter: all its values are drawn once and belong to this session alone."""

    def __init__(self, r, once, number):
        self.number = number
        self.order, self.tracking, self.town = once(r, order_number), once(r, tracking_number), once(r, town)
        self.item, self.second_item, self.third_item = (once(r, line_name) + " " + pick(r, GOODS) for _ in range(3))
        self.person = once(r, full_name)
        self.email = once(r, lambda q: private.email(q, self.person))
        self.phone = once(r, private.phone)
        self.ip = once(r, private.ip)
        self.qty = between(r, 2, 9)
        self.session = "s-" + letters(r, 12, "0123456789abcdef")
        self.client = "desk-%02d" % between(r, 1, 40)
        self.user = "cust-" + digits(r, 6)
        self.private = [("person", self.person), ("email", self.email), ("phone", self.phone), ("ip", self.ip)]
        self.decoys = []
        self.extra = {}  # task: sentences to plant

    def values(self):
        return [
            self.order,
            self.item,
            self.second_item,
            self.third_item,
            self.town,
            self.person,
            self.email,
            self.phone,
            self.tracking,
        ]


def plan_plants(r, cases, once):
    """Decides which case carries which planted values in which task."""
    for kind, (n, hosts, sentences) in PLANTS.items():
        for case in shuffled(r, cases)[:n]:
            if kind == "email":
                v = once(r, lambda q: private.email(q, case.person))
            else:
                v = once(r, private.MAKERS[kind])
            case.private.append((kind, v if kind != "url_credential" else v.split("://")[1].split("@")[0]))
            case.extra.setdefault(pick(r, hosts.split()), []).append(pick(r, sentences).format(v=v))
    for n, hosts, maker, sentences in DECOYS.values():
        for case in shuffled(r, cases)[:n]:
            v = once(r, maker)
            case.decoys.append(v)
            case.extra.setdefault(pick(r, hosts.split()), []).append(pick(r, sentences).format(v=v))


def add_extras(case, task, text):
    for s in case.extra.get(task, []):
        text += ("" if text[-1] in ".?!" else ".") + " " + s
    return text


def sign(r, case, text, share):
    if r.random() >= share:
        return text
    return (
        text + pick(r, [" Regards, %s", "\nKind regards,\n%s", " My name is %s.", "\nBest regards, %s"]) % case.person
    )


def message(content, calls=None):
    m = {"role": "assistant", "content": content}
    if calls:
        m["tool_calls"] = calls
    return m


def call_message(r, name, args):
    return message(
        None,
        [
            {
                "id": "call_" + letters(r, 12),
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(args, ensure_ascii=False)},
            }
        ],
    )


def ask(task, user, **more):
    request = {
        "model": MODEL,
        "messages": [{"role": "system", "content": SYSTEM[task]}, {"role": "user", "content": user}],
    }
    request.update(more)
    return request


def other(r, seq, not_this):
    return pick(r, [x for x in seq if x != not_this])


def slip(r, text, digit_only=False):
    """One character of a value lost or changed."""
    spots = (
        [i for i, c in enumerate(text) if c.isdigit()]
        if digit_only
        else [i for i, c in enumerate(text) if c.isalpha() and i]
    )
    i = pick(r, spots)
    return text[:i] + other(r, "0123456789", text[i]) + text[i + 1 :] if digit_only else text[:i] + text[i + 1 :]


def gradable(r, task, case, wrong):
    """(request, logged answer message, truth)."""
    if task == "tool":
        text, (name, args) = texts.tool(r, case)
        truth = {"tool_calls": [{"name": name, "arguments": args}]}
        if wrong:
            if name == "track_parcel":
                args = {"tracking": slip(r, args["tracking"], True)}
            elif name == "book_callback":
                args = {"name": args["name"]}
            elif name == "send_manual":
                args = {"item": slip(r, args["item"]), "email": args["email"]}
            else:
                args = {"order": args["order"], "reason": other(r, ["damaged", "wrong", "unwanted"], args["reason"])}
        return ask(task, add_extras(case, task, text), tools=TOOLS, temperature=0), call_message(r, name, args), truth
    sign_share = 0
    if task == "route":
        text, right = texts.route(r, case)
        sign_share = 0.3
        said = other(r, list(texts.ROUTES), right) if wrong else right
    elif task == "fields":
        text, obj = texts.fields(r, case)
        sign_share = 0.25
        right = json.dumps(obj)
        if wrong:
            key = pick(r, list(obj))
            obj = dict(obj)
            obj[key] = between(r, 10, 19) if key == "qty" else slip(r, obj[key], key == "order")
        said = json.dumps(obj)
    elif task == "decision":
        text, right = texts.decision(r, case)
        sign_share = 0.2
        said = other(r, ["accept", "late", "used", "proof"], right) if wrong else right
    elif task == "note":
        text, right = texts.note(r, case)
        text = careless(r, text, case.values())
        said = right
        if wrong:
            said = (
                right.replace(right.split(" ")[0], other(r, list(texts.ACTIONS), right.split(" ")[0]))
                if r.random() < 0.5
                else right.replace(case.order, slip(r, case.order, True))
            )
    else:
        text, right = texts.quote(r, case)
        if r.random() < 0.25:
            text = "Customer: %s\n%s" % (case.person, text)
        said = "%.2f" % (float(right) + pick(r, [-2, -1, 0.5, 1, 3.9, 10])) if wrong else right
    return (
        ask(task, sign(r, case, add_extras(case, task, text), sign_share), temperature=0),
        message(said),
        {"content": right},
    )


def open_reply(r, case):
    need, draft = texts.reply(r, case)
    if r.random() < 0.55:
        record = {"customer": case.person, "order": case.order, "email": case.email}
        if r.random() < 0.5:
            record["phone"] = case.phone
        if r.random() < 0.3:
            record["last_ip"] = case.ip
        if r.random() < 0.4:
            record["street"] = street(r)
        for kind, v in case.private[4:]:
            if kind in ("iban", "card") and r.random() < 0.5:
                record[{"iban": "bank", "card": "paid_with"}[kind]] = v
        request = ask("reply", need, tools=RECORD_TOOL, temperature=0.7)
        asked = call_message(r, "get_record", {"order": case.order})
        request["messages"] += [
            asked,
            {"role": "tool", "tool_call_id": asked["tool_calls"][0]["id"], "content": json.dumps(record)},
        ]
        return request, message(draft)
    return ask("reply", "Customer: %s. %s" % (case.person, need), temperature=0.7), message(draft)


def chat(r, case):
    """The calls of one web chat, each with the turns before it."""
    start, n = pick(r, [(0, 2), (1, 2), (1, 3), (0, 3), (2, 2), (0, 1), (1, 1)])
    turns, calls = [], []
    for i, (said, answer) in enumerate(texts.chat_lines(r, case, start, n)):
        if i == 0:
            said = add_extras(case, "chat", said)
        turns.append({"role": "user", "content": said})
        calls.append(
            (
                {
                    "model": MODEL,
                    "messages": [{"role": "system", "content": SYSTEM["chat"]}] + turns,
                    "temperature": 0.8,
                },
                message(answer),
            )
        )
        turns = turns + [message(answer)]
    return calls


class Log:
    """Collects the lines with their true task and kind."""

    def __init__(self, r):
        self.r, self.rows = r, []

    def add(self, case, task, kind, when, request, answer, truth=None, finish=None, error=None, label=True):
        r = self.r
        request = dict(request, user=case.user)
        n_in = (
            sum(len(json.dumps(m)) for m in request["messages"]) // 4
            + len(json.dumps(request.get("tools", ""))) // 4
            + 3
        )
        n_out = max(1, len(json.dumps(answer)) // 4 - 8) if answer else 0
        line = {"timestamp": when.strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (when.microsecond // 1000)}
        if label:
            line["workload_id"] = SITE[task]
        line.update(client_id=case.client, session_id=case.session, request=request)
        if error:
            line["response"] = {"error": error}
            line["latency_ms"] = between(r, 20, 900)
            line["outcome"] = {"success": False}
        else:
            reason = finish or ("tool_calls" if answer.get("tool_calls") else "stop")
            line["response"] = {
                "id": "chatcmpl-" + letters(r, 20),
                "object": "chat.completion",
                "created": int(when.timestamp()),
                "model": SNAPSHOT,
                "choices": [{"index": 0, "message": answer, "finish_reason": reason}],
                "usage": {"prompt_tokens": n_in, "completion_tokens": n_out, "total_tokens": n_in + n_out},
            }
            line["latency_ms"] = int(320 + 500 * r.random() ** 2 + n_out * (9 + 14 * r.random()))
            if truth:
                line["outcome"] = {"success": kind != "wrong", "truth": truth}
            elif kind in ("refusal", "empty", "truncated"):
                line["outcome"] = {"success": False}
        self.rows.append((line, task, kind, case))
        return line


FAILURES = {"error": 62, "refusal": 38, "empty": 30, "truncated": 30}
ERRORS = [
    {"message": "Rate limit reached for requests", "type": "requests", "param": None, "code": "rate_limit_exceeded"},
    {
        "message": "The server had an error while processing your request",
        "type": "server_error",
        "param": None,
        "code": None,
    },
    {"message": "Request timed out.", "type": "timeout", "param": None, "code": None},
]
REFUSALS = [
    "I'm sorry, but I can't assist with that.",
    "I'm sorry, I can't help with that request.",
    "I cannot help with this.",
]


def failed(r, log, kind, case, task, when, request, answer, label):
    if kind == "error":
        log.add(case, task, kind, when, request, None, error=pick(r, ERRORS), label=label)
    elif kind == "refusal":
        m = message(None)
        text = pick(r, REFUSALS)
        if r.random() < 0.5:
            m["refusal"] = text
        else:
            m["content"] = text
        log.add(case, task, kind, when, request, m, label=label)
    elif kind == "empty":
        log.add(case, task, kind, when, request, message(""), label=label)
    else:
        m = json.loads(json.dumps(answer))
        if m.get("tool_calls"):
            f = m["tool_calls"][0]["function"]
            f["arguments"] = f["arguments"][:12]
        else:
            m["content"] = m["content"][: max(2, len(m["content"]) // 3)]
        log.add(case, task, kind, when, dict(request, max_tokens=5), m, finish="length", label=label)


def build(r, n_sessions):
    once = Once()
    cases = [Case(r, once, i) for i in range(n_sessions)]
    plan_plants(r, cases, once)
    visits = [(i, t) for i in range(n_sessions) for t in TASKS if r.random() < 0.96]
    wrong = set()
    for t in GRADABLE:
        mine = [v for v in visits if v[1] == t]
        wrong.update(shuffled(r, mine)[: round(0.03 * len(mine))])
    fails = {}
    spots = shuffled(r, [v for v in visits if v not in wrong])
    for kind, n in FAILURES.items():
        for _ in range(n):
            fails[spots.pop()] = kind
    retries = set(spots[:80])
    twins = set(shuffled(r, range(n_sessions))[:20])
    chats = set(shuffled(r, range(n_sessions))[: int(0.31 * n_sessions)])
    log = Log(r)
    by_case = {}
    for i, t in visits:
        by_case.setdefault(i, []).append(t)
    for i, case in enumerate(cases):
        when = START + datetime.timedelta(days=between(r, 0, DAYS - 1), seconds=36000 * r.random())
        label = r.random() < 0.55
        own = []
        for t in by_case.get(i, []):
            when += datetime.timedelta(seconds=2 + 70 * r.random())
            if t == "reply":
                request, answer = open_reply(r, case)
                truth = None
            else:
                request, answer, truth = gradable(r, t, case, (i, t) in wrong)
            if (i, t) in fails:
                failed(r, log, fails[(i, t)], case, t, when, request, answer, label)
                when += datetime.timedelta(seconds=1 + 4 * r.random())
            kind = "wrong" if (i, t) in wrong else "ok"
            log.add(case, t, kind, when, request, answer, truth, label=label)
            own.append((t, request, answer, truth))
            if (i, t) in retries:
                when += datetime.timedelta(seconds=1 + 9 * r.random())
                log.add(case, t, "retry", when, request, answer, truth, label=label)
        if i in chats:
            for request, answer in chat(r, case):
                when += datetime.timedelta(seconds=9 + 60 * r.random())
                log.add(case, "chat", "chat", when, request, answer)
        if i in twins:
            again(r, log, case, own, when)
    return cases, log


def again(r, log, case, own, when):
    """The same customer writes all of it once more, hardly changed, in another session."""
    first, user = case.session, case.user
    case.session = "s-" + letters(r, 12, "0123456789abcdef")
    when += datetime.timedelta(hours=1 + 8 * r.random())
    for t, request, answer, truth in own:
        request = json.loads(json.dumps(request))
        user_message = request["messages"][1]
        user_message["content"] = (
            pick(r, ["Again: %s", "Second mail: %s", "Once more: %s", "Reminder: %s"]) % user_message["content"]
        )
        when += datetime.timedelta(seconds=2 + 70 * r.random())
        log.add(case, t, "near_duplicate", when, request, answer, truth)
    case.session, case.user = first, user


def strings(value, path=""):
    """Every string of a JSON value with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from strings(v, path + "." + k if path else k)
    elif isinstance(value, list):
        for i, v in enumerate(value):
            yield from strings(v, "%s[%d]" % (path, i))


def occurrences(line, wanted):
    for path, text in strings(line):
        for kind, v in wanted:
            at = text.find(v)
            while at >= 0:
                yield {"path": path, "type": kind, "start": at, "value": v}
                at = text.find(v, at + len(v))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--seed", type=int, default=2601)
    p.add_argument("--sessions", type=int, default=1900)
    p.add_argument("--out", default=os.path.join(here, "..", "..", "pipelines", "quickstart"))
    p.add_argument("--files", type=int, default=4)
    a = p.parse_args()
    r = random.Random(a.seed)
    cases, log = build(r, a.sessions)
    rows = sorted(log.rows, key=lambda row: row[0]["timestamp"])
    # the log shipper sent some lines twice, a little later
    for _ in range(80):
        i = between(r, 0, len(rows) - 300)
        line, task, kind, case = rows[i]
        if kind == "ok":
            rows.insert(i + between(r, 2, 250), (line, task, "resent", case))
    os.makedirs(os.path.join(a.out, "sample"), exist_ok=True)
    per_file = -(-len(rows) // a.files)
    n_kind, n_task, n_type, n_values = {}, {}, {}, {}
    with (
        open(os.path.join(a.out, "pii_key.jsonl"), "w", encoding="utf-8") as pii,
        open(os.path.join(a.out, "task_key.jsonl"), "w", encoding="utf-8") as key,
    ):
        for f in range(a.files):
            name = "calls-%d.jsonl" % f
            with open(os.path.join(a.out, "sample", name), "w", encoding="utf-8") as out:
                for n, (line, task, kind, case) in enumerate(rows[f * per_file : (f + 1) * per_file], 1):
                    out.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
                    key.write(json.dumps({"file": name, "line": n, "task": task, "kind": kind}) + "\n")
                    n_kind[kind] = n_kind.get(kind, 0) + 1
                    n_task.setdefault(task, {}).setdefault(kind, 0)
                    n_task[task][kind] += 1
                    wanted = (
                        case.private
                        + [("decoy", v) for v in case.decoys]
                        + ([("decoy", case.order)] if case.number % 5 == 0 else [])
                    )
                    for o in occurrences(line, wanted):
                        pii.write(json.dumps(dict(file=name, line=n, **o), ensure_ascii=False) + "\n")
                        n_type[o["type"]] = n_type.get(o["type"], 0) + 1
                        n_values.setdefault(o["type"], set()).add(o["value"])
    with open(os.path.join(a.out, "sample_key.json"), "w", encoding="utf-8") as f:
        json.dump(
            {
                "seed": a.seed,
                "calls": len(rows),
                "sessions": len({row[0]["session_id"] for row in rows}),
                "clients": len({c.client for c in cases}),
                "files": a.files,
                "days": DAYS,
                "by_kind": dict(sorted(n_kind.items())),
                "by_task": {t: dict(sorted(n_task[t].items())) for t in sorted(n_task)},
                "sites": SITE,
                "gradable": GRADABLE,
                "private_occurrences": dict(sorted(n_type.items())),
                "private_values": {k: len(v) for k, v in sorted(n_values.items())},
            },
            f,
            indent=2,
        )
        f.write("\n")


if __name__ == "__main__":
    main()
