//! One `gameside run`, as a test sees it.

use super::{
    http, proc,
    world::{PATIENCE, World},
};
use serde_json::Value;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

/// How many agents die in a test that is about that. `tests/long` sets 120: 100 by SIGKILL, 20 by `gameside detach --restart`.
pub fn deaths() -> u32 {
    std::env::var("GAMESIDE_DEATHS").map_or(6, |count| count.parse().unwrap())
}

/// Where an agent's files lie, as seen from here.
#[derive(Clone)]
pub struct Places {
    /// Its state directory.
    pub dir: PathBuf,
    /// Its record in the runtime directory.
    pub record: PathBuf,
}

impl Places {
    pub fn below(state_root: &Path, runtime_root: &Path, name: &str) -> Self {
        Places { dir: state_root.join(name), record: runtime_root.join("agents").join(format!("{name}.json")) }
    }

    /// URL and operator's token of the agent that the record names.
    fn way(&self) -> Option<(String, String)> {
        let record: Value = serde_json::from_str(&std::fs::read_to_string(&self.record).ok()?).ok()?;
        let token = std::fs::read_to_string(self.dir.join("operator.token")).ok()?;
        Some((record["api"].as_str()?.trim_end_matches('/').to_owned(), token.trim().to_owned()))
    }
}

/// An agent; it may be started, killed and started again.
pub struct Agent<'w> {
    pub world: &'w World,
    pub name: String,
    args: Vec<OsString>,
    env: Vec<(String, String)>,
    child: Option<Child>,
    places: Places,
    changed: mpsc::Receiver<()>,
    following: Arc<AtomicBool>,
}

impl<'w> Agent<'w> {
    /// An agent that has not been started.
    pub fn new<S: AsRef<std::ffi::OsStr>>(world: &'w World, name: &str, args: impl IntoIterator<Item = S>) -> Self {
        let places = Places::below(&world.state_root(), &world.runtime_root(), name);
        Self::at(world, name, places, args)
    }

    /// An agent whose files lie elsewhere, and that may be started by somebody else.
    pub fn at<S: AsRef<std::ffi::OsStr>>(
        world: &'w World,
        name: &str,
        places: Places,
        args: impl IntoIterator<Item = S>,
    ) -> Self {
        let (sender, changed) = mpsc::channel();
        let following = Arc::new(AtomicBool::new(true));
        let agent = Agent {
            world,
            name: name.to_owned(),
            args: args.into_iter().map(|arg| arg.as_ref().to_owned()).collect(),
            env: Vec::new(),
            child: None,
            places: places.clone(),
            changed,
            following: following.clone(),
        };
        std::thread::spawn(move || {
            while following.load(Ordering::Relaxed) && sender.send(()).is_ok() {
                let _ = follow(&places, &sender);
                std::thread::park_timeout(Duration::from_millis(50));
            }
        });
        agent
    }

    /// One more argument.
    pub fn arg(&mut self, arg: impl Into<OsString>) -> &mut Self {
        self.args.push(arg.into());
        self
    }

    /// For the next [`Agent::start`].
    pub fn env(&mut self, key: &str, value: &str) -> &mut Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Starts it, or starts it again.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} has been started", self.name);
        let log = self.world.log(&format!("{}.log", self.name));
        // What follows `--` is the game's.
        let cut = self.args.iter().position(|arg| arg == "--").unwrap_or(self.args.len());
        let mut command = self.world.gameside(["run", "--name", &self.name]);
        command.args(&self.args[..cut]).args(&self.args[cut..]);
        command.envs(self.env.drain(..)).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    pub fn dir(&self) -> PathBuf {
        self.places.dir.clone()
    }
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("an agent that was started").id()
    }

    /// Asks its API with the operator's token. An error if it dies before it answers.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> std::io::Result<http::Answer> {
        let (api, token) = self.places.way().ok_or(std::io::ErrorKind::NotConnected)?;
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str())];
        let mut stream = http::open(method, &format!("{api}{path}"), &headers, body, "close")?;
        // Where it is ours to start the next agent, we must not wait for that one's answer.
        if self.child.as_ref().is_some_and(|child| !proc::readable_before_gone(stream.get_ref(), child.id())) {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        http::read(&mut stream)
    }

    /// Its status, if it answers.
    pub fn try_status(&self) -> Option<Value> {
        let answer = self.call("GET", "/v1/status", None).ok()?;
        // A record may be a dead agent's, whose port somebody else has by now.
        let ours = || self.child.as_ref().is_none_or(|child| answer.body["agent"]["pid"] == child.id());
        (answer.status == 200 && ours()).then_some(answer.body)
    }

    #[track_caller]
    pub fn status(&self) -> Value {
        self.wait("an answer", |_| true)
    }

    /// Waits until the status is as wanted, and returns it.
    #[track_caller]
    pub fn wait(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        let mut last = None;
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.try_status() {
                if wanted(&status) {
                    return status;
                }
                last = Some(status);
            }
            let _ = self.changed.recv_timeout(Duration::from_millis(200));
            while self.changed.try_recv().is_ok() {}
        }
        let last = last.map(|status| serde_json::to_string_pretty(&status).unwrap());
        panic!("{}: waited in vain for {what}; the last status: {}", self.name, last.as_deref().unwrap_or("none"));
    }

    #[track_caller]
    pub fn wait_join_status(&self, wanted: &str) -> Value {
        self.wait(wanted, |status| status["join_status"] == wanted)
    }
    #[track_caller]
    pub fn wait_phase(&self, wanted: &str) -> Value {
        self.wait(wanted, |status| status["phase"] == wanted)
    }

    /// The timeline so far, oldest first, as `gameside events --json` prints it.
    pub fn timeline(&self) -> Vec<Value> {
        let text = self.world.told(["events", &self.name, "-n", "1000", "--json"]);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
    /// The kinds of the timeline's entries.
    pub fn kinds(&self) -> Vec<String> {
        self.timeline().iter().map(|entry| entry["kind"].as_str().unwrap().to_owned()).collect()
    }

    pub fn signal(&self, signal: i32) {
        proc::signal(self.pid(), signal);
    }

    /// Whether it ended by itself since it was started; how, if so.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().unwrap()?;
        self.child = None;
        Some(status)
    }

    /// Waits until something has happened, or a moment.
    pub fn pause(&self) {
        let _ = self.changed.recv_timeout(Duration::from_millis(50));
        while self.changed.try_recv().is_ok() {}
    }

    /// SIGKILL, and waits for its end.
    pub fn kill(&mut self) {
        self.signal(9);
        self.ended();
    }

    /// Waits for its end.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("an agent that was started");
        assert!(proc::gone(child.id(), PATIENCE), "{}: still running", self.name);
        child.wait().unwrap()
    }

    /// `gameside stop NAME`, and waits for its end.
    #[track_caller]
    pub fn stop(&mut self) -> String {
        let said = self.world.told(["stop", &self.name]);
        self.ended();
        said
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        self.following.store(false, Ordering::Relaxed);
        if std::thread::panicking()
            && let Some(status) = self.try_status()
        {
            eprintln!("--- status of {}\n{}", self.name, serde_json::to_string_pretty(&status).unwrap());
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Follows the timeline until the connection ends, and says so whenever something happened.
fn follow(places: &Places, changed: &mpsc::Sender<()>) -> std::io::Result<()> {
    let (api, token) = places.way().ok_or(std::io::ErrorKind::NotFound)?;
    let authorization = format!("Bearer {token}");
    let mut stream = http::open(
        "GET",
        &format!("{api}/v1/timeline?follow"),
        &[("authorization", &authorization)],
        None,
        "keep-alive",
    )?;
    http::head(&mut stream)?;
    while http::chunk(&mut stream)?.is_some() {
        if changed.send(()).is_err() {
            break;
        }
    }
    Ok(())
}
