"""Recognition, synthesis and voices: what stands between the RPCs and the worker processes."""
