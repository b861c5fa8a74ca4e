#!/bin/sh
#SBATCH --job-name=magnet
#SBATCH --array=1-4
# Four temperatures around 2.27, above which the magnet loses its order.
set -e
temperature=$(echo 1.5 2.1 2.4 3.0 | cut -d ' ' -f "$SLURM_ARRAY_TASK_ID")
python3 code/magnet.py "$temperature" "$SLURM_ARRAY_TASK_ID" "magnet/T$temperature.json"
