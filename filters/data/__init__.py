"""Data that the filters carry: see README.md beside this file for where each came from and its licence."""
