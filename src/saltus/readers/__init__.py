"""Logs to tables: one file per source; all touching of foreign files happens here."""
