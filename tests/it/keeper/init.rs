//! As PID 1 of a container, with the agent as a child.

use super::harness::{PATIENCE, PROGRAM, Wire, until};
use crate::support::{component, proc};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

/// A pid namespace whose first process is the keeper.
struct Container {
    unshare: Child,
}

impl Container {
    fn start(dir: &Path, agent: &str) -> Container {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--mount-proc", "--kill-child", PROGRAM, "--dir"]).arg(dir);
        command.args(["--run-agent", "sh", "-c", agent]).stdin(Stdio::null());
        Container { unshare: command.spawn().unwrap() }
    }

    /// The keeper's pid, as we see it.
    fn init(&self) -> u32 {
        until("the keeper stands", || !proc::descendants(self.unshare.id()).is_empty());
        proc::descendants(self.unshare.id())[0]
    }

    fn ended(&mut self) -> Option<i32> {
        assert!(proc::gone(self.unshare.id(), PATIENCE), "the container doesn't end");
        self.unshare.wait().unwrap().code()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

fn possible() -> bool {
    component::root("it makes a pid namespace")
}

/// An agent that says hello, notes it, and obeys a stop by ordering the shutdown.
const AGENT: &str = r#"exec python3 -c '
import json, os, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(os.environ["DIR"] + "/keeper.sock"); f = s.makefile("rw")
def say(o): f.write(json.dumps(o) + "\n"); f.flush()
say({"id": 1, "op": "hello", "versions": [1]})
hello = json.loads(f.readline())
open(os.environ["DIR"] + "/hellos", "a").write("hello\n")
if hello["run"]["state"] == "empty":
    say({"id": 2, "op": "start", "run": 1, "spec": {"argv": ["sh", "-c", "echo $$ > " + os.environ["DIR"] + "/game.pid; exec sleep 600"]}})
if hello["stop_requested"]: say({"id": 3, "op": "kill", "run": 1})
for line in f:
    event = json.loads(line)
    if event.get("event") == "started": open(os.environ["DIR"] + "/up", "a").write("up\n")
    if event.get("event") == "stop-requested": say({"id": 3, "op": "kill", "run": 1})
    if event.get("event") == "exited":
        say({"id": 4, "op": "exit-taken", "run": 1}); say({"id": 5, "op": "shutdown"})
    if event.get("re") == 5: open(os.environ["DIR"] + "/last-words", "w").write("bye"); sys.exit(0)
'"#;

fn agent(dir: &Path) -> String {
    format!("DIR={}; export DIR; {AGENT}", dir.display())
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[test]
fn sigterm_goes_to_the_agent_which_ends_it_orderly() {
    if !possible() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut container = Container::start(dir.path(), &agent(dir.path()));
    until("the game is up", || dir.path().join("up").exists());
    proc::signal(container.init(), 15);
    assert_eq!(container.ended(), Some(0));
    assert!(dir.path().join("last-words").exists(), "the agent could finish");
}

#[test]
fn a_killed_agent_is_started_again_and_the_game_lives_on() {
    if !possible() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut container = Container::start(dir.path(), &agent(dir.path()));
    until("the game is up", || dir.path().join("up").exists());
    let init = container.init();
    let python = proc::descendants(init)
        .into_iter()
        .find(|pid| proc::command_line(*pid).first().is_some_and(|word| word.contains("python")))
        .expect("the agent");
    proc::signal(python, 9);
    until("another agent", || lines(&dir.path().join("hellos")) == 2);
    assert_eq!(lines(&dir.path().join("up")), 1, "the game wasn't started again");
    proc::signal(init, 15);
    assert_eq!(container.ended(), Some(0));
}

#[test]
fn orphans_of_the_agent_are_not_the_games_and_are_reaped() {
    if !possible() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "(setsid sh -c 'echo $$ > {0}/orphan; exec sleep 600' &); {1}",
        dir.path().display(),
        agent(dir.path())
    );
    let mut container = Container::start(dir.path(), &script);
    until("the game is up", || dir.path().join("up").exists() && dir.path().join("orphan").exists());
    let mut observer = Wire::at(&dir.path().join("keeper.sock"));
    observer.try_hello(true, None);
    let sleeps = |pid: &u32| proc::command_line(*pid).first().is_some_and(|word| word == "sleep");
    let init = container.init();
    let both = || proc::descendants(init).into_iter().filter(sleeps).collect::<Vec<_>>();
    until("both have become what they are", || both().len() == 2);
    let ours = |pid: &u32| proc::status(*pid, "PPid") == Some(init.to_string());
    let game = both().into_iter().find(ours).expect("the game is the keeper's own child");
    proc::signal(game, 9);
    assert_eq!(observer.exited(1).stragglers, 0, "the agent's orphan is none of the run");
    assert_eq!(container.ended(), Some(0));
}

#[test]
fn an_agent_that_can_not_even_begin_ends_the_container_with_its_code() {
    if !possible() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut container = Container::start(dir.path(), "exit 78");
    assert_eq!(container.ended(), Some(78));
}
