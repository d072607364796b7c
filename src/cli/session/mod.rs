//! `gameside session …`: the Sessions Interface from the shell.
//!
//! | file | commands |
//! |---|---|
//! | [`create`] | `create`, `update`, `leave`, `destroy`, `matchmake` |
//! | [`find`] | `find`, `join`, `list`, `show`, `connect-string` |
//! | [`people`] | `members`, `invite`, `invites`, `reject`, `whoami` |
//! | [`presence`], [`friends`], [`events`] | `presence`; `friends`; `events` |
//! | [`connect`] | which service, and as whom |
//! | [`names`] | names of sessions, kept in the state directory |
//! | [`settings`] | options that say what a session is like, and filters |
//! | [`show`] | sessions for people |

pub(crate) mod connect;
pub(crate) mod create;
pub(crate) mod events;
pub(crate) mod find;
pub(crate) mod friends;
pub(crate) mod names;
pub(crate) mod people;
pub(crate) mod presence;
pub(crate) mod settings;
pub(crate) mod show;

use super::{error::Failure, exit::Exit, find::Finder};
use crate::session_api::client::ClientError;
use clap::Subcommand;
use connect::{Connected, Connection};

const EXAMPLES: &str = "\
Examples:
  gameside session create match --policy public --set map=harbour
  gameside session create match --dedicated --map harbour
  gameside session connect-string match
  gameside session find --where map=harbour --where 'level>=3'
  gameside session join 3c1d0a5e-… --name match
  gameside session destroy match

Without --service: the service of this user and machine, started when there is none.
Without --as, --client-id and --token-file, there: a player named like the user.
The names of sessions are this machine's own; an id or a short code serves everywhere in place of a name.";

/// Create, find, join and change sessions, as a player or as a server.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: SessionCommand,
}

#[derive(Debug, Subcommand)]
enum SessionCommand {
    /// Create a session; with --dedicated also ask for a server and wait until it can be joined
    Create(create::Create),
    /// Find sessions by their settings, their members or their id
    Find(find::Find),
    /// Join a session, by id, short code or invite
    Join(find::Join),
    /// Leave a session
    Leave(SessionArg),
    /// Remove a session, so that everybody leaves it
    Destroy(SessionArg),
    /// Change a session's settings
    Update(create::Update),
    /// Invite players to a session
    Invite(people::Invite),
    /// List the invites that wait for an answer
    Invites,
    /// Reject an invite
    Reject(people::Reject),
    /// Show, set or clear the session that friends see
    Presence(presence::Presence),
    /// List friends; ask, accept and remove them
    Friends(friends::Friends),
    /// Join the best session that fits, or create one
    Matchmake(create::Matchmake),
    /// List a session's members; register and unregister them as its host
    Members(people::Members),
    /// Print where to connect
    ConnectString(find::ConnectString),
    /// Print what happens to the player's sessions, as it happens
    Events(events::Events),
    /// List the player's sessions
    List,
    /// Print one session
    Show(SessionArg),
    /// Print the UUID of the player that you are
    Whoami,
}

/// A session that is there.
#[derive(Debug, clap::Args)]
pub(crate) struct SessionArg {
    /// Its name, id or short code; may be left out where one session has a name
    session: Option<String>,
}

/// How a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputFormat {
    Text,
    Json,
}

pub(crate) fn run(args: Args, finder: &Finder) -> Result<Exit, Failure> {
    let form = if args.json { OutputFormat::Json } else { OutputFormat::Text };
    super::block_on(async {
        let connected = args.connection.connect(&finder.places).await?;
        let outcome = dispatch(args.what, &connected, form).await;
        connected.keep_names()?;
        outcome
    })
}

async fn dispatch(what: SessionCommand, connected: &Connected, form: OutputFormat) -> Result<Exit, Failure> {
    match what {
        SessionCommand::Create(args) => create::create(args, connected, form).await,
        SessionCommand::Find(args) => find::find(args, connected, form).await,
        SessionCommand::Join(args) => find::join(args, connected, form).await,
        SessionCommand::Leave(which) => {
            create::leave(which, connected, form, crate::session_api::client::Leaving::Leave).await
        }
        SessionCommand::Destroy(which) => {
            create::leave(which, connected, form, crate::session_api::client::Leaving::Destroy).await
        }
        SessionCommand::Update(args) => create::update(args, connected, form).await,
        SessionCommand::Invite(args) => people::invite(args, connected, form).await,
        SessionCommand::Invites => people::invites(connected, form).await,
        SessionCommand::Reject(args) => people::reject(args, connected, form).await,
        SessionCommand::Presence(args) => presence::presence(args, connected, form).await,
        SessionCommand::Friends(args) => friends::friends(args, connected, form).await,
        SessionCommand::Matchmake(args) => create::matchmake(args, connected, form).await,
        SessionCommand::Members(args) => people::members(args, connected, form).await,
        SessionCommand::ConnectString(args) => find::connect_string(args, connected, form).await,
        SessionCommand::Events(args) => events::events(args, connected, form).await,
        SessionCommand::List => find::list(connected, form).await,
        SessionCommand::Show(which) => find::show(which, connected, form).await,
        SessionCommand::Whoami => people::whoami(connected, form).await,
    }
}

/// The exit code that a client's error deserves.
pub(crate) fn failed(error: ClientError) -> Failure {
    Failure { exit: Exit::from(&error), error: error.into() }
}
