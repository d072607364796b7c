//! `gameside detach [NAME] [--restart]`.

use super::{exit::Exit, failure::Failure, find::Finder, operator::Operator};

/// End the agent but leave the game running under its keeper; the next `gameside run` of that name takes it over.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gameside detach --restart     an upgrade: the supervisor starts the new agent\n  gameside detach && gameside run --name default"
)]
pub struct Args {
    /// The agent; may be left out where one runs.
    name: Option<String>,
    /// Ask the supervisor (systemd: RestartForceExitStatus=75) for a new agent.
    #[arg(long)]
    restart: bool,
}

pub fn run(args: &Args, finder: &Finder) -> Result<Exit, Failure> {
    let found = finder.one(args.name.as_deref())?.living()?;
    let operator = Operator::of(&found)?;
    let body = serde_json::json!({"restart": args.restart});
    super::block_on(async {
        let _: serde_json::Value = operator.order("/v1/detach", &body).await?;
        found.gone().await;
        Ok(())
    })?;
    println!("{} let go; the game goes on under its keeper", found.name);
    Ok(Exit::Done)
}
