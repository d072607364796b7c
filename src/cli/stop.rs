//! `gameside stop [NAME]`: waits for the end, shows progress, and says how it ended; also when only
//! the keeper is left.

use super::{
    error::{Failure, OrExit as _},
    events,
    exit::Exit,
    find::{Finder, Found},
    operator::Operator,
    status,
    terminal::Paint,
};
use crate::{
    agent::{offline_status, timeline_writer},
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
pub(crate) struct Args {
    /// The agent; may be left out where one runs.
    name: Option<String>,
    /// Shown in status, exit report and audit.
    #[arg(long)]
    reason: Option<String>,
    /// Hasten a stop that is under way: its next step at once, SIGKILL in the end. To ask again without this changes nothing.
    #[arg(long)]
    now: bool,
    /// How long to wait for a keeper without an agent.
    #[arg(long, value_name = "SPAN", default_value = "2m")]
    timeout: Span,
    /// Print one JSON object at the end: `name`, `how`, and `exit_code`, the agent's own.
    #[arg(long)]
    json: bool,
}

/// What is printed while it ends, and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputFormat {
    Text,
    Json,
}

impl OutputFormat {
    pub(crate) fn of(json: bool) -> Self {
        if json { OutputFormat::Json } else { OutputFormat::Text }
    }

    fn progress(self, line: impl FnOnce() -> String) {
        if self == OutputFormat::Text {
            say!("{}", line());
        }
    }

    /// The last word: `line` for people; `how` and the agent's exit code, as far as they are known, for programs.
    fn end(self, name: &str, line: &str, how: Option<&str>, exit: Option<u8>) {
        match self {
            OutputFormat::Text => say!("{line}"),
            OutputFormat::Json => say!("{}", serde_json::json!({ "name": name, "how": how, "exit_code": exit })),
        }
    }
}

pub(crate) fn run(args: &Args, finder: &Finder) -> Result<Exit, Failure> {
    let found = finder.one(args.name.as_deref())?;
    let form = OutputFormat::of(args.json);
    if found.pid.is_none() {
        return stop_keeper(&found, args, form);
    }
    let operator = Operator::of(&found);
    let body = if args.now {
        serde_json::json!({"reason": args.reason, "now": true})
    } else {
        serde_json::json!({"reason": args.reason})
    };
    let seen = last_seen(&found);
    match super::block_on(operator.order::<serde_json::Value>("/v1/stop", &body)) {
        Ok(_) => wait_from(&found, seen, form),
        // It died before it heard of it.
        Err(failure) if failure.exit == Exit::NotRunning => stop_keeper(&found, args, form),
        Err(failure) => Err(failure),
    }
}

/// Shows what happens from now on, until the agent has ended.
pub(crate) fn wait_for_end(found: &Found, form: OutputFormat) -> Result<Exit, Failure> {
    wait_from(found, last_seen(found), form)
}

fn last_seen(found: &Found) -> u64 {
    timeline_writer::read_back(&found.place.timeline(), 1).last().map_or(0, |entry| entry.seq)
}

fn wait_from(found: &Found, mut seen: u64, form: OutputFormat) -> Result<Exit, Failure> {
    let paint = Paint::here();
    // The stream ends with the agent.
    let _ = super::block_on(events::stream(&Operator::of(found), seen, |entry| {
        seen = entry.seq;
        form.progress(|| paint.timeline(entry));
    }));
    super::block_on(async {
        found.gone().await;
        Ok(())
    })?;
    let rest = timeline_writer::read_back(&found.place.timeline(), 256);
    for entry in rest.iter().filter(|entry| entry.seq > seen) {
        form.progress(|| paint.timeline(entry));
    }
    let name = &found.name;
    let how = rest.last().filter(|entry| entry.kind == "ended");
    let line = match how {
        Some(entry) => format!("{name} has ended: {}", escape(&entry.text)),
        None => format!("{name} has ended and wrote no entry about it; `gameside status {name}` says what is left"),
    };
    let code = how.and_then(|entry| entry.fields.get("exit_code")).and_then(|code| code.parse::<u8>().ok());
    form.end(name, &line, how.map(|entry| entry.text.as_str()), code);
    Ok(Exit::ALL.into_iter().find(|exit| Some(exit.code()) == code).unwrap_or(Exit::Failed))
}

/// Only the keeper is left, or nothing.
fn stop_keeper(found: &Found, args: &Args, form: OutputFormat) -> Result<Exit, Failure> {
    let name = &found.name;
    match keeper::probe(&found.place.dir) {
        keeper::Presence::None => {
            let left = offline_status::status(name, &found.place, clock::now());
            let end = left.last_end.as_ref().map(status::last_end);
            let last = end.as_ref().map_or_else(String::new, |end| format!("\n  last end  {}", escape(end)));
            form.end(name, &format!("{name}: neither agent nor keeper runs{last}"), end.as_deref(), None);
            return Ok(Exit::Done);
        }
        keeper::Presence::Silent { pid, why } => {
            let pid = pid.map_or(String::new(), |pid| format!(" (pid {pid})"));
            form.progress(|| format!("the keeper{pid} doesn't answer ({}); waiting for it", escape(&why)));
        }
        keeper::Presence::Here(hello) => {
            form.progress(|| format!("the agent is down; telling its keeper (pid {}) to stop", hello.pid));
        }
    }
    let report = keeper::stop(&found.place.dir, args.now, args.timeout.get())
        .with_context(|| format!("stopping {name:?} through its keeper"))
        .or_exit(Exit::Failed)?;
    let how = report.map_or_else(|| "no game was running".to_owned(), |report| status::stop_words(&report));
    let next = format!("the session service hears of it when `gameside run --name {name}` is started next");
    form.end(name, &format!("{name} has ended: {}\n{next}", escape(&how)), Some(&how), None);
    Ok(Exit::Done)
}
