//! `gameside allocate NAME --map …`: what a hook does over HTTP, from the shell.

use super::{error::Failure, exit::Exit, find::Finder, operator::Operator, startup::Startup};
use crate::{
    host::{clock, escape::escape},
    model::{
        allocation::Allocation,
        ids::{AllocationId, PlayerUuid, SessionId},
        orders::Accepted,
        units::Span,
    },
};
use uuid::Uuid;

/// Allocate an agent for a match (provider `hook`).
///
/// The agent must take its allocations from a hook. Without --map, what the session or the agent's configuration says is played.
/// The same --allocation-id again gives the same answer; another while a match is on is refused (exit code 4).
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gameside allocate eu-1 --map harbour --mode duel\n  gameside allocate eu-1 --map dm6 --session 3c1d… --expires 30s --json"
)]
pub(crate) struct Args {
    /// The agent; may be left out where one runs.
    name: Option<String>,
    #[command(flatten)]
    startup: Startup,
    /// The session that it is for; without it the agent makes its own.
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
    /// Names this allocation; without it a fresh one.
    #[arg(long, value_name = "ID")]
    allocation_id: Option<AllocationId>,
    /// A player who is expected; may be repeated.
    #[arg(long = "player", value_name = "UUID")]
    players: Vec<Uuid>,
    /// The allocation is worth nothing after this time: "30s", "5m".
    #[arg(long, value_name = "SPAN")]
    expires: Option<Span>,
    /// Print the agent's answer as JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args, finder: &Finder) -> Result<Exit, Failure> {
    let found = finder.one(args.name.as_deref())?.living()?;
    let operator = Operator::of(&found);
    let json = args.json;
    let body = serde_json::to_value(allocation(args))?;
    let accepted: serde_json::Value = super::block_on(operator.order("/v1/allocation", &body))?;
    if json {
        say!("{accepted}");
        return Ok(Exit::Done);
    }
    match serde_json::from_value(accepted)? {
        Accepted::Allocated { allocation_id, session_id, instance_id } => {
            say!("{} is allocated", found.name);
            say!("  allocation  {}", escape(allocation_id.as_str()));
            say!("  session     {}", escape(session_id.as_str()));
            say!("  instance    {}", escape(instance_id.as_str()));
        }
        other => say!("{} answered {other:?}", found.name),
    }
    Ok(Exit::Done)
}

fn allocation(args: Args) -> Allocation {
    Allocation {
        allocation_id: args.allocation_id.unwrap_or_else(|| AllocationId::from_uuid(Uuid::new_v4())),
        session_id: args.session,
        startup_params: args.startup.params(),
        players: args.players.into_iter().map(PlayerUuid).collect(),
        expires: args.expires.map(|span| clock::wall().plus(span.get())),
    }
}
