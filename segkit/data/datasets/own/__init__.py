"""Folders of a person's own pictures and masks, and the file that says what the masks mean."""
