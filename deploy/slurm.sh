#!/bin/bash
# One study on SLURM: a Ray cluster over the job's nodes, raylab on it, and the same again after a preemption. See docs/slurm.md.
#   sbatch deploy/slurm.sh studies/wesad_wrist.yaml --windows /shared/windows --out /shared/runs/wesad_wrist
#SBATCH --job-name=raylab
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@120
#SBATCH --open-mode=append
set -euo pipefail

cd "$SLURM_SUBMIT_DIR"
source "${RAYLAB_VENV:-.venv}/bin/activate"
export OMP_NUM_THREADS=1 RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0 RAY_USAGE_STATS_ENABLED=0

# Other users share these nodes: without a token anybody on them could run code as you. It is made anew for every job and is
# handed to the nodes in the environment, never as an argument, where `ps` would show it.
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
head_ip=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 20000)) # two jobs of yours may share a node
gpus=${SLURM_GPUS_ON_NODE:-0}
here=(--num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="$gpus" --dashboard-agent-listen-port=0 --temp-dir="/tmp/ray-$SLURM_JOB_ID" --disable-usage-stats --block)

driver= # ends with whatever ends this script; so do the steps
trap 'kill $driver $(jobs -p) 2>/dev/null || true' EXIT

srun --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --node-ip-address="$head_ip" --port="$port" --dashboard-host=127.0.0.1 --dashboard-port=$((port + 1)) \
    --ray-client-server-port=$((port + 2)) "${here[@]}" &
until ray status --address "$head_ip:$port" >/dev/null 2>&1; do
    kill -0 $! # the head is still starting, or this script ends here
    sleep 2
done
for node in "${nodes[@]:1}"; do
    srun --nodes=1 --ntasks=1 --nodelist="$node" ray start --address="$head_ip:$port" "${here[@]}" &
done
echo "Ray at $head_ip:$port; dashboard on 127.0.0.1:$((port + 1)) of $head"

# A trial starts where there is room, so nobody waits for the slowest node; but the driver must know how large the cluster will be.
export RAYLAB_CAN_START="CPU=$((SLURM_CPUS_PER_TASK * ${#nodes[@]})) GPU=$((gpus * ${#nodes[@]}))"

# Preempted or out of time: SLURM sends TERM 120 s before the end. The job goes back into the queue and the same command resumes.
trap 'scontrol requeue "$SLURM_JOB_ID"; exit 143' TERM
RAY_ADDRESS="$head_ip:$port" python -m jobs.evaluate "$@" &
driver=$!
wait "$driver"
