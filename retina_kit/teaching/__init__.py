"""Lessons: widgets, exercises, and course material."""
