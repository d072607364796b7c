//! Which service a `session` command talks to, and as whom.
//!
//! | given | who |
//! |---|---|
//! | `--token-file FILE` | whoever the access token in it was made for |
//! | `--client-id ID` | a client, with the secret of `--client-secret-file` or `GAMESIDE_CLIENT_SECRET`; `local` needs none on the local service |
//! | `--as NAME[:PASSWORD]` | a player: with `--dev` anybody; on the local service, whoever may read its secret |
//! | nothing, on the local service | a player named like the user |

use super::{OutputFormat, failed, names::Names};
use crate::{
    agent::local,
    cli::{
        error::{Failure, OrExit},
        exit::Exit,
    },
    host::{environment, paths::Places},
    model::{
        backoff::Backoff,
        calls::Refusal,
        ids::{PlayerUuid, SessionId},
        login::LOCAL_CLIENT_ID,
        units::Span,
    },
    service::auth::login::player_of,
    session_api::client::{ClientError, ClientSettings, Credentials, Secret, Sessions},
};
use secrecy::SecretString;
use std::{path::PathBuf, time::Duration};
use url::Url;

/// The service that is meant where none is named.
const LOCAL: &str = "local";
/// How long the local service may take to start.
const START: Duration = Duration::from_secs(20);
/// Between attempts to reach a service.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_millis(500);

/// Options of every `session` command, and of those of `sessions` that ask a running service.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Service and login")]
pub(crate) struct Connection {
    /// The session service
    #[arg(long, global = true, value_name = "URL", env = "GAMESIDE_SERVICE", default_value = LOCAL)]
    service: String,
    /// Certificate authorities (PEM) that the service's certificate must come from
    #[arg(long, global = true, value_name = "FILE", env = "GAMESIDE_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// Be this player. A password on the command line can be seen by others on this machine: use the variable
    #[arg(long = "as", global = true, value_name = "NAME[:PASSWORD]", env = "GAMESIDE_AS", hide_env_values = true)]
    as_player: Option<String>,
    /// Be this client: a server, or a platform's backend
    #[arg(long, global = true, value_name = "ID", env = "GAMESIDE_CLIENT_ID")]
    client_id: Option<String>,
    /// The client's secret; else the variable GAMESIDE_CLIENT_SECRET
    #[arg(long, global = true, value_name = "FILE", env = "GAMESIDE_CLIENT_SECRET_FILE")]
    client_secret_file: Option<PathBuf>,
    /// Use the access token in this file; wins over the other ways
    #[arg(long, global = true, value_name = "FILE", env = "GAMESIDE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// How long to wait for a service that can't be reached (yet)
    #[arg(long, global = true, value_name = "SPAN", default_value = "10s")]
    connect_timeout: Span,
    /// The version of the player's game
    #[arg(long, global = true, value_name = "SEMVER", env = "GAMESIDE_GAME_VERSION", default_value = "1.0.0")]
    game_version: semver::Version,
}

/// A client that has logged in, and the names that it knows.
#[derive(Debug)]
pub(crate) struct Connected {
    pub sessions: Sessions,
    names: Names,
}

impl Connection {
    /// The same, but on the local service its own client where nobody is named.
    pub(crate) fn into_operator(mut self) -> Connection {
        let nobody = self.client_id.is_none() && self.as_player.is_none() && self.token_file.is_none();
        if nobody && self.service == LOCAL {
            self.client_id = Some(LOCAL_CLIENT_ID.to_owned());
        }
        self
    }

    /// Logs in; starts the local service where that is meant and none runs.
    pub(crate) async fn connect(&self, places: &Places) -> Result<Connected, Failure> {
        let local = self.service == LOCAL;
        let url = if local { "http://localhost" } else { &self.service };
        let url = Url::parse(url).or_exit(Exit::Usage).map_err(|why| {
            Failure::new(
                why.exit,
                format!("--service {:?} is no URL: {why}; example: http://127.0.0.1:8787", self.service),
            )
        })?;
        let (who, credentials) = self.credentials(places, local)?;
        let mut settings = ClientSettings::new(url, credentials);
        settings.client_version = self.game_version.clone();
        settings.connection.ca_file.clone_from(&self.ca_file);
        if local {
            settings.connection.unix_socket = Some(places.sessions_socket());
            local_service(places).await?;
        }
        let sessions = Sessions::new(settings).or_exit(Exit::Usage)?;
        log_in(&sessions, self.connect_timeout.get()).await?;
        let names = Names::read(places, &self.service, &who)?;
        names.give_to(&sessions);
        Ok(Connected { sessions, names })
    }

    /// Who this is, for the names that it keeps, and how that is proved.
    fn credentials(&self, places: &Places, local: bool) -> Result<(String, Credentials), Failure> {
        if let Some(file) = &self.token_file {
            return Ok((format!("token {}", file.display()), Credentials::Token(Secret::File(file.clone()))));
        }
        if let Some(id) = &self.client_id {
            let credentials = if local && id == LOCAL_CLIENT_ID {
                Credentials::Local { secret_file: places.sessions_secret() }
            } else {
                Credentials::Client { id: id.clone(), secret: self.secret(id)? }
            };
            return Ok((format!("client {id}"), credentials));
        }
        let player = match &self.as_player {
            Some(player) => player.clone(),
            None if local => std::env::var("USER").ok().filter(|user| !user.is_empty()).unwrap_or("player".to_owned()),
            None => {
                return Err(Failure::new(
                    Exit::Usage,
                    "say who you are: --as NAME[:PASSWORD], --client-id ID with --client-secret-file, or --token-file",
                ));
            }
        };
        let name = player.split(':').next().unwrap_or_default().to_owned();
        let user_password = if player.contains(':') { player } else { format!("{player}:") };
        let client = local.then(|| (LOCAL_CLIENT_ID.to_owned(), Secret::File(places.sessions_secret())));
        let user_password = Secret::Text(SecretString::from(user_password));
        Ok((format!("player {name}"), Credentials::Basic { user_password, client }))
    }

    fn secret(&self, id: &str) -> Result<Secret, Failure> {
        if let Some(file) = &self.client_secret_file {
            return Ok(Secret::File(file.clone()));
        }
        let given = environment::variable(environment::CLIENT_SECRET).filter(|secret| !secret.is_empty());
        given.map(|secret| Secret::Text(SecretString::from(secret))).ok_or_else(|| {
            let message =
                format!("the secret of client {id:?} is missing: --client-secret-file, or GAMESIDE_CLIENT_SECRET");
            Failure::new(Exit::Usage, message)
        })
    }
}

/// Logs in; a service that was just started may need a moment until it listens.
async fn log_in(sessions: &Sessions, patience: Duration) -> Result<(), Failure> {
    let begun = tokio::time::Instant::now();
    let mut backoff = Backoff::default();
    loop {
        match sessions.log_in().await {
            Err(ClientError::Service { why: Refusal::Unreachable { .. }, .. }) if begun.elapsed() < patience => {
                tokio::time::sleep(backoff.next(FIRST_PAUSE, LAST_PAUSE, rand::random())).await;
            }
            outcome => return outcome.map(drop).map_err(failed),
        }
    }
}

/// Starts the local service if none runs, and waits until it has said where it is: it listens by then.
async fn local_service(places: &Places) -> Result<(), Failure> {
    let begun = tokio::time::Instant::now();
    local::ensure(places).await?;
    while local::SessionsRecord::read(places).is_none() {
        if begun.elapsed() > START {
            let message = "the local session service does not start: see what `gameside sessions --local` says";
            return Err(Failure::new(Exit::Failed, message));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

impl Connected {
    /// The session that is meant, and the name that it goes by in the client: one of ours, else an id or short code.
    pub(crate) fn session(&self, given: Option<&str>) -> Result<(String, SessionId), Failure> {
        let known = self.sessions.names();
        let Some(given) = given else {
            return match known.into_iter().collect::<Vec<_>>().as_slice() {
                [only] => Ok(only.clone()),
                [] => Err(Failure::new(Exit::Usage, "no session has a name here yet: name one by its id")),
                several => {
                    let names: Vec<_> = several.iter().map(|(name, _)| name.as_str()).collect();
                    Err(Failure::new(Exit::Usage, format!("which session? There are: {}", names.join(", "))))
                }
            };
        };
        if let Some(id) = known.get(given) {
            return Ok((given.to_owned(), id.clone()));
        }
        let id = SessionId::new(given).or_exit(Exit::Usage)?;
        if let Some((name, _)) = known.iter().find(|(_, known)| **known == id) {
            return Ok((name.clone(), id));
        }
        // For this call alone: it is told by its id, so the name isn't kept.
        self.sessions.keep(given, id.clone());
        Ok((given.to_owned(), id))
    }

    /// Writes down which names were given and which are free now.
    pub(crate) fn keep_names(&self) -> Result<(), Failure> {
        self.names.keep(&self.sessions)
    }
}

/// An empty text, which names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a player's UUID or name")]
pub(crate) struct NoPlayer;

/// A player's UUID, or a name: the player whom a service with `--dev`, or the local one, makes of it.
pub(crate) fn player(text: &str) -> Result<PlayerUuid, NoPlayer> {
    match text.parse() {
        Ok(uuid) => Ok(PlayerUuid(uuid)),
        Err(_) if text.is_empty() => Err(NoPlayer),
        Err(_) => Ok(player_of(text)),
    }
}

/// Prints what was done: a line for people, or the value.
pub(crate) fn say(form: OutputFormat, line: &str, value: &serde_json::Value) {
    match form {
        OutputFormat::Text => say!("{line}"),
        OutputFormat::Json => say!("{value}"),
    }
}
