#!/usr/bin/env python3
"""CLINC150's test split alone, k = 150, by scikit-learn and by slmconv, from one run.

Both sides cluster the same 4,500 texts on char_wb 3-5-gram TF-IDF and 200 singular directions fitted on them, seeds 1 to 5.
slmconv's side is the test program's Clinc test, which prints what its tests check. Needs numpy and scikit-learn here.

Use: scripts/bench/cluster/clinc.py TEST_PROGRAM [--data ../shared/data/intents/clinc150.json] [--seeds 5]
     TEST_PROGRAM is build/<preset>/tests/cluster_test.
"""
import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time


def rival(path, n_seeds):
    import sklearn
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.preprocessing import normalize

    with open(path, encoding="utf-8") as file:
        rows = json.load(file)["test"]
    texts, labels = [row[0] for row in rows], [row[1] for row in rows]
    out = []
    for seed in range(1, n_seeds + 1):
        begun = time.monotonic()
        weights = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True).fit_transform(texts)
        points = normalize(TruncatedSVD(200, random_state=seed).fit_transform(weights))
        found = KMeans(150, n_init=5, random_state=seed).fit_predict(points)
        seconds = time.monotonic() - begun
        out.append((adjusted_rand_score(labels, found), normalized_mutual_info_score(labels, found), seconds))
    return f"scikit-learn {sklearn.__version__}", out


def ours(program):
    ran = subprocess.run([program, "--gtest_filter=Clinc.*"], capture_output=True, text=True, check=False)
    pattern = re.compile(r"CLINC150 seed (\d+): ARI ([\d.]+), NMI ([\d.]+), ([\d.]+) s")
    out = [(float(m[2]), float(m[3]), float(m[4])) for m in pattern.finditer(ran.stdout)]
    if not out:
        sys.exit(f"{program} printed no result:\n{ran.stdout}{ran.stderr}")
    return "slmconv", out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--data", default="../shared/data/intents/clinc150.json")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    print(f"machine: {platform.processor() or platform.machine()}, {os.cpu_count()} cores, {platform.platform()}")
    print(f"{'':24}{'ARI mean':>10}{'spread':>16}{'NMI mean':>10}{'s median':>10}{'runs':>6}")
    for name, runs in (rival(args.data, args.seeds), ours(args.program)):
        ari, nmi, seconds = zip(*runs)
        spread = f"{min(ari):.3f} to {max(ari):.3f}"
        print(f"{name:24}{statistics.mean(ari):>10.4f}{spread:>16}{statistics.mean(nmi):>10.4f}"
              f"{statistics.median(seconds):>10.2f}{len(runs):>6}")


if __name__ == "__main__":
    main()
