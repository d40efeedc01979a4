"""Is a workspace whole: its store, its staged, sealed and cached files, its locks."""
