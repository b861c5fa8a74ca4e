#!/bin/sh
#SBATCH --job-name=words
set -e
python3 code/words.py "texts/$1.txt" "words/$1.tsv"
sleep 2 # so that there is something to see of a running job
