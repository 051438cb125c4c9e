#!/bin/bash
# A training on several machines under Slurm: sbatch examples/slurm-mpi.sh [CONFIG [RUN]]
#
# Two minutes before its time is up it saves, goes back into the queue and later goes on. A job
# that failed does not: submit it again when the reason is gone.

#SBATCH --job-name=charlstm
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=16        # a rank for each core; training.batch_size is shared by all
#SBATCH --cpus-per-task=1           # more: set training.blas_threads to the same number
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@120           # to the ranks, not to this script
#SBATCH --requeue
#SBATCH --open-mode=append

# The text, the environment and the run folder must be visible on every node.
cd "${SLURM_SUBMIT_DIR:-.}" || exit 1
[ ! -e .venv ] || . .venv/bin/activate || exit 1    # else the charlstm that PATH finds; extra: mpi

run=${2:-runs/slurm}
saved() { ls "$run/checkpoints" 2>/dev/null; }
before=$(saved)

# --mpi must be a type that the MPI library and Slurm both know ("srun --mpi=list" shows Slurm's);
# pmi2 is right for most builds of MPICH. On Debian, pmix needs libpmix-dev on every node.
srun --mpi=pmix --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --cpu-bind=cores --kill-on-bad-exit=1 \
  charlstm train "${1:-configs/shakespeare.yaml}" --out "$run" --resume
status=$?

# 143 is the TERM above, but also that of srun when a rank has failed. Only with something new to
# go on from is it worth another start.
[ "$status" -ne 143 ] || [ "$(saved)" = "$before" ] || scontrol requeue "$SLURM_JOB_ID"
exit "$status"
