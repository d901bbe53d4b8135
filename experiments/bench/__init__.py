"""How fast the simulator is: fixed workloads, each measured in a process of its own, against the bars it is held to."""
