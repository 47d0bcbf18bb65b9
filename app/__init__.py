"""The dashboard: looks at runs on disk, never computes a loss, never imports torch."""
