"""The processes, devices and cores that a run has."""
