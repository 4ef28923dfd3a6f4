"""One script a schema, in order; a script that was released is never changed."""
