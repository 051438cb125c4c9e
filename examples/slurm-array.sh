#!/bin/bash
#SBATCH --job-name=charlstm
#SBATCH --array=0-3
#SBATCH --time=04:00:00
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --output=slurm-%A-%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=TERM@120
# A job array for Slurm: each task trains one point of a grid.
#
#   sbatch examples/slurm-array.sh
#   charlstm compare runs/array/* --sort bits
#
# Two minutes before the time is up, Slurm sends SIGTERM to what srun has started: charlstm saves
# and ends, the task goes back into the queue and later goes on. After a preemption Slurm itself
# starts it again. Submit the same file again to go on after a failure: finished runs end at once.

cd "${SLURM_SUBMIT_DIR:-.}" || exit 1
[ ! -e .venv ] || . .venv/bin/activate || exit 1    # else the charlstm that PATH finds

sizes=(64 128 256 512)
size=${sizes[${SLURM_ARRAY_TASK_ID:?is set by sbatch}]:?there is no such task}
cores=${SLURM_CPUS_PER_TASK:-1}

run=runs/array/h$size
saved() { ls "$run/checkpoints" 2>/dev/null; }
before=$(saved)

srun --mpi=none --cpus-per-task="$cores" charlstm train "${CONFIG:-configs/quickstart.yaml}" "$@" \
    model.hidden_size="$size" training.workers="$cores" training.blas_threads=1 --out "$run" --resume
status=$?

# Ended by that signal, with something new to go on from: into the queue again.
[ "$status" -ne 143 ] || [ "$(saved)" = "$before" ] || scontrol requeue "$SLURM_JOB_ID"
exit "$status"
