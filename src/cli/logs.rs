//! `gameside logs [NAME] [-f] [-n]`: what the game wrote. The keeper's files are read, so that no
//! agent is needed.

use super::{error::Failure, exit::Exit, find::Finder};
use crate::{host::escape::escape, keeper::protocol::names};
use anyhow::Context as _;
use rustix::fs::inotify;
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal as _, Write as _},
    mem::MaybeUninit,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

/// Print what the game wrote.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gameside logs -n 50\n  gameside logs eu-1 -f")]
pub(crate) struct Args {
    /// The agent; may be left out where one runs.
    name: Option<String>,
    /// Go on as the game writes, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
    /// How many of the last lines to print first.
    #[arg(short = 'n', long, default_value_t = 100)]
    lines: usize,
}

pub(crate) fn run(args: &Args, finder: &Finder) -> Result<Exit, Failure> {
    let found = finder.one(args.name.as_deref())?;
    let path = found.place.dir.join(names::LOGS).join(names::LOG);
    let doing = || format!("reading {}", path.display());
    let watch = args.follow.then(|| DirectoryWatch::on(&path)).transpose().with_context(doing)?;
    let mut screen = Screen::here();
    let mut reader = tail(&path, args.lines, &mut screen).with_context(doing)?;
    let Some(mut watch) = watch else { return Ok(Exit::Done) };
    loop {
        watch.wait().with_context(doing)?;
        if let Some(reader) = &mut reader {
            copy(reader, &mut screen)?;
        }
        if reader.as_ref().is_none_or(|reader| was_rotated(reader.get_ref(), &path)) {
            reader = File::open(&path).ok().map(BufReader::new);
            if let Some(reader) = &mut reader {
                copy(reader, &mut screen)?;
            }
        }
    }
}

/// Prints the last lines, of the older files too if the newest has too few, and returns the newest, read to its end.
fn tail(path: &Path, lines: usize, screen: &mut Screen) -> io::Result<Option<BufReader<File>>> {
    let mut last: VecDeque<Vec<u8>> = VecDeque::new();
    let mut reader = None;
    for number in (0..100).rev() {
        let path = if number == 0 { path.to_owned() } else { path.with_extension(format!("log.{number}")) };
        let Ok(file) = File::open(&path) else { continue };
        let mut file = BufReader::new(file);
        let mut line = Vec::new();
        while file.read_until(b'\n', &mut line)? > 0 {
            last.push_back(std::mem::take(&mut line));
            if last.len() > lines {
                last.pop_front();
            }
        }
        reader = (number == 0).then_some(file);
    }
    for line in last {
        screen.write(&line)?;
    }
    Ok(reader)
}

fn copy(reader: &mut BufReader<File>, screen: &mut Screen) -> io::Result<()> {
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        screen.write(&line)?;
        line.clear();
    }
    Ok(())
}

fn was_rotated(file: &File, path: &Path) -> bool {
    let ours = file.metadata().map(|meta| meta.ino());
    std::fs::metadata(path).is_ok_and(|there| ours.is_ok_and(|ours| ours != there.ino()))
}

/// Standard output; foreign text is escaped where it is a terminal, and left as it is in a pipe.
struct Screen {
    terminal: bool,
}

impl Screen {
    fn here() -> Self {
        Screen { terminal: io::stdout().is_terminal() }
    }
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if !self.terminal {
            out.write_all(line)?;
            return out.flush();
        }
        let text = String::from_utf8_lossy(line);
        match text.strip_suffix('\n') {
            Some(text) => writeln!(out, "{}", escape(text))?,
            None => write!(out, "{}", escape(&text))?,
        }
        out.flush()
    }
}

/// Wakes when something in the log's directory was written, made or moved.
struct DirectoryWatch {
    fd: rustix::fd::OwnedFd,
}

impl DirectoryWatch {
    fn on(path: &Path) -> io::Result<Self> {
        let fd = inotify::init(inotify::CreateFlags::CLOEXEC)?;
        let dir = path.parent().unwrap_or(path);
        let flags = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&fd, dir, flags)?;
        Ok(DirectoryWatch { fd })
    }
    fn wait(&mut self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        inotify::Reader::new(&self.fd, &mut buffer).next()?;
        Ok(())
    }
}
