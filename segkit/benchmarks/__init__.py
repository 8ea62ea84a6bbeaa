"""What ``segkit bench`` measures: a module for each ``what``, whose ``run(settings, folder)`` gives its tables.

``settings`` are those of ``conf/bench.yaml``, ``folder`` is the run folder. What a benchmark needs only for a while is
kept in ``folder/scratch``, which the command removes.
"""
