"""What a database holds, noted beside the script (database.toc.json) and compared with a live one."""
