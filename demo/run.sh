#!/usr/bin/env bash
# The main job, from an empty folder to a record that was run twice: run.sh FOLDER
#
# Makes a dataset at FOLDER, schedules jobs in it, finishes them, and runs one of them again. Each
# command is shown as one would type it. The dataset stays; where the folder is taken, a number is
# added. Jobs go to Slurm where sbatch is on PATH, else to this machine.
set -euo pipefail
demo=$(cd "$(dirname "$0")" && pwd)
PATIENCE=300 # seconds for the jobs to end

main() {
    local folder
    folder=$(free_name "${1:-demo-dataset}")
    give_git_a_name

    chapter "A dataset with scripts and with texts to work on, in $folder"
    show datalad create -c yoda "$folder"
    cd "$folder"
    keep_name_in_dataset
    echo
    echo "# code/ gets the scripts of $demo/code, texts/ two modules of Python's own library."
    cp "$demo"/code/* code/
    copy_texts
    show datalad save -m "Scripts and texts"

    chapter "Schedule: two jobs, an array of four tasks, and one that will fail"
    show datalad schedule -m "Words of argparse" -i texts/argparse.txt -o words/argparse.tsv sbatch code/words.sh argparse
    show datalad schedule -m "Words of typing" -i texts/typing.txt -o words/typing.tsv sbatch code/words.sh typing
    show datalad schedule -m "Magnetisation at four temperatures" -o magnet/ sbatch code/magnet.sh
    show datalad schedule -m "Words of a text that is not there" -o words/missing.tsv sbatch code/words.sh missing

    chapter "What became of them so far"
    show datalad finish --list-open-jobs

    chapter "Finish: one commit per job that has completed; the others are reported"
    show_failing datalad finish
    wait_for_jobs
    show_failing datalad finish

    chapter "What is in the history now, and the record of one job"
    show git log --oneline
    words=$(commit_of "Words of argparse")
    show git log -1 --stat --format=%B "$words"
    show cat magnet/T1.5.json magnet/T3.0.json

    chapter "The failed job: its states, its log, and giving it up"
    show datalad finish --list-open-jobs
    show_failing tail -n 3 "$(failed_log)"
    show datalad finish --close-failed-jobs

    chapter "Reschedule: run the record of that commit again"
    show datalad reschedule "$words"
    wait_for_jobs
    show datalad finish
    show git log --oneline
    echo
    echo "# The same result, byte for byte: this prints nothing."
    show git diff --exit-code --stat "$words" HEAD -- words/argparse.tsv

    chapter "Done"
    echo "The dataset is in $PWD; look at it with 'git log', or go on with datalad."
}

chapter() { printf '\n\n### %s\n' "$*"; }

# Prints a command as one would type it, and runs it.
show() {
    local word
    printf '\n$'
    for word in "$@"; do
        [[ $word =~ ^[A-Za-z0-9_./=:,@%-]+$ ]] || word=${word@Q}
        printf ' %s' "$word"
    done
    printf '\n'
    "$@"
}

# For a command that has something to report that is not well: its exit code is no surprise.
show_failing() { show "$@" || true; }

free_name() {
    local name=$1 number=2
    while [[ -e $name ]]; do
        name=$1-$((number++))
    done
    echo "$name"
}

# A new machine has no name to put into commits; the environment is kept by what we start.
give_git_a_name() {
    named=yes
    git config user.name >/dev/null && git config user.email >/dev/null && return
    named=
    export GIT_AUTHOR_NAME=Demo GIT_AUTHOR_EMAIL=demo@example.com
    export GIT_COMMITTER_NAME=Demo GIT_COMMITTER_EMAIL=demo@example.com
}

keep_name_in_dataset() {
    [[ -n $named ]] && return
    show git config user.name Demo
    show git config user.email demo@example.com
}

copy_texts() {
    mkdir texts
    python3 - <<'EOF'
import argparse, shutil, typing

for module in (argparse, typing):
    shutil.copyfile(module.__file__, f"texts/{module.__name__}.txt")
EOF
}

commit_of() { git log -1 --format=%h --grep "$1"; }

failed_log() { grep -l "missing.txt" slurm-*.out | head -n 1; }

wait_for_jobs() {
    local end=$((SECONDS + PATIENCE))
    echo
    echo "# waiting for the jobs to end ..."
    while some_job_lives; do
        ((SECONDS < end)) || { echo "The jobs did not end within $PATIENCE seconds." >&2; exit 1; }
        sleep 1
    done
}

some_job_lives() {
    local jobs
    jobs=$(datalad finish --list-open-jobs)
    [[ $jobs =~ PENDING|CONFIGURING|RUNNING|COMPLETING ]]
}

main "$@"
