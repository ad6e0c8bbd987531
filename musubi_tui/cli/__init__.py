"""The command line. `commands` names what there is; each command's module is imported when it is called."""
