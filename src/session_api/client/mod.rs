//! The Sessions Interface for Rust programs: every function and event of Epic's Online Services
//! Sessions Interface, under its own name in snake case, on the Session API.
//!
//! ```no_run
//! use gameside::client::{
//!     ClientError, ClientSettings, CreateSession, Credentials, JoinPolicy, Secret, Sessions, SettingsUpdate,
//! };
//!
//! # async fn story() -> Result<(), Box<dyn std::error::Error>> {
//! // A player of a service that runs with --dev; elsewhere client credentials or a token file.
//! let credentials = Credentials::Basic { user_password: Secret::Text("ada:".to_owned().into()), client: None };
//! let sessions = Sessions::new(ClientSettings::new("http://127.0.0.1:8787".parse()?, credentials))?;
//!
//! // Create, and change what others see of it.
//! let mut wanted = CreateSession::named("MySession");
//! wanted.join_policy = Some(JoinPolicy::Public);
//! wanted.custom_settings.insert("map".into(), "harbour".into());
//! let session = sessions.create_session(wanted).await?;
//! let closed = SettingsUpdate { allow_new_members: Some(false), ..SettingsUpdate::default() };
//! sessions.update_session_settings("MySession", closed).await?;
//!
//! // Where to connect, once a server runs it.
//! match sessions.get_resolved_connect_string(&session.session_id).await {
//!     Ok(address) => println!("connect to {address}"),
//!     Err(ClientError::NoConnectString { join_status, .. }) => println!("not yet: {join_status:?}"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | file | functions |
//! |---|---|
//! | [`create`] | `create_session`, `update_session_settings`, `leave_session` |
//! | [`discover`] | `find_sessions`, `join_session`, `start_matchmaking`, `get_all_sessions`, `get_session_by_name`, `get_session_by_id` |
//! | [`invites`] | `send_session_invite`, `get_all_session_invites`, `get_session_invite_by_id`, `reject_session_invite` |
//! | [`presence`] | `get_presence_session`, `is_presence_session`, `set_presence_session`, `clear_presence_session` |
//! | [`friends`] | `get_friends`, `get_friendship`, `add_friend`, `accept_friend`, `remove_friend`: beside the interface |
//! | [`host`] | `get_resolved_connect_string`, `add_session_member`, `remove_session_member`; asking for a dedicated server and waiting for it |
//! | [`events`] | the events, as one stream that goes on where it broke |
//! | [`error`] | what can go wrong |
//!
//! Names of sessions are the handle's own: `create_session`, `join_session` and `start_matchmaking`
//! give one, `leave_session` takes it away; [`Sessions::names`] and [`Sessions::keep`] are for
//! programs that keep them longer than they run.
//!
//! Invariants: a call is sent once (after a token that was refused, twice); it ends within
//! [`ClientSettings::call_timeout`] for each exchange; no password, secret or token is in an error
//! or a `Debug` output. Date-times and ids are those of [`crate::model`].

pub mod create;
pub mod discover;
pub mod error;
pub mod events;
pub mod friends;
pub mod host;
pub mod invites;
pub mod presence;

pub use create::{CreateSession, JoinPolicy, Leaving, SettingsUpdate};
pub use discover::{JoinSession, Matchmaking};
pub use error::ClientError;
pub use events::{EventStream, StreamItem};
pub use invites::SessionInvite;

pub use super::{ConnectionSettings, Credentials, Secret, SetupError};

use crate::{
    model::{
        calls::Refusal,
        ids::{PlayerUuid, SessionId},
        session::Session,
    },
    session_api::{
        ApiClient, Response,
        endpoints::{self, ApiRequest},
        etag_of,
    },
};
use error::Operation;
use semver::Version;
use serde::de::DeserializeOwned;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use url::Url;

/// Which service, and who plays with what.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    pub connection: ConnectionSettings,
    /// The version of the player's game: sessions of an incompatible one can't be joined.
    pub client_version: Version,
    /// The contract's `ClientSettings`: input and platform. The platform of the token overrides the one given here.
    pub client_settings: crate::model::player::ClientSettings,
    /// How long one exchange may take.
    pub call_timeout: Duration,
}

impl ClientSettings {
    /// For a service at this URL; everything else as for a player with a keyboard, whose game is at 1.0.0.
    pub fn new(base_url: Url, credentials: Credentials) -> Self {
        let user_agent = concat!("gameside-client/", env!("CARGO_PKG_VERSION")).to_owned();
        ClientSettings {
            connection: ConnectionSettings { base_url, unix_socket: None, ca_file: None, credentials, user_agent },
            client_version: Version::new(1, 0, 0),
            client_settings: crate::model::player::ClientSettings::on("Basic"),
            call_timeout: Duration::from_secs(10),
        }
    }
}

/// A player's (or a server's) view of the session service. Cheap to clone; clones share names and login.
#[derive(Debug, Clone)]
pub struct Sessions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    api: Arc<ApiClient>,
    client_version: Version,
    client_settings: crate::model::player::ClientSettings,
    call_timeout: Duration,
    names: Mutex<BTreeMap<String, SessionId>>,
}

/// A session, and the version of what is seen of it.
#[derive(Debug, Clone)]
struct Versioned {
    session: Session,
    etag: Option<String>,
}

impl Sessions {
    /// Sets the client up; nothing is sent before the first call.
    pub fn new(settings: ClientSettings) -> Result<Self, SetupError> {
        Ok(Sessions(Arc::new(Inner {
            api: ApiClient::new(&settings.connection)?,
            client_version: settings.client_version,
            client_settings: settings.client_settings,
            call_timeout: settings.call_timeout,
            names: Mutex::default(),
        })))
    }

    /// Logs in if that wasn't done yet. The player whom this handle acts for; none if it is a server's or a backend's.
    pub async fn log_in(&self) -> Result<Option<PlayerUuid>, ClientError> {
        self.0.api.log_in().await.map_err(|error| Operation::new("log in").failed(error))
    }

    /// The names that this handle gives to sessions.
    pub fn names(&self) -> BTreeMap<String, SessionId> {
        self.known_names().clone()
    }

    /// Gives a session a name, in this handle alone. Replaces what had the name before.
    pub fn keep(&self, name: impl Into<String>, session: SessionId) {
        self.known_names().insert(name.into(), session);
    }

    /// Takes a name away; the session stays as it is.
    pub fn forget(&self, name: &str) -> Option<SessionId> {
        self.known_names().remove(name)
    }

    /// The session of that name.
    pub fn named(&self, name: &str) -> Result<SessionId, ClientError> {
        self.known_names().get(name).cloned().ok_or_else(|| ClientError::UnknownName { name: name.to_owned() })
    }

    /// Whether no session has the name. That of a session that is gone is taken away: others may have ended it.
    async fn is_free(&self, name: &str) -> Result<(), ClientError> {
        let Ok(session) = self.named(name) else { return Ok(()) };
        match self.get_session_by_id(&session).await {
            Err(error) if error.is_gone() => {
                self.forget(name);
                Ok(())
            }
            Ok(_) | Err(_) => Err(ClientError::NameTaken { name: name.to_owned(), session }),
        }
    }

    fn known_names(&self) -> MutexGuard<'_, BTreeMap<String, SessionId>> {
        self.0.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request, and what its answer says.
    async fn call<A: DeserializeOwned>(
        &self,
        operation: &Operation,
        request: Result<ApiRequest<A>, Refusal>,
    ) -> Result<A, ClientError> {
        let request = request.map_err(|why| operation.failed(why))?;
        self.0.api.call(&request, self.0.call_timeout).await.map_err(|error| operation.failed(error))
    }

    /// One request about a session, and the session that it answers with.
    async fn call_for_session(
        &self,
        operation: &Operation,
        request: Result<ApiRequest<Session>, Refusal>,
    ) -> Result<Versioned, ClientError> {
        let request = request.map_err(|why| operation.failed(why))?;
        let response = self.send(operation, &request).await?;
        let session = request.answer(&response).map_err(|why| operation.failed(why))?;
        Ok(Versioned { etag: etag_of(&response), session })
    }

    /// One exchange that must end in a success.
    async fn send<A>(&self, operation: &Operation, request: &ApiRequest<A>) -> Result<Response, ClientError> {
        self.0.api.send(request, self.0.call_timeout).await.map_err(|error| operation.failed(error))
    }

    async fn read_session(&self, operation: &Operation, id: &SessionId) -> Result<Versioned, ClientError> {
        self.call_for_session(operation, endpoints::READ_SESSION.request([id])).await
    }

    /// The player that this handle acts for.
    async fn myself(&self) -> Result<PlayerUuid, ClientError> {
        self.log_in().await?.ok_or(ClientError::NoPlayer)
    }
}
