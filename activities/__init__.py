"""Side effects, one verb each, safe to run twice."""
