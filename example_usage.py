"""All of supapy on one page, by its two classes.

    python example_usage.py                      back the project up, list the backups, compare the two
    python example_usage.py restore other.env    the same, then restore into the project that other.env names

The project to back up is the one that the environment or `.env` names: see .env.example.
"""

import sys
from pathlib import Path

from supabase_backup import SupabaseBackup
from supabase_restore import SupabaseRestore

from supapy.errors import SupapyError
from supapy.settings import load


def back_up() -> str:
    """Make a backup; what could not be saved would be named in a warning."""
    backups = SupabaseBackup(backup_dir="./backups")
    path = backups.create_backup(include_storage=True, include_auth=True)
    print(f"made {path}")
    for backup in backups.list_backups():
        print(f"there is {backup['timestamp']} of {backup['source']}: {backup['size']:,} bytes in {backup['path']}")
    return path


def compare(path: str) -> None:
    """Check the backup's files, and hold it against the project it was made of."""
    found = SupabaseRestore().verify_restore(path)
    for component in ("database", "storage", "auth"):
        print(f"{component}: {'equal' if found[component] else 'not equal'}")
    for detail in found["details"]:
        print(f"  {detail}")


def restore_elsewhere(path: str, env_file: str) -> None:
    """Bring the backup into another project.

    A project that isn't empty, or is the backup's own, is refused. `confirm=True` says that this one is meant.
    """
    target = load(Path(env_file))
    door = SupabaseRestore(target.need("SUPABASE_URL"), target.need("SUPABASE_KEY"), target.need("SUPABASE_DB_URL"))
    found = door.restore_backup(path, confirm=True)
    print(f"restored into {target.need('SUPABASE_URL')}, {len(found['details'])} differences")


def main(arguments: list[str]) -> int:
    """Do what the arguments say; gives the exit code."""
    if arguments and (arguments[0] != "restore" or len(arguments) != 2):
        print(__doc__)
        return 2
    try:
        path = back_up()
        compare(path)
        if arguments:
            restore_elsewhere(path, arguments[1])
        else:
            print("nothing was restored: that takes the words `restore FILE.env`")
    except SupapyError as error:
        print(f"error: {error}\nhint: {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
