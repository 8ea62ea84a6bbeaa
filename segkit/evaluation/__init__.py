"""What ``segkit evaluate`` is made of: scoring networks on any data set, corruptions, folds, tables."""
