#!/usr/bin/env bash
# Builds the CPU image, runs it as docker-compose.yml says, and checks that it keeps what docker/README.md promises.
#
#   docker/image_test.sh [RADIOGRAPH]      without one, the package in the image draws a phantom
#
# With Docker and its compose plugin where they work, otherwise with Podman and podman-compose. Where the base image
# cannot be pulled (PANOSEG_BASE names another), Debian's own Python stands in for it; that needs debootstrap and root.
set -euo pipefail
radiograph=${1:+$(realpath -- "$1")}
cd "$(dirname "$0")/.."

readonly STAND_IN=localhost/python-base
readonly CERTIFICATES=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
readonly PIP_CONFIGURATION=${PIP_CONFIG_FILE:-/etc/pip.conf}
base=${PANOSEG_BASE:-python:3.12-slim-bookworm}

say() { printf '== %s\n' "$*"; }
fail() { printf 'image-test: %s\n' "$*" >&2; exit 1; }

missing=()
for tool in curl python3; do command -v "$tool" >/dev/null || missing+=("$tool"); done
if docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; then
    engine=docker
    compose=(docker compose)
else
    engine=podman
    compose=(podman-compose)
    for tool in podman podman-compose; do command -v "$tool" >/dev/null || missing+=("$tool"); done
fi
((${#missing[@]} == 0)) || fail "not found: ${missing[*]}. It takes curl, Python, and either a running Docker with its \
compose plugin or podman with podman-compose."
compose+=(--file docker-compose.yml --project-name panoseg-image-test --profile cpu)
say "with $("$engine" --version)"

scratch=$(mktemp --directory)
clean_up() {
    local status=$?
    if ((status != 0)) && [[ -n ${container:-} ]]; then "$engine" logs --tail 50 "$container" >&2 || true; fi
    "${compose[@]}" down >/dev/null 2>&1 || true
    rm -rf --one-file-system "$scratch"
    ((status == 0)) || echo "image-test: FAILED" >&2
}
trap clean_up EXIT

make_stand_in() {
    command -v debootstrap >/dev/null || fail "the base image $base cannot be pulled, and debootstrap is not installed."
    ((EUID == 0)) || fail "the base image $base cannot be pulled, and making one with debootstrap needs root."
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$scratch/base" >/dev/null
    tar --directory "$scratch/base" --create . | "$engine" import - "$STAND_IN" >"$scratch/import.log" 2>&1 \
        || fail "the stand-in cannot be imported: $(cat "$scratch/import.log")"
}

if ! "$engine" image inspect "$base" >/dev/null 2>&1 && ! timeout 300 "$engine" pull --quiet "$base" 2>/dev/null; then
    say "$base cannot be pulled: Debian's Python stands in for it"
    "$engine" image inspect "$STAND_IN" >/dev/null 2>&1 || make_stand_in
    base=$STAND_IN
fi

# Lent to the steps that install, never copied: what this machine needs to reach its package index.
secrets=()
[[ ! -r $CERTIFICATES ]] || secrets+=(--secret "id=certificates,src=$CERTIFICATES")
[[ ! -r $PIP_CONFIGURATION ]] || secrets+=(--secret "id=pip,src=$PIP_CONFIGURATION")
say "building panoseg:cpu from $base"
# Podman only: needs no more rights than this script has, keeps the health check, and writes no layer twice.
export BUILDAH_ISOLATION=chroot BUILDAH_FORMAT=docker BUILDAH_LAYERS=false
"$engine" build --target cpu --build-arg "BASE=$base" "${secrets[@]}" --tag panoseg:cpu --file docker/Dockerfile . \
    >"$scratch/build.log" 2>&1 || { tail -n 40 "$scratch/build.log" >&2; fail "the image cannot be built."; }
size_of() { "$engine" image inspect --format '{{.Size}}' "$1"; }
say "size: $(($(size_of panoseg:cpu) / 1000000)) MB, of which the base image $(($(size_of "$base") / 1000000)) MB"
# Without the base, which may be another one. Podman only: Docker may count what is compressed.
own=$((($(size_of panoseg:cpu) - $(size_of "$base")) / 1000000))
told=$(sed -En 's/^\| image \| ([0-9.]+) GB, of which ([0-9.]+) the base.*/\1 \2/p' docker/README.md \
    | awk '{ printf "%.0f", 1000 * ($1 - $2) }')
[[ $engine != podman ]] || ((own * 10 >= told * 9 && own * 10 <= told * 11)) \
    || fail "docker/README.md tells of $told MB beside the base image; they are $own."

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export PANOSEG_PUBLISH=127.0.0.1:$port
(($(nproc) >= 2)) || export PANOSEG_CPUS=1
say "starting on 127.0.0.1:$port"
"${compose[@]}" up --detach --no-build >"$scratch/up.log" 2>&1 || fail "it does not start: $(cat "$scratch/up.log")"
container=$("${compose[@]}" ps --quiet 2>/dev/null | tail -n 1)

ask() { curl --silent --show-error --noproxy '*' --max-time 60 "$@"; }
is_running() { [[ $("$engine" inspect --format '{{.State.Running}}' "$container") == true ]]; }
started=$SECONDS
until ask --fail --output "$scratch/ready.json" "http://127.0.0.1:$port/health/ready" 2>/dev/null; do
    is_running || fail "it stopped before it was ready."
    ((SECONDS - started < 120)) || fail "it was not ready within 120 s."
    sleep 1
done
say "ready after $((SECONDS - started)) s: $(cat "$scratch/ready.json")"

if [[ -z $radiograph ]]; then
    radiograph=$scratch/phantom.png
    "$engine" exec "$container" python -m training.phantom --out /tmp/phantom.png
    "$engine" exec "$container" cat /tmp/phantom.png >"$radiograph"
fi
ask --fail-with-body --header 'Content-Type: application/octet-stream' --data-binary "@$radiograph" \
    --output "$scratch/answer.json" "http://127.0.0.1:$port/v1/segment" \
    || fail "no answer to a radiograph: $(cat "$scratch/answer.json")"
python3 - "$scratch/answer.json" <<'CHECK' || fail "the answer holds no teeth."
import json
import sys
from pathlib import Path

answer = json.loads(Path(sys.argv[1]).read_text())
numbers = [tooth["fdi"] for tooth in answer["teeth"]]
print(f"== {len(numbers)} teeth in {answer['timings_ms']['total']:.0f} ms: {numbers}")
sys.exit(not numbers)
CHECK

"$engine" exec --interactive "$container" python - <<'CHECK' || fail "inside, it is not as promised."
import os
from importlib.util import find_spec
from pathlib import Path

service = dict(line.split(":\t", 1) for line in Path("/proc/1/status").read_text().splitlines())
promises = {
    "it runs as uid 10001": set(service["Uid"].split()) == {"10001"},
    "it has no capability": all(int(service[name], 16) == 0 for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")),
    "it can gain no privileges": service["NoNewPrivs"] == "1",
    "its root file system is read-only": bool(os.statvfs("/").f_flag & os.ST_RDONLY),
    "/tmp can be written to": os.access("/tmp", os.W_OK),
    "neither PyTorch nor pip is in the image": find_spec("torch") is None and find_spec("pip") is None,
}
for promise, kept in promises.items():
    print(f"== {'kept' if kept else 'BROKEN'}: {promise}")
raise SystemExit(not all(promises.values()))
CHECK

if [[ $engine == podman ]]; then
    podman healthcheck run "$container" >"$scratch/health.log" 2>&1 || fail "unhealthy: $(cat "$scratch/health.log")"
else
    # Docker runs it by itself, every 30 s.
    until [[ $(docker inspect --format '{{.State.Health.Status}}' "$container") == healthy ]]; do
        ((SECONDS - started < 180)) || fail "its health check does not succeed."
        sleep 1
    done
fi
say "its health check succeeds"

stopping=$SECONDS
"${compose[@]}" stop >/dev/null 2>&1
took=$((SECONDS - stopping))
code=$("$engine" inspect --format '{{.State.ExitCode}}' "$container")
((code == 0)) || fail "it ended with code $code after SIGTERM, not 0."
((took <= 10)) || fail "it took $took s to end after SIGTERM, more than 10."
say "it ended with code 0, $took s after SIGTERM"
say "image-test: all is as promised"
