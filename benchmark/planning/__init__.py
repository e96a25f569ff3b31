"""From a request to a plan: tasks identified by their specifications, each after its inputs."""
