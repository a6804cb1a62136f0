#!/usr/bin/env bash
# GPU tests of every kernel first, then benchmarks against torch and Triton where they are installed, then the rows of
# docs/rows.md, whose times go to FILE-rows.json.
# Needs no network. `--dry` walks the same control flow on the CPU at tiny shapes; it needs no GPU.
#
#   benchmarks/gpu.sh [--dry] [--out FILE.json]
#
# PYTHON picks the interpreter. The results are written after every case, so that a stop loses nothing.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
dry="" out="" last=""
for argument in "$@"; do
  [ "$argument" = --dry ] && dry=1
  [ "$last" = --out ] && out="${argument%.json}-rows.json"
  last=$argument
done

echo "== tests"
if [ -n "$dry" ]; then
  "$python" -m pytest tests/gpu -q -p no:cacheprovider -k "smoke"
else
  timeout 240 "$python" -m pytest tests/gpu -q -p no:cacheprovider -x --maxfail=20
fi
tests=$?
[ $tests -eq 0 ] || echo "GPU tests failed ($tests); the figures below are of a wrong compiler"

echo "== benchmarks"
"$python" benchmarks/gpu.py "$@"
figures=$?

echo "== rows of docs/rows.md"
"$python" benchmarks/rows.py --gpu ${dry:+--dry} ${out:+--out "$out"}
rows=$?
[ $figures -eq 0 ] || exit $figures
exit $((tests != 0 ? tests : rows))
