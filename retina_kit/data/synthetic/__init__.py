"""Synthetic eyes: OCT B-scans, fundus photographs and their vessels, with exact masks."""
