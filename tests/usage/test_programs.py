"""Which commands run the same program."""

from __future__ import annotations

import pytest

from datalad_hpc.usage.programs import program_of


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("python fit.py --sub 01", "python fit.py"),
        ("python3.11 -u code/fit.py {sub}", "python3.11 -u code/fit.py"),
        ("python -m pkg.fit 01", "python -m pkg.fit"),
        ("python -c 'print(1)' 3", "python -c 'print(1)' 3"),
        ("./fit 01", "./fit"),
        ("bash 'my job.sh' x", "bash 'my job.sh'"),
        ("srun ./fit 01", "srun ./fit"),
        ("srun -n 4 ./fit 01", "srun -n 4 ./fit 01"),
        ("env", "env"),
        ("apptainer exec a.sif fit 01", "apptainer exec a.sif fit 01"),
        ("sbatch job.sh 01", "job.sh"),
        ("sbatch --mem 4G -c2 job.sh 01", "job.sh"),
        ("sbatch -J x --wrap 'python fit.py 01'", "python fit.py"),
        ("sbatch --wrap ''", ""),
        ("sbatch", "sbatch"),
        ("sbatch --mem", "sbatch --mem"),
        ("echo 'not closed", "echo 'not closed"),
        (" ", " "),
    ],
)
def test_program(command: str, program: str) -> None:
    assert program_of(command) == program
