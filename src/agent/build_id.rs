//! Which build of the game a run is of: what a command line starts, by size, time and inode of its
//! files.
//!
//! A program that only starts another one, whose file stands on no command line, looks the same
//! after an update of that. Then what was known of the build before is believed of the new one,
//! too.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// The same for the same files. `dir`: where the game is started.
pub(super) fn of(argv: &[String], dir: Option<&str>) -> String {
    let mut hash = DefaultHasher::new();
    let dir = Path::new(dir.unwrap_or("."));
    for word in argv {
        // An absolute path is taken as it is.
        let Ok(file) = dir.join(word).metadata() else { continue };
        if file.is_file() {
            (word, file.len(), file.mtime(), file.mtime_nsec(), file.ino()).hash(&mut hash);
        }
    }
    format!("{:016x}", hash.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_is_another_build_and_other_arguments_are_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("server.jar"), "one").unwrap();
        let argv = |port: &str| ["/bin/sh", "server.jar", "-port", port].map(str::to_owned).to_vec();
        let here = dir.path().to_str();
        let first = of(&argv("1"), here);
        assert_eq!(of(&argv("2"), here), first);
        std::fs::write(dir.path().join("server.jar"), "another").unwrap();
        assert_ne!(of(&argv("1"), here), first);
    }
}
