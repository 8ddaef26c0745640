"""Where the audit reads: each source gives chunks of rows in the text format of Postgres' COPY."""
