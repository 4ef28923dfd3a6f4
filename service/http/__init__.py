"""HTTP without models: dispatch by a table, bodies within limits, who may ask, errors as problem documents."""
