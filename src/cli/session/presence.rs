//! `presence`: the one session that friends see.

use super::{
    OutputFormat, SessionArg,
    connect::{Connected, player, say},
    failed,
};
use crate::{
    cli::{error::Failure, exit::Exit},
    model::ids::{PlayerUuid, SessionId},
};
use serde_json::json;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gameside session presence\n  gameside session presence set match\n  gameside session presence of bob"
)]
pub(crate) struct Presence {
    #[command(subcommand)]
    what: Option<PresenceCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum PresenceCommand {
    /// Show this session to friends
    Set(SessionArg),
    /// Show none
    Clear,
    /// What a friend shows
    Of {
        /// UUID or name
        #[arg(value_parser = player)]
        player: PlayerUuid,
    },
}

pub(crate) async fn presence(args: Presence, connected: &Connected, form: OutputFormat) -> Result<Exit, Failure> {
    let sessions = &connected.sessions;
    let shown = match args.what {
        None => sessions.get_presence_session().await.map_err(failed)?,
        Some(PresenceCommand::Of { player }) => sessions.get_presence_session_of(player).await.map_err(failed)?,
        Some(PresenceCommand::Clear) => {
            sessions.clear_presence_session().await.map_err(failed)?;
            None
        }
        Some(PresenceCommand::Set(which)) => {
            let (_, id) = connected.session(which.session.as_deref())?;
            sessions.set_presence_session(&id).await.map_err(failed)?;
            Some(id)
        }
    };
    let line = shown.as_ref().map_or("no session is shown", SessionId::as_str);
    say(form, line, &shown.as_ref().map_or(json!({}), |id| json!({ "session_id": id })));
    Ok(Exit::Done)
}
