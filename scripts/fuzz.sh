#!/usr/bin/env bash
# Builds the fuzz targets with Clang and runs each on its seeds. Use: scripts/fuzz.sh [SECONDS] [TARGET...]
# SECONDS of each target; without it 10,000 inputs from a fixed seed, the same ones every time, which is what CI does. With
# it new inputs are kept in build/fuzz/corpus/<target>. What fails is left in build/fuzz/found/ and fails the script.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-0}; [ $# -gt 0 ] && shift
targets=("$@"); [ ${#targets[@]} -gt 0 ] || targets=(dialects otlp compressed sse http recording frames rules detector template tokenizer safetensors gguf config grammar calls)
command -v clang++-14 >/dev/null || { echo "fuzz: clang++-14 is missing: scripts/setup.sh --dev" >&2; exit 2; }
scripts/build.sh fuzz "${targets[@]/%/_fuzz}"
export UBSAN_OPTIONS=print_stacktrace=1

seeds() {  # seeds TARGET FOLDER
  case $1 in
    dialects) for f in tests/data/call/*; do head -c 20000 "$f" >"$2/${f##*/}"; done ;;
    otlp) cp tests/data/otlp/*.pb "$2/" ;;
    compressed) gzip -c tests/data/call/messages.jsonl >"$2/gzip"; printf '\x28\xb5\x2f\xfd\x00\x00\x19\x00\x00{}\n' >"$2/zstd" ;;
    sse) printf 'xevent: a\ndata: b\ndata: c\n\n: d\r\ndata\r\r' >"$2/stream" ;;
    http)
      printf 'xPOST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n' >"$2/chunked"
      printf 'xHTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: X\r\nX: 1\r\n\r\nabc' >"$2/length" ;;
    recording) cp tests/data/recording/* "$2/" ;;
    rules) cp pipelines/quickstart/rules.toml "$2/" ;;
    detector) head -c 3000 pipelines/quickstart/sample/calls-0.jsonl >"$2/calls" ;;
    template) cp pipelines/quickstart/base-model/chat_template.jinja "$2/" ;;
    tokenizer) cp tests/data/text/tokenizers/*.json "$2/" ;;
    safetensors) for f in tests/data/families/llama-*/*.safetensors; do head -c 4000 "$f" >"$2/$(echo "$f" | tr / _)"; done ;;
    gguf) cp tests/data/gguf/reference.gguf "$2/" ;;
    grammar)
      printf '{"type":"object","properties":{"a":{"type":"string","maxLength":9},"b":{"type":"integer","minimum":-7,"maximum":120},"c":{"enum":["x",1,null]}},"required":["a"]}\0{"a": "' >"$2/object"
      printf '{"$defs":{"n":{"type":"array","items":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"number"}]},"maxItems":3}},"$ref":"#/$defs/n"}\0[[1.5, ' >"$2/recursion"
      printf '{"oneOf":[{"type":"boolean"},{"prefixItems":[{"const":"\xc3\xb6"}],"items":false}]}\0["' >"$2/choice" ;;
    calls)
      printf '\0Ok. <tool_call>{"name": "f", "arguments": {"x": [1]}}</tool_call>' >"$2/tags"
      printf '\12<tool_call>\n<function=find_order>\n<parameter=limit>\n7\n</parameter>\n</function>\n</tool_call>' >"$2/parameters"
      printf "\\15<|tool_call_start|>[f(x='a', y=[1, None]), g()]<|tool_call_end|>" >"$2/python" ;;
    config) cp pipelines/quickstart/base-model/config.json "$2/" ;;
  esac
}
failed=0
mkdir -p build/fuzz/found
for target in "${targets[@]}"; do
  corpus=build/fuzz/corpus/$target
  limit=(-max_total_time="$seconds")
  if [ "$seconds" = 0 ]; then
    corpus=build/fuzz/short/$target; rm -rf "$corpus"
    limit=(-runs=10000 -seed=1)
  fi
  mkdir -p "$corpus"
  seeds "$target" "$corpus"
  log=build/fuzz/$target.log
  if "build/fuzz/tests/fuzz/${target}_fuzz" "${limit[@]}" -timeout=20 -rss_limit_mb=2048 -max_len=20000 -print_final_stats=1 \
    -artifact_prefix="build/fuzz/found/$target-" "$corpus" >"$log" 2>&1; then
    echo "fuzz: $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, none failed"
  else
    echo "fuzz: FAILED: $target"; grep -m 12 -E 'ERROR|SUMMARY|runtime error|#[0-9] .* in slm|Test unit' "$log" || tail -5 "$log"
    failed=1
  fi
done
exit $failed
