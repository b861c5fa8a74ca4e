"""The job store: which jobs there are, what became of their tasks, what they have claimed.

The only room that knows SQLAlchemy. Import it inside a command's ``__call__``:
it takes 100 ms that nobody who asks for help should pay.
"""

from datalad_hpc.collection import importing

with importing():
    from datalad_hpc.store.engine import store_exists
    from datalad_hpc.store.jobs import Store, open_store

__all__ = ["Store", "open_store", "store_exists"]
