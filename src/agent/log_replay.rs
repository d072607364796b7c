//! What a run has printed so far, read from the keeper's files: for a line that proved it ready
//! while no agent listened.
//!
//! The keeper tells in which file, by inode, and where in it the run's output begins; files are
//! rotated by renaming, so the rest of it lies in the files that are newer. Where that file is
//! gone, all that is left is newer than the run's start.

use crate::{keeper::protocol::names::LOG, model::process::OutputFrom, probes::log::ReadyPatterns};
use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// What is read at most, from the run's start: a game that prints more before it is ready proves it to a living agent only.
const MOST: u64 = 16 << 20;
/// As many files as a keeper may keep.
const FILES: u32 = 100;

/// Whether a line of the run's output, since its start, is the proof.
pub(crate) fn proves(logs: &Path, from: OutputFrom, proof: &ReadyPatterns) -> io::Result<bool> {
    let mut left = MOST;
    for mut file in files(logs, from)? {
        if file.metadata()?.ino() == from.inode {
            file.seek(SeekFrom::Start(from.offset))?;
        }
        let mut lines = BufReader::new((&mut file).take(left));
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            left = left.saturating_sub(line.len() as u64);
            if proof.matches(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])) {
                return Ok(true);
            }
            line.clear();
        }
    }
    Ok(false)
}

/// From the one in which the run began to the newest.
fn files(logs: &Path, from: OutputFrom) -> io::Result<Vec<File>> {
    let mut found = Vec::new();
    for number in 0..FILES {
        let name = if number == 0 { LOG.to_owned() } else { format!("{LOG}.{number}") };
        let file = match File::open(logs.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let first = file.metadata()?.ino() == from.inode;
        found.push(file);
        if first {
            break;
        }
    }
    found.reverse();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{policy::Readiness, probe::LogPatterns},
        probes::Log,
    };
    use std::fs;

    #[test]
    fn only_the_runs_own_output_counts_through_every_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let patterns = LogPatterns { ready: Some("^ready$".into()), ..LogPatterns::default() };
        let proof = Log::compile(&patterns, &Readiness::default()).unwrap().ready_patterns();
        let path = |name: &str| dir.path().join(name);
        fs::write(path(LOG), "ready\n").unwrap();
        let before = fs::metadata(path(LOG)).unwrap();
        let from = OutputFrom { inode: before.ino(), offset: before.len() };
        let proved = || proves(dir.path(), from, &proof).unwrap();
        assert!(!proved(), "that was the run before");

        fs::write(path(LOG), "ready\nloading\n").unwrap();
        fs::rename(path(LOG), path("game.log.1")).unwrap();
        fs::write(path(LOG), "not ready\n").unwrap();
        assert!(!proved());
        fs::write(path(LOG), "not ready\nready\n").unwrap();
        assert!(proved(), "in a newer file");
        fs::write(path(LOG), "").unwrap();
        fs::write(path("game.log.1"), "ready\nready\r\n").unwrap();
        assert!(proved(), "in the file where it began");

        fs::remove_file(path("game.log.1")).unwrap();
        fs::write(path(LOG), "ready\n").unwrap();
        assert!(proved(), "the first file is gone");
    }
}
