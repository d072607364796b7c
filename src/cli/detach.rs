//! `gameside detach [NAME] [--restart]`: ends the agent and leaves the game to its keeper.

use super::{error::Failure, exit::Exit, find::Finder, operator::Operator};
use crate::{
    keeper::{self, Presence},
    model::process::RunState,
};

/// End the agent but leave the game running under its keeper.
///
/// The next `gameside run` of that name takes it over.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gameside detach --restart     an upgrade: the supervisor starts the new agent\n  gameside detach && gameside run --name default"
)]
pub(crate) struct Args {
    /// The agent; may be left out where one runs.
    name: Option<String>,
    /// Ask the supervisor (systemd: RestartForceExitStatus=75) for a new agent.
    #[arg(long)]
    restart: bool,
    /// Print one JSON object: `name`, and `game_pid`, none if no game runs.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, finder: &Finder) -> Result<Exit, Failure> {
    let found = finder.one(args.name.as_deref())?.living()?;
    let operator = Operator::of(&found);
    let body = serde_json::json!({"restart": args.restart});
    super::block_on(async {
        let _: serde_json::Value = operator.order("/v1/detach", &body).await?;
        found.gone().await;
        Ok(())
    })?;
    let pid = match keeper::probe(&found.place.dir) {
        Presence::Here(hello) => match hello.run {
            RunState::Running { pid, .. } => Some(pid),
            RunState::Empty | RunState::Exited { .. } | RunState::Unkillable { .. } => None,
        },
        Presence::None | Presence::Silent { .. } => None,
    };
    let name = &found.name;
    match (args.json, pid) {
        (true, _) => say!("{}", serde_json::json!({ "name": name, "game_pid": pid })),
        (false, Some(pid)) => say!("{name} let go; the game (pid {pid}) goes on under its keeper"),
        (false, None) => say!("{name} let go; no game was running"),
    }
    Ok(Exit::Done)
}
