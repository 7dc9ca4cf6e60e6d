"""What people see: answers of the API in a terminal or a file. Texts from elsewhere are data here.

text     how they become data; begin here
runs     a run, its trail and its books; tables: lists
story    a run as it happens, of entries and epochs, on a screen
"""
