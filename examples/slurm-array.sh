#!/bin/bash
#SBATCH --job-name=charlstm
#SBATCH --array=0-3
#SBATCH --time=04:00:00
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --output=slurm-%A-%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
# A job array for Slurm: each task trains one point of a grid.
#
#   sbatch examples/slurm-array.sh
#   charlstm compare runs/array/* --sort bits
#
# Two minutes before the time is up, Slurm sends SIGTERM; charlstm saves and ends. It gets the
# signal because of exec, which puts it in the place of this shell. Submit the same file again to
# continue: finished runs end at once. After a preemption Slurm itself starts the task again.

sizes=(64 128 256 512)
size=${sizes[${SLURM_ARRAY_TASK_ID:?is set by sbatch}]:?there is no such task}

exec charlstm train "${CONFIG:-configs/quickstart.yaml}" "$@" model.hidden_size="$size" \
    training.workers="${SLURM_CPUS_PER_TASK:-1}" training.blas_threads=1 --out "runs/array/h$size" --resume
