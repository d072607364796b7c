//! `gameside stop [NAME]`: waits for the end, shows progress, and says how it ended; also when only the keeper is left.

use super::{
    events,
    exit::Exit,
    failure::{Failure, OrExit as _},
    find::{Finder, Found},
    operator::Operator,
    screen::Paint,
    status,
};
use crate::{
    agent::{aftermath, chronicle},
    host::{clock, escape::escape},
    keeper,
    model::units::Span,
};
use anyhow::Context as _;

/// Stop the game now and end the agent; wait for it and say how it ended.
///
/// Players aren't waited for; `gameside drain --wait` does that. When the agent is down but its keeper still holds the game,
/// the keeper is told; what is left to report is reported by the next `gameside run` of that name.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  gameside stop\n  gameside stop eu-1 --reason maintenance")]
pub struct Args {
    /// The agent; may be left out where one runs.
    name: Option<String>,
    /// Shown in status, exit report and audit.
    #[arg(long)]
    reason: Option<String>,
    /// How long to wait for a keeper without an agent.
    #[arg(long, default_value = "2m")]
    timeout: Span,
}

pub fn run(args: &Args, finder: &Finder) -> Result<Exit, Failure> {
    let found = finder.one(args.name.as_deref())?;
    if found.pid.is_none() {
        return stop_keeper(&found, args.timeout);
    }
    let operator = Operator::of(&found)?;
    let body = serde_json::json!({"reason": args.reason});
    let seen = last_seen(&found);
    match super::block_on(operator.order::<serde_json::Value>("/v1/stop", &body)) {
        Ok(_) => wait_from(&found, seen),
        // It died before it heard of it.
        Err(failure) if failure.exit == Exit::NotRunning => stop_keeper(&found, args.timeout),
        Err(failure) => Err(failure),
    }
}

/// Shows what happens from now on, until the agent has ended.
pub fn wait_for_end(found: &Found) -> Result<Exit, Failure> {
    wait_from(found, last_seen(found))
}

fn last_seen(found: &Found) -> u64 {
    chronicle::read_back(&found.place.timeline(), 1).last().map_or(0, |entry| entry.seq)
}

fn wait_from(found: &Found, mut seen: u64) -> Result<Exit, Failure> {
    let paint = Paint::here();
    if let Ok(operator) = Operator::of(found) {
        // The stream ends with the agent.
        let _ = super::block_on(events::stream(&operator, seen, |entry| {
            seen = entry.seq;
            println!("{}", paint.timeline(entry));
        }));
    }
    super::block_on(async {
        found.gone().await;
        Ok(())
    })?;
    let rest = chronicle::read_back(&found.place.timeline(), 256);
    for entry in rest.iter().filter(|entry| entry.seq > seen) {
        println!("{}", paint.timeline(entry));
    }
    let how = rest.last().filter(|entry| entry.kind == "ended");
    println!(
        "{}",
        match how {
            Some(entry) => format!("{} has ended: {}", found.name, escape(&entry.text)),
            None => format!(
                "{} is gone without a last word; `gameside status {}` says what is left",
                found.name, found.name
            ),
        }
    );
    let code = how.and_then(|entry| entry.fields.get("exit_code")).and_then(|code| code.parse::<u8>().ok());
    Ok(Exit::ALL.into_iter().find(|exit| Some(exit.code()) == code).unwrap_or(Exit::Failed))
}

/// Only the keeper is left, or nothing.
fn stop_keeper(found: &Found, wait: Span) -> Result<Exit, Failure> {
    match keeper::peek(&found.place.dir) {
        keeper::Peek::None => {
            let left = aftermath::status(&found.name, &found.place, clock::now());
            println!("{}: neither agent nor keeper runs", found.name);
            if let Some(end) = left.last_end {
                println!("  last end  {}", escape(&status::last_end(&end)));
            }
            return Ok(Exit::Done);
        }
        keeper::Peek::Silent { pid, why } => {
            println!(
                "the keeper{} doesn't answer ({}); waiting for it",
                pid.map_or(String::new(), |pid| format!(" (pid {pid})")),
                escape(&why)
            );
        }
        keeper::Peek::Here(hello) => println!("the agent is down; telling its keeper (pid {}) to stop", hello.pid),
    }
    let report = keeper::stop(&found.place.dir, wait.get())
        .with_context(|| format!("stopping {:?} through its keeper", found.name))
        .or_exit(Exit::Failed)?;
    match report {
        Some(report) => println!("{} has ended: {}", found.name, escape(&status::exit_words(&report.status))),
        None => println!("{} has ended; no game was running", found.name),
    }
    println!("the session service hears of it when `gameside run --name {}` is started next", found.name);
    Ok(Exit::Done)
}
