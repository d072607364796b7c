//! Sizes; memory and wake-ups of an agent that waits for an allocation, and of one whose game waits
//! for players.

use crate::{
    row,
    support::{
        agent::Agent,
        proc,
        service::Service,
        world::{GAMESIDE, KEEPER, World},
    },
};
use std::time::{Duration, Instant};

/// How long wake-ups are counted.
const WATCHED: Duration = Duration::from_secs(30);

pub fn measure() {
    let size = |program: &str| format!("{:.2} MB", std::fs::metadata(program).unwrap().len() as f64 / 1e6);
    row("size of gameside", &size(GAMESIDE), "<= 15 MB");
    row("size of gameside-keeper", &size(KEEPER), "<= 1 MB");
    idle();
    serving();
}

/// Registered, with every frontend on, and the game off.
fn idle() {
    let world = World::new();
    let service = Service::start(&world);
    let mut agent = world.agent("idle", &config(&world, &service, "provider = \"sic\""));
    agent.wait("registration", |status| status["agent"]["registered"] == true);
    let watched = watch(&agent);
    watched.memory(
        "idle and registered",
        ["<= 4 MiB with keeper and gateway", "<= 2 MiB", "", "<= 300 KiB", "", "<= 2 MiB"],
    );
    watched.wake_ups("idle", "<= 0.5 /s");
    agent.stop();
}

/// The practice game is joinable, and nobody plays. What it says of itself, and being looked at, wakes the agent, too.
fn serving() {
    let world = World::new();
    let service = Service::start(&world);
    let mut agent = world.agent("serving", &config(&world, &service, "provider = \"auto\""));
    agent.wait_join_status("joinable");
    let watched = watch(&agent);
    watched.memory("with a joinable game", [""; 6]);
    watched.wake_ups("with a joinable game", "<= 2 /s");
    agent.stop();
}

fn config(world: &World, service: &Service<'_>, allocation: &str) -> String {
    let (common, range) = (service.agent_config(), world.game_ports());
    let frontends =
        "[agones]\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n[a2s]\nenabled = true\nhost = \"127.0.0.1\"\n";
    format!("{common}[allocation]\n{allocation}\n{frontends}[game.ports.query]\nrange = \"{range}\"\n")
}

/// An agent, its keeper, their SDK gateway, and how often each was woken in a second.
struct Watched {
    agent: u32,
    keeper: u32,
    gateway: u32,
    rates: [f64; 3],
}

fn watch(agent: &Agent<'_>) -> Watched {
    let status = agent.wait("the gateway", |status| status["gateway"]["connected"] == true);
    let pid = |of: &str| u32::try_from(status[of]["pid"].as_u64().unwrap()).unwrap();
    let (agent, keeper, gateway) = (agent.pid(), pid("keeper"), pid("gateway"));
    let wakes = || [agent, keeper, gateway].map(wake_ups);
    let (before, begun) = (wakes(), Instant::now());
    while begun.elapsed() < WATCHED {
        std::thread::park_timeout(WATCHED.saturating_sub(begun.elapsed()));
    }
    let after = wakes();
    let rate = |which: usize| (after[which] - before[which]) as f64 / WATCHED.as_secs_f64();
    Watched { agent, keeper, gateway, rates: [rate(0), rate(1), rate(2)] }
}

impl Watched {
    fn memory(&self, when: &str, wanted: [&str; 6]) {
        let kibibytes = |pid: u32, name: &str| {
            let text = proc::status(pid, name).unwrap();
            text.trim_end_matches(" kB").parse::<f64>().unwrap()
        };
        let mebibytes = |kibibytes: f64| format!("{:.2} MiB", kibibytes / 1024.0);
        let proportional = |pid: u32| mebibytes(crate::proportional(pid) as f64);
        row(&format!("agent, proportional (PSS), {when}"), &proportional(self.agent), wanted[0]);
        row("agent, private (RssAnon)", &mebibytes(kibibytes(self.agent, "RssAnon")), wanted[1]);
        row(&format!("keeper, proportional (PSS), {when}"), &proportional(self.keeper), wanted[2]);
        row("keeper, private (RssAnon)", &format!("{} KiB", kibibytes(self.keeper, "RssAnon")), wanted[3]);
        row(&format!("gateway, proportional (PSS), {when}"), &proportional(self.gateway), wanted[4]);
        row("gateway, private (RssAnon)", &mebibytes(kibibytes(self.gateway, "RssAnon")), wanted[5]);
    }

    fn wake_ups(&self, when: &str, wanted: &str) {
        let [agent, keeper, gateway] = self.rates;
        let all = format!("{:.2} /s", agent + keeper + gateway);
        let parts = format!("{wanted}   (agent {agent:.2}, keeper {keeper:.2}, gateway {gateway:.2})");
        row(&format!("wake-ups of agent, keeper and gateway, {when}"), &all, &parts);
    }
}

/// How often all threads of a process have been woken so far.
fn wake_ups(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let switches = tasks.flat_map(|task| {
        let text = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let lines = text.lines().filter(|line| line.contains("ctxt_switches"));
        lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).collect::<Vec<_>>()
    });
    switches.sum()
}
