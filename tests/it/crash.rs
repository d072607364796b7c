//! SIGKILL at every named point of the real agent, then another agent: the match goes on as if
//! nothing had been.
//!
//! One story, told once for each point: allocated, started, joinable, a player comes and goes, the
//! operator stops it. Whoever finds the agent dead starts it again. At the end there was one
//! allocation, one session, one instance, no game was started twice, the instance is closed, and
//! nothing is left running.

use crate::support::{
    agent::Agent,
    component, proc,
    world::{PATIENCE, World},
};
use serde_json::Value;
use std::{
    os::unix::process::ExitStatusExt as _,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

const CONFIG: &str = "[session.startup]\nmap = \"harbour\"\n[guards]\nempty_timeout = \"1h\"\n";

/// Points that the story always passes.
const PASSED: &[&str] = &[
    "journal-synced",
    "after-commit",
    "after-keeper-start",
    "after-keeper-signal",
    "after-keeper-exit-taken",
    "after-keeper-record",
    "after-keeper-standing",
    "after-keeper-shutdown",
    "after-create-session",
    "after-post-instance",
    "after-patch-instance",
    "after-offer",
    "after-withdraw",
    "after-watch",
    "after-reply",
    "after-happened",
    "after-end",
    "before-connected",
    "before-gateway",
    "before-started",
    "before-exited",
    "before-committed",
    "before-said",
    "before-build",
    "before-allocated",
    "before-answered",
    "before-ordered",
];

/// Points that this story never passes: they need outages, reloads, other providers, backfill.
const NEVER: &[&str] = &[
    "after-keeper-kill",
    "after-keeper-stdin",
    "after-find-allocation",
    "after-delete-session",
    "after-backfill-config",
    "after-ack-backfill",
    "after-update-backfill",
    "after-delete-backfill",
    "after-add-player",
    "after-remove-player",
    "after-update-browser",
    "after-audit",
    "after-ask",
    "before-away",
    "before-keeper-gone",
    "before-left-behind",
    "before-start-refused",
    "before-unkillable",
    "before-stop-requested",
    "before-superseded",
    "before-incompatible",
    "before-commit-failed",
    "before-evidence",
    "before-output",
    "before-deallocated",
    "before-registered",
    "before-terminate",
    "before-ports",
    "before-reloaded",
    "after-count",
    "before-gap",
    "before-tick",
    "before-gateway-ended",
];

/// After these everything is done and written down: whoever starts an agent again begins anew.
const DONE: &[&str] = &["after-keeper-shutdown", "after-end"];

/// An agent that is started again whenever it was killed.
struct Survivor<'w> {
    agent: Agent<'w>,
    deaths: u32,
    /// Killed at this point it isn't started again.
    done: bool,
}

impl Survivor<'_> {
    /// True as long as the agent runs or was started again; false once it ended in order.
    fn revive(&mut self) -> bool {
        match self.agent.has_ended() {
            None => true,
            Some(status) if status.signal() == Some(9) => {
                self.deaths += 1;
                if !self.done {
                    self.agent.start();
                }
                !self.done
            }
            Some(status) => {
                assert_eq!(status.code(), Some(0), "how the agent ended");
                false
            }
        }
    }

    #[track_caller]
    fn wait(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        let mut last = None;
        while begun.elapsed() < PATIENCE {
            assert!(self.revive(), "the agent ended while {what} was waited for");
            last = self.agent.try_status().or(last);
            match &last {
                Some(status) if wanted(status) => return status.clone(),
                _ => self.agent.pause(),
            }
        }
        panic!("waited in vain for {what}; the last status: {last:?}");
    }

    /// Orders a stop until it has ended in order.
    fn stop(&mut self) {
        let begun = Instant::now();
        let mut told = None;
        while self.revive() {
            assert!(begun.elapsed() < PATIENCE, "it doesn't end");
            // Once a life, and only if the life before didn't leave it written down: a second order
            // hastens.
            let serves = |status: Value| status["phase"] == "serving";
            if told != Some(self.deaths) && self.agent.try_status().is_some_and(serves) {
                let _ = self.agent.call("POST", "/v1/stop", Some(&serde_json::json!({})));
                told = Some(self.deaths);
            }
            self.agent.pause();
        }
    }
}

/// Tells the story with a death at `point`; how often the agent died.
fn story(point: &str) -> u32 {
    let world = World::new();
    let config = world.file("one.toml", CONFIG);
    let mut agent = Agent::new(&world, "one", ["--config", config.to_str().unwrap()]);
    agent.env("GAMESIDE_CRASH_AT", point);
    agent.start();
    let mut one = Survivor { agent, deaths: 0, done: DONE.contains(&point) };
    let joinable = one.wait("joinable", |status| status["join_status"] == "joinable");
    let address = format!("127.0.0.1:{}", joinable["ports"]["game"]);
    let mut player =
        world.gameside(["practice", "join", &address, "--name", "Ann"]).stdout(world.log("ann.log")).spawn().unwrap();
    one.wait("a player", |status| status["players"] == 1);
    proc::signal(player.id(), 2);
    player.wait().unwrap();
    let before = one.wait("nobody", |status| status["players"] == 0);
    one.stop();

    assert_eq!(before["game"]["restarts"], 0, "{point}");
    let left = world.ask(["status", "one", "--json"]);
    let left: Value = serde_json::from_slice(&left.stdout).unwrap();
    let end = &left["last_end"];
    assert_eq!(
        (&end["session_id"], &end["reported"]),
        (&before["session_id"], &true.into()),
        "{point}: {end} {}",
        left["outbox"]
    );
    let instances: Vec<_> = one
        .agent
        .timeline()
        .iter()
        .filter_map(|entry| entry["fields"]["instance"].as_str().map(str::to_owned))
        .collect();
    assert!(instances.iter().all(|instance| before["instance_id"] == instance.as_str()), "{point}: {instances:?}");
    let pid = |of: &str| before[of]["pid"].as_u64().unwrap() as u32;
    assert!(proc::gone(pid("game"), PATIENCE), "{point}: the game is left");
    // Killed before its last order was sent, it leaves a keeper that holds nothing, and that goes
    // when it was idle for a while.
    assert!(one.done || proc::gone(pid("keeper"), PATIENCE), "{point}: the keeper is left");
    one.deaths
}

#[test]
fn the_agent_may_be_killed_after_every_single_effect() {
    let remedy = "`tests/run` switches the feature on";
    if !component::present(cfg!(feature = "crash-points"), "built without the feature crash-points", remedy) {
        return;
    }
    let all = World::new().told(["__crash-points"]);
    let points: Vec<&str> = all.lines().filter(|point| !NEVER.contains(point)).collect();
    assert!(NEVER.iter().chain(PASSED).all(|point| all.lines().any(|known| known == *point)));
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begun = Instant::now();
                    let deaths = story(point);
                    assert!(deaths <= 1, "{point}: died {deaths} times");
                    assert!(deaths == 1 || !PASSED.contains(point), "{point} was never passed");
                    eprintln!("{point}: {deaths} deaths, {} ms", begun.elapsed().as_millis());
                }
            });
        }
    });
}
