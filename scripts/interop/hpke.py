"""pyhpke's side of scripts/interop/hpke.sh: X25519, HKDF-SHA256, AES-256-GCM, base mode.

A line of either file is one message: recipient's private key, info, ephemeral ikm or "-", encapsulation, number of the
message in its context, associated data, plaintext, ciphertext, exporter context, exported secret; hexadecimal, "-" for
nothing, separated by spaces.
"""
import argparse
import random
import sys

from pyhpke import AEADId, CipherSuite, KDFId, KEMId

SUITE = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES256_GCM)
N_CONTEXTS = 40


def to_hex(data):
    return data.hex() or "-"


def from_hex(text):
    return b"" if text == "-" else bytes.fromhex(text)


def make(path, seed):
    rng = random.Random(seed)
    with open(path, "w", encoding="ascii") as out:
        for _ in range(N_CONTEXTS):
            recipient = SUITE.kem.derive_key_pair(rng.randbytes(32))
            ikm = rng.randbytes(32)
            info = rng.randbytes(rng.choice([0, 1, 40, 300]))
            enc, sender = SUITE.create_sender_context(
                recipient.public_key, info=info, eks=SUITE.kem.derive_key_pair(ikm))
            secret = recipient.private_key.to_private_bytes()
            for seq in range(rng.randint(1, 5)):
                aad = rng.randbytes(rng.choice([0, 16, 500]))
                text = rng.randbytes(rng.choice([0, 1, 31, 5000]))
                context = rng.randbytes(rng.choice([0, 7, 64]))
                fields = [secret, info, ikm, enc]
                rest = [aad, text, sender.seal(text, aad), context, sender.export(context, 32)]
                print(*map(to_hex, fields), seq, *map(to_hex, rest), file=out)


def open_all(path):
    n = 0
    contexts = {}
    with open(path, encoding="ascii") as lines:
        for line in lines:
            secret, info, _, enc, seq, aad, text, sealed, exporter, exported = line.split()
            key = (secret, info, enc)
            if key not in contexts:
                contexts[key] = SUITE.create_recipient_context(
                    from_hex(enc), SUITE.kem.deserialize_private_key(from_hex(secret)), info=from_hex(info))
            context = contexts[key]
            if context.open(from_hex(sealed), from_hex(aad)) != from_hex(text):
                sys.exit(f"message {seq} of {enc} opens to something else")
            if context.export(from_hex(exporter), 32) != from_hex(exported):
                sys.exit(f"the exported secret of {enc} differs")
            n += 1
    if n == 0:
        sys.exit("nothing to compare")
    print(f"{n} messages of {len(contexts)} contexts, sealed by slmconv, open in pyhpke")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["make", "open"])
    parser.add_argument("file")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    if args.what == "make":
        make(args.file, args.seed)
    else:
        open_all(args.file)


if __name__ == "__main__":
    main()
