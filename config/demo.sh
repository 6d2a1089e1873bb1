#!/usr/bin/env bash
# Shows Sluice at work on this machine: a container's log lines go in, a stand-in for CloudWatch Logs takes them.
#
# usage: config/demo.sh [OPTION_OF_SINK..]     for example: config/demo.sh --throttle 30%
#
# Needs bash and the two programs in target/release (or in $BIN). What it writes goes to a temporary folder, which it removes.
set -euo pipefail

repository=$(cd "$(dirname "$0")/.." && pwd)
bin=${BIN:-$repository/target/release}
records=25000
rate=5000
group=/demo/shop
tag=web-firelens-5d1c0f6b7a2e4c3d9b8a7f6e5d4c3b2a

bold='' dim='' plain=''
if [[ -t 1 ]]; then
    bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
fi

folder=$(mktemp -d)
# The processes this script has started and not waited for, by their ids.
running=()

clean_up() {
    local process
    for process in "${!running[@]}"; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    printf '\nThe demo has failed: %s\n' "$1" >&2
    cat "$folder"/*.log >&2 2>/dev/null || true
    exit 1
}

step() {
    printf '\n%s%s%s\n' "$bold" "$1" "$plain"
}

# The first "KEY": in a line of JSON, without its fraction: number KEY JSON.
number() {
    if [[ $2 =~ \"$1\":([0-9]+) ]]; then printf '%s' "${BASH_REMATCH[1]}"; else printf 0; fi
}

# The same for a text: text KEY JSON.
text() {
    if [[ $2 =~ \"$1\":\"([^\"]*)\" ]]; then printf '%s' "${BASH_REMATCH[1]}"; fi
}

# Asks the sink's control port; no HTTP client is needed: ask METHOD PATH [BODY].
ask() {
    local line answer=''
    exec {socket}<>"/dev/tcp/${control%:*}/${control##*:}"
    printf '%s %s HTTP/1.1\r\nHost: sink\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' \
        "$1" "$2" "${#3}" "$3" >&"$socket"
    while IFS= read -r line <&"$socket" && [[ $line != $'\r' ]]; do :; done
    IFS= read -r -d '' answer <&"$socket" || true
    exec {socket}>&-
    printf '%s' "$answer"
}

# Waits up to ten seconds for a command to succeed: wait_for WHAT COMMAND..
wait_for() {
    local what=$1 attempt
    shift
    for ((attempt = 0; attempt < 200; attempt++)); do
        if "$@"; then return; fi
        sleep 0.05
    done
    fail "$what"
}

has_text() {
    [[ -s $1 ]]
}

for program in sluice sluice-bench; do
    [[ -x $bin/$program ]] || fail "there is no $bin/$program; run \`make demo\`, or \`cargo build --release\` first"
done

step '1. A stand-in for CloudWatch Logs starts. It checks every signature and every limit.'
export AWS_ACCESS_KEY_ID=AKIDEMO AWS_SECRET_ACCESS_KEY=demo
unset AWS_SESSION_TOKEN
"$bin/sluice-bench" sink --keep 64M --ca-file "$folder/ca.pem" "$@" \
    >"$folder/sink.json" 2>"$folder/sink.log" &
sink=$!
running[sink]=1
wait_for 'the stand-in does not start' has_text "$folder/sink.json"
ready=$(<"$folder/sink.json")
control=$(text control "$ready")
printf '   https://%s %s\n' "$(text endpoint "$ready")" "$*"

step '2. Sluice starts, with config/demo.conf.'
DEMO_SOCKET=$folder/fluent.sock DEMO_GROUP=$group DEMO_ENDPOINT=$(text endpoint "$ready") DEMO_CA_FILE=$folder/ca.pem \
    "$bin/sluice" -c "$repository/config/demo.conf" 2>"$folder/sluice.log" &
router=$!
running[router]=1
wait_for 'Sluice does not listen' test -S "$folder/fluent.sock"
printf '   process %s listens on a unix socket, as in an ECS task\n' "$router"

step "3. A container logs $rate lines a second, over the protocol of Docker's log driver."
"$bin/sluice-bench" load --unix "$folder/fluent.sock" --connections 1 --tag "$tag" --size 200 \
    --records "$records" --rate "$rate" >"$folder/load.json" 2>"$folder/load.log" &
load=$!
running[load]=1
for ((second = 1; ; second++)); do
    sleep 1
    kill -0 "$load" 2>/dev/null || break
    printf '   after %d s: %6d lines have arrived\n' "$second" "$(number unique "$(ask GET /stats '')")"
done
wait "$load" || fail 'the load has ended with an error'
unset 'running[load]'
sent=$(<"$folder/load.json")

step '4. Sluice is told to stop, as ECS does at the end of a task. It delivers what it holds and closes its books.'
kill -TERM "$router"
wait "$router" || fail 'Sluice has ended with an error'
unset 'running[router]'
while IFS= read -r line; do
    if [[ $line == *'service has stopped'* ]]; then printf '   %s\n' "$line"; fi
done <"$folder/sluice.log"

step '5. The first lines in the stand-in. By the seq=… in each it counts what is missing, double or out of order.'
printf '   log group %s, stream demo/%s\n' "$group" "$tag"
stored=$(ask GET "/events?group=$group&stream=demo/$tag" '')
for ((shown = 0; shown < 4; shown++)); do
    [[ $stored =~ \"message\":\"(([^\"\\]|\\.)*)\" ]] || break
    stored=${stored#*"${BASH_REMATCH[0]}"}
    message=${BASH_REMATCH[1]//\\\"/\"}
    printf '   %s%.110s%s\n' "$dim" "$message" "$plain"
done

ask POST /expect "{\"records\":[$records]}" >/dev/null
stats=$(ask GET /stats '')
latency=${stats#*\"latency\":}
answers=${stats#*\"answers\":\{}
answers=${answers%%\}*}
answers=${answers//,/, }
step 'The result'
printf '   sent        %7d lines, %d a second\n' "$(number records "$sent")" "$(number records_per_second "$sent")"
printf '   arrived     %7d\n' "$(number unique "$stats")"
printf '   missing     %7d\n' "$(number missing "$stats")"
printf '   duplicates  %7d\n' "$(number duplicates "$stats")"
printf '   disordered  %7d\n' "$(number out_of_order "$stats")"
printf '   latency     %7d ms median, %d ms at worst: up to Flush (1 s) a line waits for others to share a request\n' \
    "$(number p50_ms "$latency")" "$(number max_ms "$latency")"
printf '   requests    %s\n\n' "${answers//[\"]/}"
(($(number missing "$stats") == 0)) || fail 'lines are missing'
