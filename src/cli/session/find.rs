//! Commands that find and show sessions: `find`, `join`, `list`, `show`, `connect-string`.

use super::{
    OutputFormat, SessionArg,
    connect::{Connected, player},
    failed,
    settings::Conditions,
    show,
};
use crate::{
    cli::{
        error::{Failure, OrExit as _},
        exit::Exit,
    },
    host::escape::escape,
    model::{
        ids::{PlayerUuid, SessionId},
        units::Span,
    },
    session_api::client::JoinSession,
};
use serde_json::json;
use uuid::Uuid;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gameside session find --where map=harbour --where 'level>=3' --max 10\n  gameside session find --with bob\n  gameside session find --ids | head -1"
)]
pub(crate) struct Find {
    #[command(flatten)]
    conditions: Conditions,
    /// Only sessions of this type
    #[arg(long = "type", value_name = "TYPE")]
    session_type: Option<String>,
    /// Only sessions of this region
    #[arg(long)]
    region: Option<String>,
    /// Print the ids alone, best first
    #[arg(long)]
    ids: bool,
}

pub(crate) async fn find(args: Find, connected: &Connected, form: OutputFormat) -> Result<Exit, Failure> {
    let search = args.conditions.search(args.session_type, args.region);
    let ids = connected.sessions.find_sessions(&search).await.map_err(failed)?;
    if args.ids {
        match form {
            OutputFormat::Text => ids.iter().for_each(|id| say!("{id}")),
            OutputFormat::Json => say!("{}", json!({ "session_ids": ids })),
        }
        return Ok(Exit::Done);
    }
    let mut found = Vec::new();
    for id in &ids {
        match connected.sessions.get_session_by_id(id).await {
            Ok(session) => found.push(session),
            Err(error) if error.is_gone() => {}
            Err(error) => return Err(failed(error)),
        }
    }
    show::sessions(form, &found, &connected.sessions.names());
    Ok(Exit::Done)
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gameside session join 3c1d0a5e-… --name match --presence\n  gameside session join --invite 9b2e77f0-…"
)]
pub(crate) struct Join {
    /// The session's id or short code
    #[arg(required_unless_present = "invite")]
    session: Option<String>,
    /// Accept this invite
    #[arg(long, value_name = "ID", conflicts_with = "session")]
    invite: Option<Uuid>,
    /// What this machine calls the session from now on
    #[arg(long, default_value = "session")]
    name: String,
    /// The team; without it the one where a place is held, else the first with room
    #[arg(long, value_name = "NUMBER")]
    team: Option<u32>,
    /// The session's password
    #[arg(long, env = "GAMESIDE_SESSION_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// The member whose friend you are (UUID or name)
    #[arg(long, value_name = "PLAYER", value_parser = player)]
    friend: Option<PlayerUuid>,
    /// Show it to friends from now on
    #[arg(long)]
    presence: bool,
}

pub(crate) async fn join(args: Join, connected: &Connected, form: OutputFormat) -> Result<Exit, Failure> {
    let sessions = &connected.sessions;
    let id = match (args.invite, args.session) {
        (Some(invite), _) => sessions.get_session_invite_by_id(invite).await.map_err(failed)?.session_id,
        (None, session) => SessionId::new(session.unwrap_or_default()).or_exit(Exit::Usage)?,
    };
    let how = JoinSession { team: args.team, password: args.password, friend: args.friend, ..JoinSession::default() };
    let session = sessions.join_session(&args.name, &id, how).await.map_err(failed)?;
    if args.presence {
        sessions.set_presence_session(&session.session_id).await.map_err(failed)?;
    }
    show::session(form, Some(&args.name), &session);
    Ok(Exit::Done)
}

pub(crate) async fn list(connected: &Connected, form: OutputFormat) -> Result<Exit, Failure> {
    let found = connected.sessions.get_all_sessions().await.map_err(failed)?;
    show::sessions(form, &found, &connected.sessions.names());
    Ok(Exit::Done)
}

pub(crate) async fn show(which: SessionArg, connected: &Connected, form: OutputFormat) -> Result<Exit, Failure> {
    let (name, id) = connected.session(which.session.as_deref())?;
    let session = connected.sessions.get_session_by_id(&id).await.map_err(failed)?;
    show::session(form, Some(&name).filter(|name| name.as_str() != id.as_str()).map(String::as_str), &session);
    Ok(Exit::Done)
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ./MyGame +connect \"$(gameside session connect-string match --wait)\"")]
pub(crate) struct ConnectString {
    #[command(flatten)]
    which: SessionArg,
    /// Wait until the server can be joined
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "SPAN", default_value = "3m", requires = "wait")]
    timeout: Span,
}

pub(crate) async fn connect_string(
    args: ConnectString,
    connected: &Connected,
    form: OutputFormat,
) -> Result<Exit, Failure> {
    let (_, id) = connected.session(args.which.session.as_deref())?;
    let address = if args.wait {
        let waiting = connected.sessions.wait_until_joinable(&id, |_| {});
        tokio::time::timeout(args.timeout.get(), waiting).await.map_err(|_| {
            Failure::new(Exit::Failed, format!("session {id} could not be joined within {}", args.timeout))
        })?
    } else {
        connected.sessions.get_resolved_connect_string(&id).await
    };
    let address = address.map_err(failed)?;
    match form {
        OutputFormat::Text => say!("{}", escape(&address)),
        OutputFormat::Json => say!("{}", json!({ "session_id": id, "connect_string": address })),
    }
    Ok(Exit::Done)
}
