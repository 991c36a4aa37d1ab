#!/usr/bin/env python3
"""Oracle for lib/text/jinja: what Python's jinja2 makes of chat templates, in the environment that transformers builds.

Use: templates.py OUT_DIR [--templates DIR [--transformers]]
Writes OUT_DIR/template_snippets.json (small templates of our own with their full renderings, or that they fail) and,
with --templates (a folder of real *.jinja files), OUT_DIR/template_renderings.json: per template and conversation the
SHA-256 and length of the rendering. Needs jinja2 3.1 (requirements-text.txt).
Source of the environment: transformers 4.57 utils/chat_template_utils.py.
"""
import argparse
import hashlib
import json
import pathlib
from datetime import datetime, timezone

import jinja2
import jinja2.ext
import jinja2.sandbox

NOW_MS = 1753430400000  # 2025-07-25T08:00:00Z


class Generation(jinja2.ext.Extension):
    """{% generation %}…{% endgeneration %}: renders its body in a scope of its own."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    now = datetime.fromtimestamp(NOW_MS / 1000, timezone.utc).replace(tzinfo=None)  # transformers has no zone either
    env.globals["strftime_now"] = now.strftime
    return env


TOOLS = [
    {"type": "function", "function": {
        "name": "find_order", "description": "Looks up an order; \"exact\" ids only.",
        "parameters": {"type": "object", "properties": {
            "order_id": {"type": "string", "description": "e.g. A-1042"},
            "limit": {"type": "integer", "default": 3, "minimum": 1},
            "ratio": {"type": "number", "default": 0.5},
            "with_items": {"type": "boolean", "default": False},
            "tags": {"type": "array", "items": {"type": "string"}}},
            "required": ["order_id"]}}},
    {"type": "function", "function": {
        "name": "grüße", "description": "Grüßt <freundlich> & höflich 🙂", "parameters": {"type": "object", "properties": {}}}},
]


def call(name, arguments, call_id="c1"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


CONVERSATIONS = {
    "user": [{"role": "user", "content": "Where is my order A-1042?"}],
    "system": [{"role": "system", "content": " You route messages.\n"}, {"role": "user", "content": "Hello"}],
    "turns": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "One"},
              {"role": "assistant", "content": "1"}, {"role": "user", "content": "Two\n"},
              {"role": "assistant", "content": "2 "}, {"role": "user", "content": " Three"}],
    "no_system_turns": [{"role": "user", "content": "One"}, {"role": "assistant", "content": "1"}],
    "unicode": [{"role": "user", "content": "Grüße — 東京 🙂 \u2028 \\ \"quoted\" <b>&amp;</b>\ttab"},
                {"role": "assistant", "content": "Ünïcødé\u00a0"}],
    "tool_call_object": [{"role": "user", "content": "Find A-1042"},
                         {"role": "assistant", "content": "", "tool_calls": [
                             call("find_order", {"order_id": "A-1042", "limit": 2, "ratio": 1.0, "with_items": True,
                                                 "note": None, "tags": ["a", "é"]})]},
                         {"role": "tool", "tool_call_id": "c1", "content": "{\"status\": \"sent\"}"},
                         {"role": "assistant", "content": "It was sent."}],
    "tool_call_text": [{"role": "user", "content": "Find A-1042"},
                       {"role": "assistant", "content": "Looking.", "tool_calls": [
                           call("find_order", "{\"order_id\": \"A-1042\"}")]},
                       {"role": "tool", "tool_call_id": "c1", "content": "sent"}],
    "two_calls": [{"role": "user", "content": "Find both"},
                  {"role": "assistant", "content": None, "tool_calls": [
                      call("find_order", {"order_id": "A"}), call("grüße", {}, "c2")]},
                  {"role": "tool", "tool_call_id": "c1", "content": "one"},
                  {"role": "tool", "tool_call_id": "c2", "content": "two"},
                  {"role": "user", "content": "thanks"}],
    "thinking": [{"role": "user", "content": "Think"},
                 {"role": "assistant", "content": "<think>\nfirst\n</think>\n\nanswer"},
                 {"role": "user", "content": "Again"},
                 {"role": "assistant", "reasoning_content": "deep", "content": "second"}],
    "list_content": [{"role": "user", "content": [{"type": "text", "text": "part one"}]}],
    "tool_object_result": [{"role": "user", "content": "x"}, {"role": "tool", "content": {"ok": True, "n": 1.5}}],
    "role_order": [{"role": "assistant", "content": "first"}, {"role": "user", "content": "second"}],
    "empty": [],
    "numbers": [{"role": "user", "content": "big " + "x" * 200, "weight": 1e-7, "n": 12345678901}],
}

VARIABLES = {"bos_token": "<s>", "eos_token": "</s>"}


def context(messages, tools, prompt, variables):
    return {"messages": messages, "tools": tools, "documents": None, "add_generation_prompt": prompt, **variables}


# Further variables of a rendering.
EXTRAS = [{}, {"enable_thinking": False}, {"tools_in_user_message": False, "date_string": "1 May 2025"},
          {"builtin_tools": ["find_order", "code_interpreter"]}]


def real_templates(folder):
    """Rows of [template, conversation, tools?, prompt?, index in EXTRAS, SHA-256 or null where it fails, bytes]."""
    out = []
    for path in sorted(folder.glob("*.jinja")):
        template = environment().from_string(path.read_text(encoding="utf-8"))
        for name in CONVERSATIONS:
            for tools in (None, TOOLS):
                for prompt in (False, True):
                    for i, extra in enumerate(EXTRAS):
                        row = [path.name, name, tools is not None, prompt, i, None, 0]
                        try:
                            text = template.render(
                                **context(CONVERSATIONS[name], tools, prompt, {**VARIABLES, **extra})).encode()
                            row[5:] = [hashlib.sha256(text).hexdigest(), len(text)]
                        except Exception:  # whatever Python raises, the interpreter has to refuse
                            pass
                        out.append(row)
    return out


def check_tool_calls(folder):
    """transformers' own compiled templates give the environment's text for every conversation with tools and calls."""
    from transformers.utils.chat_template_utils import _compile_jinja_template
    n = 0
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        ours, theirs = environment().from_string(source), _compile_jinja_template(source)
        for name in ("tool_call_object", "tool_call_text", "two_calls"):
            for prompt in (False, True):
                texts = []
                for template in (ours, theirs):
                    try:
                        texts.append(template.render(**context(CONVERSATIONS[name], TOOLS, prompt, VARIABLES)))
                    except Exception as error:
                        texts.append(type(error).__name__)
                if "strftime_now" not in source and texts[0] != texts[1]:
                    raise SystemExit(f"{path.name}, {name}: transformers renders otherwise")
                n += 1
    print(f"transformers: {n} renderings with tools and tool calls, the same")


def snippets():
    from template_snippets import SNIPPETS
    out = []
    env = environment()
    for source in SNIPPETS:
        row = {"template": source}
        try:
            row["rendering"] = env.from_string(source).render(
                **context(CONVERSATIONS["tool_call_object"], TOOLS, True, VARIABLES))
        except Exception as error:
            row["fails"] = type(error).__name__
        out.append(row)
    return out


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in value) + "\n]\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--templates", type=pathlib.Path)
    parser.add_argument("--transformers", action="store_true", help="check the environment against transformers' own")
    args = parser.parse_args()
    write(args.out / "template_snippets.json", snippets())
    with (args.out / "conversations.json").open("w", encoding="utf-8") as f:
        json.dump({"now_ms": NOW_MS, "tools": TOOLS, "variables": VARIABLES, "extras": EXTRAS,
                   "conversations": CONVERSATIONS}, f, ensure_ascii=True, indent=1)
        f.write("\n")
    if args.templates:
        write(args.out / "template_renderings.json", real_templates(args.templates))
        if args.transformers:
            check_tool_calls(args.templates)


if __name__ == "__main__":
    main()
