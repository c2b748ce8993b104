"""What a machine has and lacks; every module here must load where nothing else is installed."""
