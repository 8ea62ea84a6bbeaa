"""What lies in a bucket or on a server: copied here to be used as local, and run folders mirrored there."""
