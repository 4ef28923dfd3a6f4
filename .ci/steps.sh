# Sourced by the programs beside it: named steps with a time budget each; all are run, and all that failed are named.

failed=()

# Programs that are no packages of Python, and that some steps fetch; see .ci/quality and .ci/servers.
tools=${XDG_CACHE_HOME:-$HOME/.cache}/gauntlet-tools
PATH=$tools:$PATH

# Run a named step within its budget in seconds; go on after a failure, so that one run tells everything.
step() {
    local name=$1 budget=$2 began=$SECONDS
    shift 2
    echo "::: $name (at most $budget s)"
    if timeout --kill-after=30 "$budget" "$@"; then
        echo "::: $name: passed in $((SECONDS - began)) s"
    else
        echo "::: $name: FAILED after $((SECONDS - began)) s"
        failed+=("$name")
    fi
}

# Begin a named step beside those that follow, for one that waits more than it works; `join` shows what it printed, and how it ended.
beside() {
    beside_name=$1 beside_began=$SECONDS beside_said=$(mktemp)
    echo "::: $1: begun, beside what follows (at most $2 s)"
    timeout --kill-after=30 "$2" "${@:3}" > "$beside_said" 2>&1 &
    beside_process=$!
    trap 'kill $beside_process 2> /dev/null || true' EXIT
}

join() {
    local ended=passed
    if ! wait "$beside_process"; then
        ended=FAILED
        failed+=("$beside_name")
    fi
    trap - EXIT
    echo "::: $beside_name, which ran beside the steps above:"
    cat "$beside_said"
    rm -f "$beside_said"
    echo "::: $beside_name: $ended, $((SECONDS - beside_began)) s after it began"
}

# Before a command's budget and itself: it gets only what processors have left. Where Linux shares them between sessions first,
# niceness counts within a session only: so the command has a session of its own, which stands back as well.
standing_back=(setsid --wait bash -c 'echo 19 2> /dev/null > /proc/self/autogroup || true
    exec nice -n 19 timeout --kill-after=30 "$@"' standing_back)

# The last line of a program: exit code 1 where a step failed.
finish() {
    if [ ${#failed[@]} -gt 0 ]; then
        printf '::: failed: %s\n' "${failed[@]}"
        exit 1
    fi
    echo "::: all passed in $SECONDS s"
}

# uv in a virtual environment of its own, as the README installs it; what it runs is what uv.lock says.
install_uv() {
    [ -x .uv/bin/uv ] || { python3 -m venv .uv && .uv/bin/pip install -q uv; }
}
run=(.uv/bin/uv run --frozen --all-groups)
