//! Sizes, memory and wake-ups of an agent that waits for an allocation.

use crate::{
    row,
    support::{
        proc,
        service::Service,
        world::{GAMESIDE, KEEPER, World},
    },
};
use std::time::{Duration, Instant};

/// How long wake-ups are counted.
const WATCHED: Duration = Duration::from_secs(20);

pub fn measure() {
    let size = |program: &str| format!("{:.1} MB", std::fs::metadata(program).unwrap().len() as f64 / 1e6);
    row("size of gameside", &size(GAMESIDE), "<= 12 MB");
    row("size of gameside-keeper", &size(KEEPER), "<= 1.5 MB");

    let world = World::new();
    let service = Service::start(&world);
    let agent = world.agent("idle", &format!("{}[allocation]\nprovider = \"sic\"\n", service.agent_config()));
    let status = agent.wait("registration", |status| status["agent"]["registered"] == true);
    let agent = agent.pid();
    let keeper = u32::try_from(status["keeper"]["pid"].as_u64().unwrap()).unwrap();

    let wakes = || [agent, keeper].map(wake_ups);
    let (before, begun) = (wakes(), Instant::now());
    while begun.elapsed() < WATCHED {
        std::thread::park_timeout(WATCHED.saturating_sub(begun.elapsed()));
    }
    let after = wakes();
    let memory = |pid: u32, name: &str| {
        let text = proc::status(pid, name).unwrap();
        text.trim_end_matches(" kB").parse::<f64>().unwrap()
    };
    let mebibytes = |pid, name| format!("{:.2} MiB", memory(pid, name) / 1024.0);
    row("agent, resident, idle and registered", &mebibytes(agent, "VmRSS"), "<= 8 MiB");
    row("agent, private (RssAnon)", &mebibytes(agent, "RssAnon"), "<= 3 MiB");
    row("keeper, resident", &mebibytes(keeper, "VmRSS"), "<= 1.5 MiB");
    row("keeper, private (RssAnon)", &format!("{} KiB", memory(keeper, "RssAnon")), "<= 300 KiB");
    let rate = |which: usize| (after[which] - before[which]) as f64 / WATCHED.as_secs_f64();
    let both = format!("{:.2} /s", rate(0) + rate(1));
    row(
        "wake-ups of agent and keeper, idle",
        &both,
        &format!("<= 3 /s   (agent {:.2}, keeper {:.2})", rate(0), rate(1)),
    );
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
