"""What the fuzzing of the real server is made of: bodies to start from, mutations, a raw client, judges and probes."""
