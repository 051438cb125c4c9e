#!/bin/bash
# A training on several machines under Slurm: sbatch examples/slurm-mpi.sh
#
# Submit it again, or let Slurm requeue it, and it goes on where it was.

#SBATCH --job-name=charlstm
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=16        # a rank for each core; training.batch_size is shared by all
#SBATCH --cpus-per-task=1           # more: set training.blas_threads to the same number
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@120           # two minutes before the end: save and stop
#SBATCH --requeue
#SBATCH --open-mode=append

# The text and the run folder must be visible on every node.
cd "${SLURM_SUBMIT_DIR:-.}" || exit 1
. .venv/bin/activate || exit 1      # made with: pip install 'charlstm[mpi]'

# srun starts the ranks and passes signals on to them. --mpi must be a type that the MPI library
# and Slurm both know ("srun --mpi=list" shows Slurm's); pmi2 is right for most builds of MPICH.
srun --mpi=pmix --cpu-bind=cores --kill-on-bad-exit=1 \
  charlstm train "${1:-configs/shakespeare.yaml}" --out "${2:-runs/slurm}" --resume
status=$?

# Ended by the TERM above, and not finished: into the queue again.
[ "$status" -ne 143 ] || scontrol requeue "$SLURM_JOB_ID"
exit "$status"
