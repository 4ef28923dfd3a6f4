"""The scripts that make and change the store's tables, one a schema, run by `service.store.migrating`."""
