"""The chat format of the base model, the same as pipelines/quickstart/base-model/chat_template.jinja prints."""

import json

OPEN, CLOSE = "<|im_start|>", "<|im_end|>"


def compact(obj):
    return json.dumps(obj, ensure_ascii=False)


def signature(name, args):
    """name(arg, arg: type, arg?): args are (name, type, required); a string's type is left out."""
    return (
        name
        + "("
        + ", ".join(a + ("" if req else "?") + ("" if t == "string" else ": " + t) for a, t, req in args)
        + ")"
    )


def prompt(messages, signatures=()):
    """The text up to and including the generation prompt. messages: (role, content) pairs."""
    out = []
    rest = list(messages)
    if signatures:
        system = rest.pop(0)[1] + "\n" if rest and rest[0][0] == "system" else ""
        out.append(OPEN + "system\n" + system + "Tools:\n" + "\n".join(signatures) + CLOSE + "\n")
    for role, content in rest:
        out.append(OPEN + role + "\n" + content + CLOSE + "\n")
    return "".join(out) + OPEN + "assistant\n"


def tool_call(name, arguments):
    return "<tool_call>" + compact({"name": name, "arguments": arguments}) + "</tool_call>"


def example(messages, answer, signatures=()):
    return {"prompt": prompt(messages, signatures), "completion": answer + CLOSE + "\n"}
