#!/bin/sh
# What the container is: webserver, daemon, code-server, or any other command, which is run as it stands.
# It starts in the folder of dagster-postgres.yaml and workspace.yaml.
set -eu

workspace=${SPN4CIR_WORKSPACE:-workspace.yaml}

answers() {
    python -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=10)' "$1"
}

healthy() {
    case $(tr '\0' ' ' </proc/"${SPN4CIR_MAIN_PROCESS:-1}"/cmdline) in
    '') return 1 ;;
    *dagster-webserver*) answers http://127.0.0.1:3000/server_info ;;
    *dagster-daemon*) dagster-daemon liveness-check ;;
    *"dagster api grpc"*) dagster api grpc-health-check -p 4000 ;;
    esac
}

settle_home() {
    spn4cir dagster-home ${DAGSTER_PG_HOST:+--add dagster-postgres.yaml} >/dev/null
}

case ${1:-} in
healthy) healthy ;;
webserver) settle_home && exec dagster-webserver -h 0.0.0.0 -p 3000 -w "$workspace" ;;
daemon) settle_home && exec dagster-daemon run -w "$workspace" ;;
code-server) settle_home && exec dagster api grpc -h 0.0.0.0 -p 4000 -m dagster_project.definitions ;;
*) exec "$@" ;;
esac
