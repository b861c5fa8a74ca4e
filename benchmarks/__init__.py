"""Measurements of datalad-hpc beside datalad-slurm and the floor: ``make bench``.

The floor of ``finish`` is one bare ``git annex add`` of the same files, that of
``schedule`` one bare ``sbatch``. The way in:

- ``__main__``: the options, and one scenario after the other;
- ``scenarios/``: what is measured, a function per row or rows of the table;
- ``bench``, ``toolbox``: what a scenario works with: programs, folders, repetitions;
- ``datasets``, ``jobs``, ``subject``: datasets, real Slurm jobs, and the way back to the start;
- ``calls``, ``counting_fs``: counters of scheduler calls and of metadata operations;
- ``findings``, ``report``, ``plot``: what came out;
- ``scripts/``: run by the Python of either side, and so import nothing from here.
"""
