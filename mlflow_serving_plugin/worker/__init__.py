"""What runs beside or inside a model's process: standard library only, imports nothing else of ours."""
