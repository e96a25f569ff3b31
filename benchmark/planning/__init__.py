"""From a request to a plan: tasks identified by their specifications, in an order in which inputs come first."""
