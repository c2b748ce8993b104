"""What people see of a run: the terminal, the JSON evidence, Allure, pictures, the record."""
