#!/usr/bin/env python3
"""Oracle for tokenizer.json: what PyPI's tokenizers makes of given texts.

Use: tokenizer_json.py OUT_DIR [--train] [--random N] [--outside DIR]
OUT_DIR/tokenizers/<name>.json are small vocabularies, one for each pipeline that models use; --train makes them anew
(the library's trainers number pieces differently each time). Writes OUT_DIR/tokenizer_json_expected.json: ids and decoded
text of every case. With --random the texts are N random strings
instead of the fixed ones. --outside: the folder of whole tokenizers (llama-2, phi-2), which are then covered too.
"""
import argparse
import base64
import io
import json
import pathlib
import random
import unicodedata

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from tokenizer import SENTENCES

MORE = [
    "Grüße aus Köln, Ærø, naïve café, São Paulo, Łódź, İstanbul and the façade of the old town hall.",
    "Где мой заказ? Посылка ушла в понедельник. Πού είναι η παραγγελία μου;",
    "東京の住所に送ってください。我的订单在哪里？ 주문은 어디에 있나요?",
    "أين طلبي؟ איפה ההזמנה שלי? मेरा ऑर्डर कहाँ है? คำสั่งซื้อของฉันอยู่ที่ไหน",
    "def find_order(order_id, limit=3):\n    for i in range(limit):\n        print(order_id + 1042)\n",
    "It's what they'll say, we've said it, I'm sure you'd agree; they're here and can't stay.",
]

TEXTS = [
    "", " ", "  ", "a", "The order was sent.", " leading space", "two  spaces   and trailing  ", "\n", "\r", "\r\n\r\n",
    "line one\nline two\n\n\tindented\r\rlone \r return", "        deep\n            deeper\t\t\ttabs",
    "Grüße aus Köln, 東京 und 🙂!", "combining e\u0301 a\u0308\u0323 o\u0328\u0301 vs \u00e9 \u1e69 s\u0323\u0307",
    "Где мой заказ? ΟΔΥΣΣΕΥΣ ἀρχή", "أين طلبي؟ َُِ שָׁלוֹם", "मेरा ऑर्डर क्षत्रिय कहाँ", "คำสั่งซื้อ น้ำ ที่", "한국어 주문 한 각",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪🇫🇷 ❤️", "null\u0000byte \u0001\u0007\u001b[0m \u007f \u0085 \ufffd", "nbsp\u00a0x \u2003em\u2028ls\u3000wide \u180e \u200b zw\u200dj",
    "1234567890 3.14 1,000 ٣٤٥ ½ ² Ⅷ 一二三 १२३", "it's I'M they'LL we'Ve 'S 'ſ don't '", "{\"name\": \"find_order\", \"arguments\": {\"order_id\": \"A-1042\"}}",
    "if (a != b) { return a->x[3] && !b; } // end", "ＦＵＬＬ ｗｉｄｔｈ ﬁ ﬂ ﬀ ½ ℌ ㍿ ﷺ", "İI ıi ß ẞ Σς ǅ", "word▁mark ▁ ▁▁x", "<s>the order</s>", "the <unk> order [UNK]",
    "<|im_start|>user\nWhere is my order?<|im_end|>\n", "<|im_start|> padded <|im_end|> x", "a<|im_end|><|im_end|>b", "ab  <|tool|>  right", "ab  <|left|>  left",
    "<|word|> a<|word|> <|word|>b é<|word|> .<|word|>.", "<|im_end", "Plain PLAIN plainly", "x" * 60, "\u0301start \u0300", "\u2581<s>  <s>",
    "https://example.test/a?b=1&c=%20#d_e-f", "\ufeffbom ¡hola! «quote» “q” …—–", "𝔘𝔫𝔦 𐍈 \U0001f9cc \u0378", "ab" * 40 + " " + "Lorem ipsum " * 5, "a" * 300,
]

ADDED = [  # content, single_word, lstrip, rstrip, normalized, special
    ("<|im_start|>", False, False, False, False, True),
    ("<|im_end|>", False, False, False, False, True),
    ("<|tool|>", False, False, True, False, True),
    ("<|left|>", False, True, False, False, True),
    ("<|word|>", True, False, False, False, False),
    ("Plain", False, False, False, True, False),
    ("    ", False, False, False, True, False),
    ("  ", False, False, False, True, False),
]

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
OLD_UNICODE = unicodedata.ucd_3_2_0
BYTES = [f"<0x{b:02X}>" for b in range(256)]
LLAMA_DECODER = {"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}


def part(of, value):
    """A normalizer or pre_tokenizer of the library from its description."""
    if value is None:
        return None
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
             "pre_tokenizer": None, "post_processor": None, "decoder": None,
             "model": {"type": "BPE", "vocab": {}, "merges": []}}
    whole[of] = value
    return getattr(Tokenizer.from_str(json.dumps(whole)), of)


def bpe(normalizer, pre_tokenizer, decoder, size, special=(), **options):
    trained = Tokenizer(models.BPE(**{k: v for k, v in options.items() if k != "ignore_merges"}))
    if part("normalizer", normalizer):
        trained.normalizer = part("normalizer", normalizer)
    if part("pre_tokenizer", pre_tokenizer):
        trained.pre_tokenizer = part("pre_tokenizer", pre_tokenizer)
    alphabet = [] if special else pre_tokenizers.ByteLevel.alphabet()
    around = {k: options[k] for k in ("continuing_subword_prefix", "end_of_word_suffix") if k in options}
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(special), initial_alphabet=alphabet,
                                  show_progress=False, max_token_length=12, **around)
    trained.train_from_iterator(SENTENCES + MORE, trainer)
    out = json.loads(trained.to_str())
    out["decoder"] = decoder
    out["model"].update(options)
    out["added_tokens"] = [t for t in out["added_tokens"] if t["content"] not in BYTES]
    return out


def add(file, added=ADDED):
    next_id = len(file["model"]["vocab"])
    for content, single, left, right, normalized, special in added:
        file["added_tokens"].append({"id": next_id, "content": content, "single_word": single, "lstrip": left,
                                     "rstrip": right, "normalized": normalized, "special": special})
        next_id += 1
    return file


def unigram():
    """Unigram with a small character map of SentencePiece's own making."""
    rules = {0xA0: [0x20], 0x3000: [0x20], 0xFB01: [0x66, 0x69], 0xBD: [0x31, 0x2044, 0x32], 0x200B: [], 0xDF: [0x73, 0x73],
             0x41: [0x61]}
    pairs = {(0x65, 0x301): [0xE9], (0x61, 0x308): [0xE4], (0x1112, 0x1161): [0xD558]}
    tsv = "".join("%s\t%s\n" % (" ".join("%X" % c for c in source), " ".join("%X" % c for c in target))
                  for source, target in [*[((k,), v) for k, v in rules.items()], *pairs.items()])
    path = pathlib.Path("/tmp") / f"rules-{random.SystemRandom().getrandbits(64):x}.tsv"
    path.write_text(tsv, encoding="utf-8")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES + MORE), model_writer=model, model_type="unigram", vocab_size=330,
        normalization_rule_tsv=str(path), num_threads=1, minloglevel=2, character_coverage=1.0, hard_vocab_limit=False)
    path.unlink()
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    charsmap = base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()
    vocab = [[p.piece, p.score] for p in proto.pieces]
    file = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": {
                "type": "Sequence", "normalizers": [
                    {"type": "Precompiled", "precompiled_charsmap": charsmap},
                    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
            "pre_tokenizer": METASPACE, "post_processor": None, "decoder": METASPACE,
            "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": False}}
    return add(file, ADDED[:6])


def word_piece():
    normalizer = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None,
                  "lowercase": True}
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer = part("normalizer", normalizer)
    trained.pre_tokenizer = part("pre_tokenizer", {"type": "BertPreTokenizer"})
    trained.train_from_iterator(SENTENCES + MORE, trainers.WordPieceTrainer(
        vocab_size=420, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    out = json.loads(trained.to_str())
    out["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    return add(out)


def pipelines():
    split = {"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False}
    qwen = {**split, "pattern": {"Regex": LLAMA3.replace("{1,3}", "")}}
    decoder = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    gpt2 = {**BYTE_LEVEL, "use_regex": True}
    llama = {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
    gemma = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    space = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    fallback = {"byte_fallback": True, "fuse_unk": True, "unk_token": "<unk>"}
    control = ["<unk>", "<s>", "</s>", *BYTES]
    yield "llama3", add(bpe(None, {"type": "Sequence", "pretokenizers": [split, BYTE_LEVEL]}, decoder, 600,
                            ignore_merges=True))
    yield "qwen2", add(bpe({"type": "NFC"}, {"type": "Sequence", "pretokenizers": [qwen, BYTE_LEVEL]}, decoder, 600))
    yield "smollm", add(bpe(None, {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True}, gpt2]}, decoder, 600))
    runs = [(" " * n, False, False, False, True, False) for n in range(8, 1, -1)]
    phi = add(bpe(None, gpt2, decoder, 600), [*runs, ("\t\t", False, False, False, True, False)])
    phi["model"]["merges"] = [" ".join(pair) for pair in phi["model"]["merges"]]
    yield "phi2", phi
    yield "llama2", add(bpe(llama, None, LLAMA_DECODER, 700, control, **fallback))
    yield "gemma", add(bpe(gemma, space, LLAMA_DECODER, 700, control, **fallback))
    yield "wordpiece", word_piece()
    yield "unigram", unigram()
    yield "suffix", add(bpe({"type": "Lowercase"}, {"type": "Whitespace"}, {"type": "BPEDecoder", "suffix": "</w>"}, 400,
                            ["<unk>"], unk_token="<unk>", end_of_word_suffix="</w>"))


def variants():
    """(name, pipeline, what of it is replaced): every other part, on a vocabulary that shows what the part did."""
    def pre(*steps):
        return {"type": "Sequence", "pretokenizers": [*steps, BYTE_LEVEL]}

    def cut(pattern, behavior, invert=False):
        kind = "String" if len(pattern) == 1 else "Regex"
        return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}

    for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"):
        yield form, "phi2", {"normalizer": {"type": form}}
    yield "nfd-accents", "phi2", {"normalizer": {"type": "Sequence", "normalizers": [
        {"type": "NFD"}, {"type": "Lowercase"}, {"type": "StripAccents"}]}}
    yield "normalizer-bytes", "phi2", {"normalizer": {"type": "ByteLevel"}, "pre_tokenizer": None}
    for left, right in ((True, True), (True, False), (False, True)):
        strip = {"type": "Strip", "strip_left": left, "strip_right": right}
        yield f"strip-{left}-{right}", "unigram", {"normalizer": strip}
        yield f"strip-first-{left}-{right}", "unigram", {"normalizer": strip, "pre_tokenizer": {
            **METASPACE, "prepend_scheme": "first"}}
    yield "replace-regex", "phi2", {"normalizer": {
        "type": "Replace", "pattern": {"Regex": r"\s+|\d(?=\d)|\w\b"}, "content": "_"}}
    for clean, chinese, accents, lower in ((True, False, None, False), (False, True, True, False), (False, False, False, True)):
        yield f"bert-{clean}-{chinese}-{accents}-{lower}", "phi2", {"normalizer": {
            "type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese, "strip_accents": accents,
            "lowercase": lower}}
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for pattern in (" ", r"\s|o", r"[[a-e]o\s]+", r"\p{Lu}|\h{2}", r"^\w|.$|(?m:o.s)", "a*"):
            for invert in (False, True):
                yield f"split-{behavior}-{pattern}-{invert}", "phi2", {"pre_tokenizer": pre(cut(pattern, behavior, invert))}
        yield f"punctuation-{behavior}", "phi2", {"pre_tokenizer": pre({"type": "Punctuation", "behavior": behavior})}
    for kind in ("Whitespace", "WhitespaceSplit", "BertPreTokenizer"):
        yield kind, "phi2", {"pre_tokenizer": pre({"type": kind})}
    yield "digits", "phi2", {"pre_tokenizer": pre({"type": "Digits", "individual_digits": False})}
    yield "delimiter", "phi2", {"pre_tokenizer": pre({"type": "CharDelimiterSplit", "delimiter": "e"})}
    yield "prefix-space", "phi2", {"pre_tokenizer": {**BYTE_LEVEL, "add_prefix_space": True, "use_regex": True}}
    possessive = r"[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
    yield "possessive", "phi2", {"pre_tokenizer": pre(cut(possessive, "Isolated"))}
    o200k = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
             r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
             r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    yield "o200k", "phi2", {"pre_tokenizer": pre(cut(o200k, "Isolated"))}
    for scheme in ("always", "first", "never"):
        for split in (True, False):
            space = {**METASPACE, "prepend_scheme": scheme, "split": split}
            yield f"metaspace-{scheme}-{split}", "unigram", {"pre_tokenizer": space, "decoder": space}
            yield f"words-metaspace-{scheme}-{split}", "llama2", {
                "normalizer": None, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                    {"type": "WhitespaceSplit"}, space]}, "decoder": space}
    yield "no-decoder", "unigram", {"decoder": None}
    yield "strip-decoder", "llama2", {"decoder": {"type": "Sequence", "decoders": [
        {"type": "Fuse"}, {"type": "Strip", "content": "▁", "start": 2, "stop": 1}]}}
    yield "regex-decoder", "llama2", {"decoder": {"type": "Replace", "pattern": {"Regex": "[▁e]+"}, "content": "_"}}
    yield "no-cleanup", "wordpiece", {"decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False}}
    for fuse in (True, False):
        for fallback in (True, False):
            yield f"unknown-{fuse}-{fallback}", "suffix", {"model": {"fuse_unk": fuse, "byte_fallback": fallback}}
            yield f"unknown-llama-{fuse}-{fallback}", "llama2", {"model": {"fuse_unk": fuse, "byte_fallback": fallback}}
    yield "no-unknown", "suffix", {"model": {"unk_token": None}}


def merged(file, patch):
    out = dict(file)
    for key, value in patch.items():
        out[key] = {**file["model"], **value} if key == "model" else value
    return out


def random_text(rng):
    pools = ["abcdefghijklmnop ", "eEaAsStT''", "  \t\n\r", "0123456789", ".,;:!?()[]{}<>=+-*/\"'_", "éüßçñøåİıſ", "\u0301\u0308\u0323\u0327",
             "агдеЖЯ", "αβΣς", "אבגشسلאָ", "कखगािी्", "กขคำ้", "東京你好かナ", "한국어ᄒ\u1161\u11ab", "🙂👩\u200d👧🏽🇩🇪❤\ufe0f",
             "\u0000\u0001\u001b\u007f\u0085\u00a0\u2028\u3000\u200b\ufeff\u180e\ufffd", "ﬁ½㍿ＡＢ①Ⓐ", "▁"]
    words = ["the order", " order", "<|im_start|>", "<|im_end|>", "<|tool|>", "<|left|>", "<|word|>", "Plain", "<s>", "</s>", "    ",
             "it's", "they'LL", "[UNK]", "<0x41>", "find_order", "def ", "\n\n"]
    out = []
    for _ in range(rng.randint(1, 12)):
        kind = rng.random()
        if kind < 0.3:
            out.append(rng.choice(words))
        elif kind < 0.35:
            c = rng.randint(1, 0x2ffff)
            # Libraries differ in the version of Unicode they know: characters that all of them have.
            out.append("?" if 0xd800 <= c <= 0xdfff or OLD_UNICODE.category(chr(c)) == "Cn" else chr(c))
        else:
            pool = rng.choice(pools)
            out.append("".join(rng.choice(pool) for _ in range(rng.randint(1, 8))))
    return "".join(out)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--outside", type=pathlib.Path)
    args = parser.parse_args()
    (args.out / "tokenizers").mkdir(parents=True, exist_ok=True)
    if args.train:
        for name, file in pipelines():
            (args.out / "tokenizers" / f"{name}.json").write_text(
                json.dumps(file, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    files = {path.stem: json.loads(path.read_text(encoding="utf-8"))
             for path in sorted((args.out / "tokenizers").glob("*.json"))}
    todo = [(name, name, {}) for name in files] + list(variants())
    if args.outside:
        for name in ("llama-2", "phi-2"):
            files[name] = json.loads((args.outside / name / "tokenizer.json").read_text(encoding="utf-8"))
            # The copy of llama-2 has three merges that are only spaces, which the library refuses.
            files[name]["model"]["merges"] = [m for m in files[name]["model"]["merges"] if m.count(" ") == 1]
            todo.append((name, name, {}))
    rng = random.Random(7)
    n_panics = 0
    with (args.out / "tokenizer_json_expected.json").open("w", encoding="utf-8") as f:
        for number, (name, base, patch) in enumerate(todo):
            tokenizer = Tokenizer.from_str(json.dumps(merged(files[base], patch)))
            if args.random:
                texts = [random_text(rng) for _ in range(args.random if not patch else max(1, args.random // 10))]
            else:  # the parts take turns with the texts, which keeps the file small
                texts = TEXTS if not patch else [t for i, t in enumerate(TEXTS) if (i + number) % 4 == 0]
            cases = []
            for text in texts:
                try:
                    ids = tokenizer.encode(text, add_special_tokens=False).ids
                    decoded = [tokenizer.decode(ids, skip_special_tokens=skip) for skip in (True, False)]
                except BaseException as error:  # a panic of the library: there is nothing to compare with
                    if type(error).__name__ != "PanicException":
                        raise
                    n_panics += 1
                    continue
                cases.append([text, ids, *decoded])
            line = json.dumps({"name": name, "base": base, "patch": patch, "cases": cases}, ensure_ascii=True,
                              separators=(",", ":"))
            f.write(("[\n" if number == 0 else ",\n") + line)
        f.write("\n]\n")
    print(f"{len(todo)} pipelines; the library panicked on {n_panics} texts, which are left out")


if __name__ == "__main__":
    main()
