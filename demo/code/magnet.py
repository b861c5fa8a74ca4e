"""Magnetisation of a two-dimensional Ising model, by the Metropolis algorithm.

magnet.py TEMPERATURE SEED RESULT
"""

import json
import math
import random
import sys
from pathlib import Path

SIZE = 40
SWEEPS = 1000

temperature, seed = float(sys.argv[1]), int(sys.argv[2])
result = Path(sys.argv[3])
chance = random.Random(seed)
lattice = [[1] * SIZE for _ in range(SIZE)]
magnetisation = []

for sweep in range(SWEEPS):
    for _ in range(SIZE * SIZE):
        row, column = chance.randrange(SIZE), chance.randrange(SIZE)
        neighbours = (
            lattice[row - 1][column]
            + lattice[(row + 1) % SIZE][column]
            + lattice[row][column - 1]
            + lattice[row][(column + 1) % SIZE]
        )
        cost = 2 * lattice[row][column] * neighbours
        if cost <= 0 or chance.random() < math.exp(-cost / temperature):
            lattice[row][column] *= -1
    if sweep >= SWEEPS // 2:
        magnetisation.append(abs(sum(map(sum, lattice))) / SIZE**2)

mean = round(sum(magnetisation) / len(magnetisation), 4)
result.parent.mkdir(exist_ok=True)
result.write_text(json.dumps({"temperature": temperature, "magnetisation": mean}) + "\n")
print(f"temperature {temperature}: magnetisation {mean}")
