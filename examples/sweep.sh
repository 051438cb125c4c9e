#!/bin/sh
# Train a model for each point of a grid, then show them side by side.
#
#   examples/sweep.sh [CONFIG [FOLDER [KEY=VALUE ...]]]
#   JOBS=3 SIZES="64 128" RATES="1e-3 4e-3" examples/sweep.sh configs/quickstart.yaml runs/sweep
#
# Interrupted, even by a power loss, and started again, it skips the runs that are finished and
# continues the rest: --resume starts, continues, or says "finished" and succeeds.
# The table goes to stdout, everything else to stderr.

config=${1:-configs/quickstart.yaml}
runs=${2:-runs/sweep}
sizes=${SIZES:-64 128}
rates=${RATES:-2e-3 8e-3}
jobs=${JOBS:-1}
if [ $# -gt 2 ]; then shift 2; else shift $#; fi
failed=0

if [ "$jobs" -eq 1 ]; then
    # One after another. Ctrl-C ends charlstm by SIGINT, and the shell ends with it.
    for size in $sizes; do
        for rate in $rates; do
            charlstm train "$config" "$@" model.hidden_size="$size" training.learning_rate="$rate" \
                --out "$runs/h$size-lr$rate" --resume -q >&2 || { failed=$?; break 2; }
        done
    done
else
    # Several at a time, each on one core. A run that fails does not keep xargs from the others.
    for size in $sizes; do
        for rate in $rates; do
            echo "model.hidden_size=$size training.learning_rate=$rate --out '$runs/h$size-lr$rate'"
        done
    done | xargs -P "$jobs" -L 1 \
        charlstm train "$config" "$@" training.workers=1 training.blas_threads=1 --resume -q >&2 || failed=$?
fi

if [ -d "$runs" ]; then charlstm compare "$runs"/* --sort bits || failed=$?; fi
exit "$failed"
