"""What people see: answers of the API in a terminal or a file. Texts from elsewhere are data here."""
