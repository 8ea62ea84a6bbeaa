"""Training jobs on Amazon SageMaker: what train.py does inside of one, and starting, following and fetching them."""
