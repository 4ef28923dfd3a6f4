"""The store: the prediction log, the ledger and the audit as tables, on SQLite or PostgreSQL.

`open_store` is the way in; what stands in the tables is read and written by those whose tables they are (the shipper,
the judge). Nothing of SQLAlchemy's errors leaves here.
"""

from service.store.connection import Store, open_store, store_of
from service.store.tables import SCHEMA_VERSION

__all__ = ["SCHEMA_VERSION", "Store", "open_store", "store_of"]
