//! Where our files lie.
//!
//! ```text
//! <state>/                                  <runtime>/
//!   NAME/            0711                     agents/NAME.json   {name, state_dir, pid, api, socket}
//!     agent.lock journal operator.sock        sessions.lock sessions.json sessions.secret sessions.log
//!     keeper.lock keeper.sock
//!     keeper/ logs/  0700
//!     operator.token game.secret  0600
//!     game/          0755, what the game may read: startup.json, api.sock
//!   sessions/        0700, the local session service
//!   session-names/   0700, what `gameside session` calls which session
//! ```
//!
//! | first of these that there is | state | runtime |
//! |---|---|---|
//! | named on purpose | `--state-dir`, `GAMESIDE_STATE_DIR` | `GAMESIDE_RUNTIME_DIR` |
//! | systemd | `$STATE_DIRECTORY` | `$RUNTIME_DIRECTORY` |
//! | root | `/var/lib/gameside` | `/run/gameside` |
//! | anybody else | `$XDG_STATE_HOME/gameside`, `~/.local/state/gameside` | `$XDG_RUNTIME_DIR/gameside`, `/tmp/gameside-<uid>` |
//!
//! Invariants: both directories are found in the same order, so that a root login, `sudo` and a
//! service of root's find the same two; each is ours, as [`directories`](super::directories) checks
//! it before anything in it is read, and nobody else may write in it, except in a state directory
//! that was named on purpose (a pod's shared volume is open to all).

use super::directories::{BadDirectory, Openness, examine, make_dir};
use std::{
    io,
    path::{Path, PathBuf},
};

/// The name under which an agent runs when it has been given none.
pub(crate) const DEFAULT_NAME: &str = "default";
/// Directory of the local session service below the state root; no agent may have this name.
const SESSIONS: &str = "sessions";
/// Directory of the names that `gameside session` keeps, likewise.
const SESSION_NAMES: &str = "session-names";

/// What the name of an agent is made of.
pub(crate) const NAME_RULE: &str = "1 to 64 letters, digits, '.', '_' or '-', not starting with '.' or '-'";

/// A directory that can't be used, or a name that can't be one.
#[derive(Debug, thiserror::Error)]
pub enum BadPlace {
    #[error("{name:?} is no name for an agent: use {rule}", rule = NAME_RULE)]
    Name { name: String },
    #[error("{name:?} is a directory of the session service or its client; choose another name for the agent")]
    ReservedName { name: String },
    #[error("there is no place for state files: neither HOME nor XDG_STATE_HOME is set; use --state-dir")]
    NoHome,
    #[error("{} must be an absolute path; it came from {from}", path.display())]
    Relative { path: PathBuf, from: &'static str },
    #[error("could not find the directory {}: {source}", path.display())]
    Absolute { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Directory(#[from] BadDirectory),
}

/// The two roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    pub state: PathBuf,
    pub runtime: PathBuf,
    /// The state root was named on purpose.
    chosen: bool,
    uid: u32,
}

/// The files of one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPlace {
    pub name: String,
    /// `<state>/NAME`
    pub dir: PathBuf,
    /// `<runtime>/agents/NAME.json`: how others find this agent. Stays when it dies.
    pub record: PathBuf,
}

impl Places {
    /// As this process's environment and user say. Creates nothing; what is there already is examined before anything in it is read.
    pub fn here(state_dir: Option<&Path>) -> Result<Self, BadPlace> {
        let here = Self::find(state_dir, rustix::process::geteuid().as_raw(), |key| std::env::var(key).ok())?;
        here.examine()?;
        Ok(here)
    }

    /// Whether what is there may be believed.
    fn examine(&self) -> Result<(), BadPlace> {
        if !self.chosen {
            examine(&self.state, self.uid)?;
        }
        examine(&self.runtime, self.uid)?;
        Ok(examine(&self.agents(), self.uid)?)
    }

    /// The same for any environment and user.
    pub fn find(state_dir: Option<&Path>, uid: u32, env: impl Fn(&str) -> Option<String>) -> Result<Self, BadPlace> {
        let env = |key: &str| env(key).filter(|value| !value.is_empty());
        let (state, from, chosen) = state_root(state_dir, uid, &env)?;
        let (runtime, runtime_from) = runtime_root(uid, &env);
        absolute(&runtime, runtime_from)?;
        let state = std::path::absolute(&state).map_err(|source| BadPlace::Absolute { path: state.clone(), source })?;
        tracing::debug!(state = %state.display(), from, runtime = %runtime.display(), "places");
        Ok(Places { state, runtime, chosen, uid })
    }

    /// Creates both roots and what lies directly below the runtime root, and checks that they are ours.
    pub fn prepare(&self) -> Result<(), BadPlace> {
        let open_to_all = if self.chosen { Openness::Tolerated } else { Openness::Refused };
        make_dir(&self.state, 0o711, self.uid, open_to_all)?;
        let mode = if self.uid == 0 { 0o755 } else { 0o700 };
        make_dir(&self.runtime, mode, self.uid, Openness::Refused)?;
        Ok(make_dir(&self.agents(), mode, self.uid, Openness::Refused)?)
    }

    /// The files of the agent NAME. Checks the name, creates nothing.
    pub fn agent(&self, name: &str) -> Result<AgentPlace, BadPlace> {
        check_name(name)?;
        Ok(AgentPlace {
            name: name.to_owned(),
            dir: self.state.join(name),
            record: self.agents().join(format!("{name}.json")),
        })
    }

    /// Creates the roots and the agent's directories, and checks that they are ours.
    pub fn prepare_agent(&self, name: &str) -> Result<AgentPlace, BadPlace> {
        let place = self.agent(name)?;
        self.prepare()?;
        for (dir, mode) in
            [(place.dir.clone(), 0o711), (place.keeper_dir(), 0o700), (place.logs(), 0o700), (place.game(), 0o755)]
        {
            make_dir(&dir, mode, self.uid, Openness::Refused)?;
        }
        Ok(place)
    }

    /// `<state>/sessions`, for a session service that isn't told another place.
    pub fn sessions(&self) -> PathBuf {
        self.state.join(SESSIONS)
    }
    /// `<state>/session-names`, for `gameside session`.
    pub fn session_names(&self) -> PathBuf {
        self.state.join(SESSION_NAMES)
    }
    /// `<runtime>/agents`
    pub fn agents(&self) -> PathBuf {
        self.runtime.join("agents")
    }
    /// Held by the elected local session service for its life.
    pub fn sessions_lock(&self) -> PathBuf {
        self.runtime.join("sessions.lock")
    }
    /// `{url, pid, state_dir}` of the local session service.
    pub fn sessions_record(&self) -> PathBuf {
        self.runtime.join("sessions.json")
    }
    /// The local session service's socket.
    pub fn sessions_socket(&self) -> PathBuf {
        self.runtime.join("sessions.sock")
    }
    /// What the local session service warned of.
    pub fn sessions_log(&self) -> PathBuf {
        self.runtime.join("sessions.log")
    }
    /// The local session service's secret, 0600.
    pub fn sessions_secret(&self) -> PathBuf {
        self.runtime.join("sessions.secret")
    }
}

impl AgentPlace {
    /// Which keeper and game were seen last, beside the record.
    pub fn keeper_note(&self) -> PathBuf {
        self.record.with_extension("keeper")
    }
    /// Held by the agent for its life.
    pub fn lock(&self) -> PathBuf {
        self.dir.join("agent.lock")
    }
    pub fn journal(&self) -> PathBuf {
        self.dir.join("journal")
    }
    /// What happened, for people; rotated.
    pub fn timeline(&self) -> PathBuf {
        self.dir.join("timeline.ndjson")
    }
    /// The ports of the last life, asked for again by the next.
    pub fn ports(&self) -> PathBuf {
        self.dir.join("ports.json")
    }
    /// Held by the keeper for its life.
    pub fn keeper_lock(&self) -> PathBuf {
        self.dir.join("keeper.lock")
    }
    pub fn keeper_socket(&self) -> PathBuf {
        self.dir.join("keeper.sock")
    }
    /// The keeper's own: epoch, exit report, record.
    pub fn keeper_dir(&self) -> PathBuf {
        self.dir.join("keeper")
    }
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }
    pub fn operator_token(&self) -> PathBuf {
        self.dir.join("operator.token")
    }
    pub fn game_secret(&self) -> PathBuf {
        self.dir.join("game.secret")
    }
    /// What the game may read, and not write.
    pub fn game(&self) -> PathBuf {
        self.dir.join("game")
    }
    pub fn startup_file(&self) -> PathBuf {
        self.game().join("startup.json")
    }
    /// Where the agent answers operators; 0600, bound by the agent itself.
    pub fn operator_socket(&self) -> PathBuf {
        self.dir.join("operator.sock")
    }
    /// The native API's unix socket.
    pub fn api_socket(&self) -> PathBuf {
        self.game().join("api.sock")
    }
}

/// Whether a name can be an agent's: it becomes a directory, a file and a part of metrics.
pub(crate) fn check_name(name: &str) -> Result<(), BadPlace> {
    if name == SESSIONS || name == SESSION_NAMES {
        return Err(BadPlace::ReservedName { name: name.to_owned() });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=64).contains(&name.len()) && name.chars().all(allowed) && !name.starts_with(['.', '-']) {
        return Ok(());
    }
    Err(BadPlace::Name { name: name.to_owned() })
}

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The state root, where it came from, and whether it was named on purpose.
fn state_root(state_dir: Option<&Path>, uid: u32, env: Env<'_>) -> Result<(PathBuf, &'static str, bool), BadPlace> {
    if let Some(dir) = state_dir {
        return Ok((dir.to_owned(), "--state-dir", true));
    }
    if let Some(dir) = env("GAMESIDE_STATE_DIR") {
        return Ok((dir.into(), "GAMESIDE_STATE_DIR", true));
    }
    if let Some(dir) = env("STATE_DIRECTORY").as_deref().and_then(first) {
        return Ok((dir, "STATE_DIRECTORY", false));
    }
    if uid == 0 {
        return Ok(("/var/lib/gameside".into(), "the user", false));
    }
    if let Some(dir) = env("XDG_STATE_HOME") {
        absolute(Path::new(&dir), "XDG_STATE_HOME")?;
        return Ok((Path::new(&dir).join("gameside"), "XDG_STATE_HOME", false));
    }
    let home = env("HOME").ok_or(BadPlace::NoHome)?;
    absolute(Path::new(&home), "HOME")?;
    Ok((Path::new(&home).join(".local/state/gameside"), "HOME", false))
}

fn runtime_root(uid: u32, env: Env<'_>) -> (PathBuf, &'static str) {
    if let Some(dir) = env("GAMESIDE_RUNTIME_DIR") {
        return (dir.into(), "GAMESIDE_RUNTIME_DIR");
    }
    if let Some(dir) = env("RUNTIME_DIRECTORY").as_deref().and_then(first) {
        return (dir, "RUNTIME_DIRECTORY");
    }
    if uid == 0 {
        return ("/run/gameside".into(), "the user");
    }
    if let Some(dir) = env("XDG_RUNTIME_DIR") {
        return (Path::new(&dir).join("gameside"), "XDG_RUNTIME_DIR");
    }
    (format!("/tmp/gameside-{uid}").into(), "the user")
}

/// systemd separates several directories with colons; ours is the first.
fn first(list: &str) -> Option<PathBuf> {
    list.split(':').find(|dir| !dir.is_empty()).map(PathBuf::from)
}

fn absolute(path: &Path, from: &'static str) -> Result<(), BadPlace> {
    if path.is_absolute() { Ok(()) } else { Err(BadPlace::Relative { path: path.to_owned(), from }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::MetadataExt as _};

    fn places(uid: u32, env: &[(&str, &str)]) -> Result<Places, BadPlace> {
        Places::find(None, uid, |key| env.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_table_of_roots() {
        type Row<'a> = (u32, &'a [(&'a str, &'a str)], &'a str, &'a str);
        let rows: [Row<'_>; 8] = [
            (0, &[("HOME", "/root")], "/var/lib/gameside", "/run/gameside"),
            (7, &[("HOME", "/home/a")], "/home/a/.local/state/gameside", "/tmp/gameside-7"),
            (
                7,
                &[("HOME", "/home/a"), ("XDG_STATE_HOME", "/s"), ("XDG_RUNTIME_DIR", "/run/user/7")],
                "/s/gameside",
                "/run/user/7/gameside",
            ),
            (
                7,
                &[("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"), ("RUNTIME_DIRECTORY", "/run/a")],
                "/var/lib/a",
                "/run/a",
            ),
            (
                0,
                &[("GAMESIDE_STATE_DIR", "/x"), ("STATE_DIRECTORY", "/y"), ("XDG_RUNTIME_DIR", "")],
                "/x",
                "/run/gameside",
            ),
            (0, &[("GAMESIDE_RUNTIME_DIR", "/r"), ("XDG_RUNTIME_DIR", "/q")], "/var/lib/gameside", "/r"),
            // A root login and a service of root's find the same.
            (
                0,
                &[("HOME", "/root"), ("XDG_STATE_HOME", "/root/.s"), ("XDG_RUNTIME_DIR", "/run/user/0")],
                "/var/lib/gameside",
                "/run/gameside",
            ),
            (
                0,
                &[("STATE_DIRECTORY", "/var/lib/a"), ("RUNTIME_DIRECTORY", "/run/a"), ("XDG_RUNTIME_DIR", "/q")],
                "/var/lib/a",
                "/run/a",
            ),
        ];
        for (uid, env, state, runtime) in rows {
            let places = places(uid, env).unwrap();
            assert_eq!((places.state.to_str(), places.runtime.to_str()), (Some(state), Some(runtime)), "{env:?}");
        }
        assert!(matches!(places(7, &[]), Err(BadPlace::NoHome)));
        assert!(matches!(places(7, &[("HOME", "rel")]), Err(BadPlace::Relative { .. })));
    }

    #[test]
    fn names_that_could_leave_their_directory_are_refused() {
        for name in ["", ".", "..", "a/b", "-x", "ä", "sessions", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        for name in ["default", "eu-1.match_7", "7"] {
            check_name(name).unwrap();
        }
    }

    #[test]
    fn directories_are_made_private_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            state: dir.path().join("a/state"),
            runtime: dir.path().join("run"),
            chosen: false,
            uid: rustix::process::geteuid().as_raw(),
        };
        for _ in 0..2 {
            let place = places.prepare_agent("one").unwrap();
            let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
            assert_eq!(mode(&place.keeper_dir()), 0o700);
            assert_eq!(mode(&place.game()), 0o755);
            assert_eq!(mode(&place.dir), 0o711);
        }
    }
}
