//! `gameside drain [NAME]`: lets the players finish, then ends the match.

use super::{error::Failure, exit::Exit, find::Finder, operator::Operator, stop};
use crate::model::orders::{Accepted, After};

/// Let players finish, then end the agent or take the next match.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gameside drain --wait\n  gameside drain eu-1 --then recycle --reason \"new build\""
)]
pub(crate) struct Args {
    /// The agent; may be left out where one runs.
    name: Option<String>,
    /// What follows: `end` the agent, or `recycle` the server for the next allocation.
    #[arg(long, default_value = "end", value_parser = after)]
    then: After,
    /// Shown in status, exit report and audit.
    #[arg(long)]
    reason: Option<String>,
    /// With `--then end`: wait for the end and say how it ended.
    #[arg(long)]
    wait: bool,
    /// Print the agent's answer as JSON, and with --wait a second object as `gameside stop` does.
    #[arg(long)]
    json: bool,
}

/// A word that says nothing about what follows a drain.
#[derive(Debug, thiserror::Error)]
#[error("expected \"end\" or \"recycle\", found {0:?}")]
struct NoAfter(String);

fn after(text: &str) -> Result<After, NoAfter> {
    match text {
        "end" => Ok(After::End),
        "recycle" => Ok(After::Recycle),
        other => Err(NoAfter(other.to_owned())),
    }
}

pub(crate) fn run(args: &Args, finder: &Finder) -> Result<Exit, Failure> {
    let found = finder.one(args.name.as_deref())?.living()?;
    if args.wait && args.then == After::Recycle {
        return Err(Failure::new(
            Exit::Usage,
            "--wait waits for the agent's end, and with --then recycle it doesn't end",
        ));
    }
    let operator = Operator::of(&found);
    let body = serde_json::json!({"reason": args.reason, "then": args.then});
    let accepted: serde_json::Value = super::block_on(operator.order("/v1/drain", &body))?;
    if args.json {
        say!("{accepted}");
    } else if let Ok(Accepted::Draining { deadline }) = serde_json::from_value(accepted) {
        say!("{} drains, until {deadline} at the latest", found.name);
    }
    if args.wait { stop::wait_for_end(&found, stop::OutputFormat::of(args.json)) } else { Ok(Exit::Done) }
}
