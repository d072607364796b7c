//! Commands about players: `members`, `invite`, `invites`, `reject`, `whoami`.

use super::{
    OutputFormat, SessionArg,
    connect::{Connected, player, say},
    failed, show,
};
use crate::{
    cli::{error::Failure, exit::Exit, terminal},
    host::escape::escape,
    model::ids::PlayerUuid,
    session_api::client::ClientError,
};
use serde_json::json;
use uuid::Uuid;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gameside session members match\n  gameside session members match --add 5f0c1b7e-… --client-id my-servers"
)]
pub(crate) struct Members {
    #[command(flatten)]
    which: SessionArg,
    /// Register a player who has connected, as the session's host (UUID or name); may be repeated
    #[arg(long, value_name = "PLAYER", value_parser = player)]
    add: Vec<PlayerUuid>,
    /// Unregister a player who has gone (UUID or name); may be repeated
    #[arg(long, value_name = "PLAYER", value_parser = player)]
    remove: Vec<PlayerUuid>,
    /// The team that is added to
    #[arg(long, value_name = "NUMBER", requires = "add")]
    team: Option<u32>,
}

pub(crate) async fn members(args: Members, connected: &Connected, form: OutputFormat) -> Result<Exit, Failure> {
    let (name, id) = connected.session(args.which.session.as_deref())?;
    let sessions = &connected.sessions;
    for player in args.add {
        sessions.add_session_member(&name, player, args.team).await.map_err(failed)?;
    }
    for player in args.remove {
        sessions.remove_session_member(&name, player).await.map_err(failed)?;
    }
    match sessions.get_session_by_id(&id).await {
        Ok(session) => show::members(form, &session),
        // It may have gone with its last member.
        Err(error) if error.is_gone() => {
            say(form, &format!("session {id} has ended"), &json!({ "session_id": id, "members": [] }));
        }
        Err(error) => return Err(failed(error)),
    }
    Ok(Exit::Done)
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gameside session invite bob eve\n  gameside session invite 5f0c1b7e-… --session match"
)]
pub(crate) struct Invite {
    /// Who is invited: UUIDs, or names of players of a service with --dev or the local one
    #[arg(required = true, value_name = "PLAYER", value_parser = player)]
    players: Vec<PlayerUuid>,
    /// To which session: its name, id or short code; may be left out where one session has a name
    #[arg(long)]
    session: Option<String>,
}

pub(crate) async fn invite(args: Invite, connected: &Connected, form: OutputFormat) -> Result<Exit, Failure> {
    let (name, id) = connected.session(args.session.as_deref())?;
    connected.sessions.send_session_invite(&name, &args.players).await.map_err(failed)?;
    let line = format!("invited {} to session {id}", args.players.len());
    say(form, &line, &json!({ "session_id": id, "invited": args.players }));
    Ok(Exit::Done)
}

pub(crate) async fn invites(connected: &Connected, form: OutputFormat) -> Result<Exit, Failure> {
    let invites = connected.sessions.get_all_session_invites().await.map_err(failed)?;
    if form == OutputFormat::Json {
        say!("{}", json!(invites));
        return Ok(Exit::Done);
    }
    let header = ["INVITE", "SESSION", "TYPE", "FROM"].map(str::to_owned).to_vec();
    let rows = invites.iter().map(|invite| {
        let from = invite.inviting_player_uuid.map_or("-".to_owned(), |player| player.to_string());
        let session = escape(invite.session_id.as_str());
        vec![invite.invite_id.to_string(), session, escape(&invite.session_type), from]
    });
    say_part!("{}", terminal::table(&std::iter::once(header).chain(rows).collect::<Vec<_>>()));
    Ok(Exit::Done)
}

#[derive(Debug, clap::Args)]
pub(crate) struct Reject {
    /// The invite, as `gameside session invites` lists it
    invite: Uuid,
}

pub(crate) async fn reject(args: Reject, connected: &Connected, form: OutputFormat) -> Result<Exit, Failure> {
    let invite = args.invite;
    connected.sessions.reject_session_invite(invite).await.map_err(failed)?;
    say(form, &format!("rejected invite {invite}"), &json!({ "rejected": invite }));
    Ok(Exit::Done)
}

pub(crate) async fn whoami(connected: &Connected, form: OutputFormat) -> Result<Exit, Failure> {
    let player = connected.sessions.log_in().await.map_err(failed)?.ok_or_else(|| failed(ClientError::NoPlayer))?;
    say(form, &player.to_string(), &json!({ "player_uuid": player }));
    Ok(Exit::Done)
}
