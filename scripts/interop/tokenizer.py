#!/usr/bin/env python3
"""Oracle for lib/text/tokenizer: what sentencepiece and transformers' LlamaTokenizer make of given texts.

Use: tokenizer.py OUT_DIR
Writes OUT_DIR/tiny-tokenizer/ (a byte-fallback BPE model of 420 pieces trained here on the sentences below) and
OUT_DIR/text/tokenizer_expected.json. Needs sentencepiece, protobuf and transformers 4.57 (requirements-text.txt).
With --en-model FILE it also records google/sentencepiece's en.model (unigram, NFKC, spaces collapsed).
"""
import argparse
import contextlib
import json
import pathlib

import sentencepiece
from transformers import AddedToken, LlamaTokenizer

SENTENCES = [
    "The order was sent to the wrong address and the customer asks for a refund.",
    "Please find the invoice number and the date in the message below.",
    "A parcel with two books and one lamp left the store on Monday.",
    "{\"name\": \"find_order\", \"arguments\": {\"order_id\": \"A-1042\", \"limit\": 3}}",
    "What is the status of my order? It should have been here on Friday.",
    "The customer wants to change the delivery date to the third of May.",
    "user system assistant tool message content answer question",
    "We could not find the address, so the parcel went back to the store.",
]

TEXTS = [
    "The order was sent.",
    "",
    " ",
    " leading space",
    "two  spaces   and trailing  ",
    "line one\nline two\n\n\tindented",
    "Grüße aus Köln, 東京 und 🙂!",
    "<|im_start|>user\nWhere is my order?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>",
    "<|im_start|> padded <|im_end|>",
    "text<|im_end|>\n",
    "a<|im_end|><|im_end|>b",
    "<|im_end|> \n  deep",
    "<|im_start|>  two spaces",
    "<|im_end",
    "<s>the order</s>",
    "the <unk> order",
    "ab<|tool|>  right side is stripped",
    "left side is stripped  <|left|>x",
    "<|im_start|><|im_start|>tool",
    "{\"name\": \"find_order\", \"arguments\": {\"order_id\": \"A-1042\"}}",
    "\u2581mark in text",
    "null\u0000byte",
    "combining e\u0301 and \u00a0 nbsp",
]

ADDED = [  # (id, content, lstrip, rstrip)
    (420, "<|im_start|>", False, False),
    (421, "<|im_end|>", False, False),
    (422, "<|tool|>", False, True),
    (423, "<|left|>", True, False),
    (424, "<|im_start|><|im_start|>", False, False),
]


def train(folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    with contextlib.chdir(folder):  # the model file keeps both names: bare ones are the same everywhere
        sentencepiece.SentencePieceTrainer.train(
            input=corpus.name, model_prefix="tokenizer", model_type="bpe", vocab_size=420,
            byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
            character_coverage=1.0, num_threads=1, minloglevel=2)
    corpus.unlink()
    (folder / "tokenizer.vocab").unlink()
    config = {
        "tokenizer_class": "LlamaTokenizer",
        "legacy": False,
        "bos_token": "<s>",
        "eos_token": "<|im_end|>",
        "unk_token": "<unk>",
        "added_tokens_decoder": {
            str(i): {"content": t, "lstrip": l, "rstrip": r, "normalized": False, "single_word": False, "special": True}
            for i, t, l, r in ADDED
        },
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def llama(folder: pathlib.Path, legacy: bool) -> LlamaTokenizer:
    tokenizer = LlamaTokenizer(str(folder / "tokenizer.model"), legacy=legacy, add_bos_token=False)
    tokenizer.add_special_tokens({"additional_special_tokens": [
        AddedToken(t, lstrip=l, rstrip=r, normalized=False, special=True) for _, t, l, r in ADDED]})
    for i, t, _, _ in ADDED:
        assert tokenizer.convert_tokens_to_ids(t) == i, t
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--en-model", type=pathlib.Path)
    args = parser.parse_args()
    train(args.out / "tiny-tokenizer")
    cases = []
    for legacy in (False, True):
        tokenizer = llama(args.out / "tiny-tokenizer", legacy)
        for text in TEXTS:
            cases.append({"model": "tiny", "legacy": legacy, "text": text,
                          "ids": tokenizer.encode(text, add_special_tokens=False)})
    if args.en_model:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(args.en_model))
        for text in TEXTS:
            if "<|" in text or "<s>" in text or "<unk>" in text:
                continue
            ids = processor.encode(text)
            cases.append({"model": "en", "legacy": True, "text": text, "ids": ids, "decoded": processor.decode(ids)})
    out = args.out / "text" / "tokenizer_expected.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=True) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
