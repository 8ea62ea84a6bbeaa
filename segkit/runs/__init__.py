"""Run folders: who writes them, who reads them, which are the same."""
