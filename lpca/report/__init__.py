"""What people see of a run: the terminal, notebooks, pictures, records of attempts."""
