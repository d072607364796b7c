//! A world for one test: its own state root, runtime directory and environment, with the real
//! programs in it.
//!
//! Everything that a test starts, and everything that those programs start, carries the world's
//! directory in its environment, its arguments or as working directory, or descends from a process
//! that does. That is how the world finds and ends all of it, by pid.

use super::{agent::Agent, proc};
use std::{
    fs::{File, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};
use tempfile::TempDir;

/// How long a test waits for something that should come at once. Only a failing test ever waits so long.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub const GAMESIDE: &str = env!("CARGO_BIN_EXE_gameside");
pub const KEEPER: &str = env!("CARGO_BIN_EXE_gameside-keeper");

/// The variable that marks what belongs to a world.
const MARK: &str = "GAMESIDE_TEST_WORLD";

pub struct World {
    dir: TempDir,
    ports: PortBlock,
}

/// Ports for the games and services of this world: worlds know nothing of each other's reservations. They lie below those that the
/// kernel gives to whoever asks for any.
struct PortBlock {
    first: u16,
    /// So many were given to session services.
    services: AtomicU16,
    /// Held for as long as the block is ours, whoever else runs such tests on this machine.
    _mark: TcpListener,
}

const BLOCK: u16 = 20;
/// Of a block, the last ones.
const SERVICES: u16 = 4;

impl PortBlock {
    fn take() -> Self {
        let blocks = (0..450).map(|block| 23_000 + block * BLOCK);
        let mut free = blocks.filter_map(|first| Some((first, TcpListener::bind(("127.0.0.1", first)).ok()?)));
        let (first, mark) = free.next().expect("a free block of ports");
        PortBlock { first, services: AtomicU16::new(0), _mark: mark }
    }
    fn range(&self) -> String {
        format!("{}-{}", self.first + 1, self.first + BLOCK - SERVICES - 1)
    }
    fn service(&self) -> u16 {
        let given = self.services.fetch_add(1, Ordering::Relaxed);
        assert!(given < SERVICES, "a world has ports for {SERVICES} session services");
        self.first + BLOCK - 1 - given
    }
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("gs-").tempdir().unwrap();
        for below in ["state", "run", "home", "logs"] {
            std::fs::create_dir(dir.path().join(below)).unwrap();
        }
        // As $XDG_RUNTIME_DIR is; and other users may reach what a game needs.
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(dir.path().join("run"), Permissions::from_mode(0o700)).unwrap();
        World { dir, ports: PortBlock::take() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }
    pub fn state_root(&self) -> PathBuf {
        self.path().join("state")
    }
    pub fn runtime_root(&self) -> PathBuf {
        self.path().join("run/gameside")
    }

    /// Ports for games that are configured in a way of their own: the network is everybody's.
    pub fn game_ports(&self) -> String {
        self.ports.range()
    }

    /// A TCP port that a session service may have, lose and have again: nobody else is given it.
    pub fn service_port(&self) -> u16 {
        self.ports.service()
    }

    /// `gameside …` in this world, with an environment of its own and nothing of ours.
    pub fn gameside<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        self.command(GAMESIDE, args)
    }

    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, program: &str, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(program);
        command.args(args).env_clear().current_dir(self.path()).stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.path().join("home"));
        command.env("GAMESIDE_RUNTIME_DIR", self.runtime_root());
        command.env("GAMESIDE_STATE_DIR", self.state_root());
        command.env("GAMESIDE_GAME__PORTS__GAME__RANGE", self.ports.range());
        command.env("RUST_BACKTRACE", "1");
        command.env(MARK, self.path());
        command
    }

    /// Runs `gameside …` to its end.
    pub fn ask<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        self.gameside(args).output().unwrap()
    }

    /// The same, which must succeed; its stdout.
    pub fn told<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let output = self.ask(args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr));
        text
    }

    /// Writes a file below the world's directory.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A file for the output of something that runs in this world.
    pub fn log(&self, name: &str) -> File {
        File::options().create(true).append(true).open(self.path().join("logs").join(name)).unwrap()
    }

    /// An agent with the given configuration.
    pub fn agent(&self, name: &str, config: &str) -> Agent<'_> {
        let file = self.file(&format!("{name}.toml"), config);
        self.agent_with(name, ["--config", file.to_str().unwrap()])
    }

    /// `gameside run --name NAME …`
    pub fn agent_with<S: AsRef<std::ffi::OsStr>>(&self, name: &str, args: impl IntoIterator<Item = S>) -> Agent<'_> {
        let mut agent = Agent::new(self, name, args);
        agent.start();
        agent
    }

    /// Every process that belongs to this world.
    pub fn processes(&self) -> Vec<u32> {
        proc::belonging_to(self.path())
    }

    /// What a person would look at first when something went wrong.
    pub fn dump(&self) -> String {
        let mut text = String::new();
        let mut show = |path: &Path| {
            let content = std::fs::read(path).unwrap_or_default();
            let tail = String::from_utf8_lossy(&content[content.len().saturating_sub(6000)..]).into_owned();
            if !tail.is_empty() {
                text += &format!("--- {}\n{tail}\n", path.display());
            }
        };
        for dir in [self.path().join("logs"), self.runtime_root().join("agents")] {
            files(&dir).iter().for_each(|file| show(file));
        }
        // A pod's volume has state and runtime directory of its own.
        let volume = self.path().join("volume");
        files(&volume.join("run/agents")).iter().for_each(|file| show(file));
        for agent in files(&self.state_root()).into_iter().chain(files(&volume.join("state"))) {
            for below in ["keeper", "logs"] {
                files(&agent.join(below)).iter().for_each(|file| show(file));
            }
            show(&agent.join("keeper.log"));
            show(&agent.join("log"));
            ["timeline.ndjson", "agent.lock", "keeper.lock"].iter().for_each(|file| show(&agent.join(file)));
        }
        let processes = self.processes();
        let sockets = Command::new("ss").args(["-Hanp"]).output().map_or_else(|_| Vec::new(), |output| output.stdout);
        for socket in String::from_utf8_lossy(&sockets).lines() {
            if processes.iter().any(|pid| socket.contains(&format!("pid={pid},"))) {
                text += &format!("socket: {}\n", socket.split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
        for pid in processes {
            text += &format!("alive: {}\n", proc::describe(pid));
        }
        text
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    found.sort();
    found
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.dump());
        }
        // Until nothing is left: what is killed may have started something in between.
        for _ in 0..100 {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            left.iter().for_each(|pid| proc::signal(*pid, 9));
            left.iter().all(|pid| proc::gone(*pid, Duration::from_secs(1)));
        }
    }
}
