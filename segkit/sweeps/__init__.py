"""Many runs of ``segkit train``: which they are, where they run, what became of them."""
