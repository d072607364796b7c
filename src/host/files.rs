//! Small private files: written whole or not at all, read within a bound, never through a link.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// A file that couldn't be used.
#[derive(Debug, thiserror::Error)]
pub enum BadFile {
    #[error("could not {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is no regular file", path.display())]
    NotRegular { path: PathBuf },
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge { path: PathBuf, limit: u64 },
    #[error("{} is not text in UTF-8", path.display())]
    NotText { path: PathBuf },
    #[error("{} belongs to uid {owner}; it must belong to whoever runs this, or to root", path.display())]
    Foreign { path: PathBuf, owner: u32 },
}

impl BadFile {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| BadFile::Io { doing, path: path.to_owned(), source }
    }
    /// The file isn't there.
    pub fn is_missing(&self) -> bool {
        matches!(self, BadFile::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
    /// Something is there already.
    pub fn is_there(&self) -> bool {
        matches!(self, BadFile::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists)
    }
}

/// Replaces `path` with `content` in one step: a reader, and a crash, see the old file or the new one. Durable when it returns.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), BadFile> {
    put(path, mode, IfExists::Replace, |mut file| file.write_all(content)).map(drop).map_err(BadFile::io("write", path))
}

/// Makes `path` with `content` in one step, and fails if something is there ([`BadFile::is_there`]). Durable when it returns.
pub(crate) fn create(path: &Path, content: &[u8], mode: u32) -> Result<(), BadFile> {
    put(path, mode, IfExists::Fail, |mut file| file.write_all(content)).map(drop).map_err(BadFile::io("write", path))
}

/// What to do about a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfExists {
    Replace,
    Fail,
}

/// Makes a file beside `path`, lets `fill` write it, and moves it there whole. Durable when it returns; the file is open for reading
/// and writing.
pub(crate) fn put(
    path: &Path,
    mode: u32,
    if_there: IfExists,
    fill: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<File> {
    let beside = beside(path);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&beside)?;
    let done = fill(&file).and_then(|()| {
        file.sync_all()?;
        match if_there {
            IfExists::Replace => fs::rename(&beside, path)?,
            IfExists::Fail => {
                fs::hard_link(&beside, path)?;
                fs::remove_file(&beside)?;
            }
        }
        sync_directory_of(path)
    });
    match done {
        Ok(()) => Ok(file),
        Err(error) => {
            let _ = fs::remove_file(&beside);
            Err(error)
        }
    }
}

/// For an `open` that follows no link.
pub(crate) fn no_follow() -> i32 {
    (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC).bits().cast_signed()
}

/// Makes a new or moved name durable.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// Reads a regular file of at most `limit` bytes; refuses a link.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, BadFile> {
    let file = open(path)?;
    let mut content = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut content).map_err(BadFile::io("read", path))?;
    if content.len() as u64 > limit {
        return Err(BadFile::TooLarge { path: path.to_owned(), limit });
    }
    Ok(content)
}

/// The same as text, without white space at its end.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, BadFile> {
    let content = read(path, limit)?;
    let text = std::str::from_utf8(&content).map_err(|_| BadFile::NotText { path: path.to_owned() })?;
    Ok(text.trim_end().to_owned())
}

/// The secret in `path`: the one that is there, or a new random one of 64 hexadecimal digits, readable by us alone.
pub(crate) fn secret(path: &Path) -> Result<String, BadFile> {
    match read_text(path, 4096) {
        Ok(text) if !text.is_empty() => {
            let owner = fs::symlink_metadata(path).map_err(BadFile::io("examine", path))?.uid();
            if owner != 0 && owner != rustix::process::geteuid().as_raw() {
                return Err(BadFile::Foreign { path: path.to_owned(), owner });
            }
            return Ok(text);
        }
        Ok(_) => {}
        Err(error) if error.is_missing() => {}
        Err(error) => return Err(error),
    }
    let secret = random_hex();
    write(path, secret.as_bytes(), 0o600)?;
    Ok(secret)
}

/// Others than the owner can read it. `None`: it can't be examined.
pub(crate) fn readable_by_others(path: &Path) -> Option<bool> {
    fs::metadata(path).ok().map(|found| found.mode() & 0o044 != 0)
}

/// 32 random bytes in hexadecimal.
pub(crate) fn random_hex() -> String {
    let bytes: [u8; 32] = rand::random();
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a String doesn't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn open(path: &Path) -> Result<File, BadFile> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(BadFile::io("open", path))?;
    if file.metadata().map_err(BadFile::io("examine", path))?.is_file() {
        Ok(file)
    } else {
        Err(BadFile::NotRegular { path: path.to_owned() })
    }
}

/// A name in the same directory that nobody can have guessed.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", &random_hex()[..16]));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for content in ["one", "two"] {
            write(&path, content.as_bytes(), 0o600).unwrap();
            assert_eq!(read_text(&path, 10).unwrap(), content);
        }
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
        assert!(matches!(read(&path, 2), Err(BadFile::TooLarge { .. })));
    }

    #[test]
    fn a_file_that_is_there_is_not_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        create(&path, b"one", 0o600).unwrap();
        assert!(create(&path, b"two", 0o600).unwrap_err().is_there());
        assert_eq!(read_text(&path, 10).unwrap(), "one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_file_that_can_not_be_filled_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write(&path, b"one", 0o600).unwrap();
        let full = put(&path, 0o600, IfExists::Replace, |_| Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(read_text(&path, 10).unwrap(), "one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn links_and_pipes_are_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        write(&real, b"x", 0o600).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(matches!(read(&link, 9), Err(BadFile::Io { .. })));
        assert!(matches!(read(dir.path(), 9), Err(BadFile::NotRegular { .. })));
    }

    #[test]
    fn a_secret_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let made = secret(&path).unwrap();
        assert_eq!(made.len(), 64);
        assert_eq!(secret(&path).unwrap(), made);
        assert_eq!(readable_by_others(&path), Some(false));
    }
}
