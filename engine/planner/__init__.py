"""What a run will need, computed from sizes before anything is started: memory, time, money, disk. Torch-free."""
