//! Commands that make, change and end a session: `create`, `update`, `leave`, `destroy`,
//! `matchmake`.

use super::{
    OutputFormat, SessionArg,
    connect::{Connected, say},
    failed,
    settings::{Conditions, NewSession, Settings},
    show,
};
use crate::{
    cli::{
        error::{Failure, OrExit as _},
        exit::Exit,
        startup::Startup,
        terminal::{self, Paint, Tone},
    },
    host::escape::escape,
    model::{
        session::{JoinStatus, Session},
        units::Span,
    },
    session_api::client::{CreateSession, Leaving, Matchmaking},
};
use serde_json::json;
use std::io::IsTerminal as _;

/// The name of a session that is given none.
const NAME: &str = "session";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gameside session create match --policy public --max-players 8 --set map=harbour\n  gameside session create match --dedicated --map harbour --mode duel"
)]
pub(crate) struct Create {
    /// What this machine calls the session from now on
    #[arg(default_value = NAME)]
    name: String,
    #[command(flatten)]
    new: NewSession,
    /// Show it to friends from now on
    #[arg(long)]
    presence: bool,
    #[command(flatten)]
    server: Server,
}

/// What server the session gets.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Server")]
struct Server {
    /// Ask for a dedicated server, wait until it can be joined, and print where to connect
    #[arg(long)]
    dedicated: bool,
    #[command(flatten)]
    startup: Startup,
    /// Don't wait for the server
    #[arg(long, requires = "dedicated")]
    no_wait: bool,
    /// How long to wait for the server
    #[arg(long, value_name = "SPAN", default_value = "3m", requires = "dedicated")]
    timeout: Span,
}

pub(crate) async fn create(args: Create, connected: &Connected, form: OutputFormat) -> Result<Exit, Failure> {
    let sessions = &connected.sessions;
    let name = args.name.clone();
    let startup = args.server.startup.params_with_map().or_exit(Exit::Usage)?;
    if startup.is_some() && !args.server.dedicated {
        let message = "--map and what goes with it are for a dedicated server: add --dedicated";
        return Err(Failure::new(Exit::Usage, message));
    }
    let session = sessions.create_session(args.new.named(args.name)).await.map_err(failed)?;
    connected.keep_names()?;
    if args.presence {
        sessions.set_presence_session(&session.session_id).await.map_err(failed)?;
    }
    if form == OutputFormat::Text {
        complain!("session {} is {}", escape(&name), session.session_id);
    }
    if !args.server.dedicated {
        return Ok(created(form, &name, &session, None));
    }
    sessions.request_dedicated_server(&name, startup).await.map_err(failed)?;
    if args.server.no_wait {
        return Ok(created(form, &name, &session, None));
    }
    let mut progress = Progress { form, told: None };
    let waiting = sessions.wait_until_joinable(&session.session_id, |seen| progress.tell(seen));
    let Ok(address) = tokio::time::timeout(args.server.timeout.get(), waiting).await else {
        let id = &session.session_id;
        let message = format!(
            "session {id} got no server that can be joined within {}; it is left as it is: \
             `gameside session show {name}`, `gameside session destroy {name}`",
            args.server.timeout
        );
        return Err(Failure::new(Exit::Failed, message));
    };
    Ok(created(form, &name, &session, Some(&address.map_err(failed)?)))
}

/// Prints what a script needs: the connect string, else the session's id.
fn created(form: OutputFormat, name: &str, session: &Session, address: Option<&str>) -> Exit {
    match form {
        OutputFormat::Text => say!("{}", escape(address.unwrap_or(session.session_id.as_str()))),
        OutputFormat::Json => {
            let mut value = json!({ "name": name, "session_id": session.session_id });
            if let Some(address) = address {
                value["connect_string"] = address.into();
            }
            say!("{value}");
        }
    }
    Exit::Done
}

/// Tells on stderr how far the server is, so that stdout has only the connect string.
struct Progress {
    form: OutputFormat,
    told: Option<JoinStatus>,
}

impl Progress {
    fn tell(&mut self, session: &Session) {
        let Some(instance) = &session.instance else { return };
        if self.form == OutputFormat::Json || self.told == Some(instance.join_status) {
            return;
        }
        self.told = Some(instance.join_status);
        let host = instance.host_dedicated_server_id.as_deref().map_or(String::new(), |id| format!(" {}", escape(id)));
        let (tone, word, text) = match instance.join_status {
            JoinStatus::Requested => (Tone::Busy, "requested", "waits for a free server".to_owned()),
            JoinStatus::Allocated => (Tone::Busy, "allocated", format!("a server was picked:{host}")),
            JoinStatus::Pending => (Tone::Busy, "pending", "the game is starting".to_owned()),
            JoinStatus::Joinable => (Tone::Good, "joinable", "players can connect".to_owned()),
            JoinStatus::Unjoinable => (Tone::Busy, "unjoinable", "the server takes nobody new".to_owned()),
            JoinStatus::Closed => (Tone::Bad, "closed", "the server has ended".to_owned()),
        };
        let paint = Paint { on: terminal::colours() && std::io::stderr().is_terminal() };
        complain!("{}  {text}", paint.apply(tone, &format!("{word:<10}")));
    }
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gameside session update match --new-members refuse\n  gameside session update match --policy invite --set level=4 --unset map"
)]
pub(crate) struct Update {
    #[command(flatten)]
    which: SessionArg,
    #[command(flatten)]
    settings: Settings,
    /// Remove a custom setting; may be repeated
    #[arg(long = "unset", value_name = "KEY")]
    unset: Vec<String>,
}

pub(crate) async fn update(args: Update, connected: &Connected, form: OutputFormat) -> Result<Exit, Failure> {
    let (name, _) = connected.session(args.which.session.as_deref())?;
    let update = args.settings.update(args.unset);
    let session = connected.sessions.update_session_settings(&name, update).await.map_err(failed)?;
    show::session(form, Some(&name), &session);
    Ok(Exit::Done)
}

pub(crate) async fn leave(
    which: SessionArg,
    connected: &Connected,
    form: OutputFormat,
    how: Leaving,
) -> Result<Exit, Failure> {
    let (name, id) = connected.session(which.session.as_deref())?;
    connected.sessions.leave_session(&name, how).await.map_err(failed)?;
    let word = match how {
        Leaving::Leave => "left",
        Leaving::Destroy => "destroyed",
    };
    say(form, &format!("{word} session {id}"), &json!({ "session_id": id, "done": word }));
    Ok(Exit::Done)
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gameside session matchmake --where map=harbour --where 'level>=3' --policy public --set map=harbour --set level=3"
)]
pub(crate) struct Matchmake {
    /// What this machine calls the session from now on
    #[arg(default_value = NAME)]
    name: String,
    #[command(flatten)]
    conditions: Conditions,
    #[command(flatten)]
    new: NewSession,
}

pub(crate) async fn matchmake(args: Matchmake, connected: &Connected, form: OutputFormat) -> Result<Exit, Failure> {
    let create: CreateSession = args.new.named(args.name.clone());
    let wanted = Matchmaking { search: args.conditions.search(None, None), create };
    let (session, created) = connected.sessions.start_matchmaking(wanted).await.map_err(failed)?;
    let word = if created { "created" } else { "joined" };
    let value = json!({ "name": args.name, "session_id": session.session_id, "created": created });
    say(form, &format!("{word} session {}", session.session_id), &value);
    Ok(Exit::Done)
}
