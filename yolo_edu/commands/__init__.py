"""The commands of `yolo-edu`, one file each: what it is for (`HELP`), its flags (`configure`), what it does (`run`).

Flags keep the names of the article's era where it had them; a command only collects arguments for functions.
"""
