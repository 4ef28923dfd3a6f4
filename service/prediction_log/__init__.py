"""The prediction log on its way: records, the spool that a worker writes, the shipper that moves it to the store."""
