"""What ``segkit evaluate`` is made of: scoring networks and saved maps, corruptions, tables and figures."""

VIEWS = ("perspective", "bev")
"""The two views by their names in settings and results: in the picture, and from above."""
