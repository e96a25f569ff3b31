"""How passes are computed: precision, chunking, compilation, memory, and the environment that is recorded."""
