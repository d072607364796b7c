//! The session's side: `[session]`, `[custom_data]`, `[credentials]`, `[report]`.

use crate::model::{
    CustomData,
    policy::{OnSessionLost, ReportBy},
    section::section,
    units::Span,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[session]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Session {
    /// The session service's URL, or "local": one that runs on this machine for this user, started when there is none.
    #[cfg_attr(test, schemars(example = &"https://sessions.example.com"))]
    pub url: String,
    /// Certificate authorities (PEM) that the service's certificate must come from; without it the machine's own are trusted.
    #[cfg_attr(test, schemars(example = &"/etc/gameside/ca.pem"))]
    pub ca_file: Option<PathBuf>,
    /// The type of own sessions.
    #[serde(rename = "type")]
    pub session_type: String,
    /// The region that this server stands in.
    #[cfg_attr(test, schemars(example = &"eu-west"))]
    pub region: Option<String>,
    /// Whether own sessions are open to players from the start.
    pub joinable: bool,
    /// Team sizes of own sessions, one number a team. Empty: as the session type says.
    #[cfg_attr(test, schemars(extend("examples" = [[4, 4]])))]
    pub teams: Vec<u32>,
    /// What to do when the session is gone. Unset: "recreate" for own sessions, else "finish".
    pub on_session_lost: Option<OnSessionLost>,
    /// Make a secret for each allocation that players show when they log in to the game: given to the game and put into the join parameters.
    pub join_token: bool,
    /// How often the session is read while it is served.
    pub poll: Span,
    /// How long one call to the session service may take.
    pub call_timeout: Span,
    /// What own sessions start with; also used when an allocation doesn't say.
    pub startup: Startup,
}

/// The URL that means: the local session service.
pub const LOCAL: &str = "local";

impl Default for Session {
    fn default() -> Self {
        Session {
            url: LOCAL.to_owned(),
            ca_file: None,
            session_type: "default".to_owned(),
            region: None,
            joinable: true,
            teams: Vec::new(),
            on_session_lost: None,
            join_token: false,
            poll: Span::from_secs(10),
            call_timeout: Span::from_secs(5),
            startup: Startup::default(),
        }
    }
}

impl Session {
    /// The session service is the local, elected one.
    pub fn is_local(&self) -> bool {
        self.url == LOCAL
    }
}

/// `[session.startup]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Startup {
    /// The map. The practice game has one by itself; any other game needs it here unless every allocation brings one.
    #[cfg_attr(test, schemars(example = &"harbour"))]
    pub map: Option<String>,
    /// The mode.
    #[cfg_attr(test, schemars(example = &"duel"))]
    pub mode: Option<String>,
    /// Raw text for the game: {{misc}} is one argument, {{misc_args}} is split into words.
    pub misc_params: String,
    /// More values: {{custom.KEY}}.
    pub custom_data: CustomData,
}

/// `[custom_data]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// Of own sessions.
    pub session: CustomData,
    /// Of the instance.
    pub instance: CustomData,
    /// Of the join parameters, which only the session's players see.
    pub join_params: CustomData,
    /// Of the session browser, which everybody sees.
    pub browser: CustomData,
}

/// How the agent proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LoginBy {
    /// A client id and its secret (grant type client_credentials).
    #[default]
    Client,
    /// A user's name and password (grant type basic).
    Basic,
}

/// `[credentials]`: the secret comes from the first of file, credential and environment variable that is set; it is never in this file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Credentials {
    /// How the agent proves who it is.
    pub by: LoginBy,
    /// The client id, or the user's name.
    #[cfg_attr(test, schemars(example = &"my-servers"))]
    pub client_id: Option<String>,
    /// A file with the secret, read again at each login. Nobody else may be able to read it.
    #[cfg_attr(test, schemars(example = &"/etc/gameside/client-secret"))]
    pub client_secret_file: Option<PathBuf>,
    /// The name of a systemd credential (LoadCredential=) with the secret.
    pub client_secret_credential: String,
    /// An environment variable with the secret.
    pub client_secret_env: String,
}

impl Default for Credentials {
    fn default() -> Self {
        Credentials {
            by: LoginBy::default(),
            client_id: None,
            client_secret_file: None,
            client_secret_credential: "gameside-client-secret".to_owned(),
            client_secret_env: "GAMESIDE_CLIENT_SECRET".to_owned(),
        }
    }
}

/// `[report]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Report {
    /// Who writes the instance. "game": a server that does it itself, as RallyHere's Unreal plugin does; the agent then only writes `closed`.
    pub by: ReportBy,
}

section!(Session {
    applied: session_type = "type", joinable, teams, on_session_lost, join_token, poll;
    needs_restart: url, ca_file, region, call_timeout;
    sections: startup;
});
section!(Startup {
    applied: map, mode, misc_params, custom_data;
});
section!(Data {
    applied: session, instance, join_params;
    // The server queries show it, too.
    needs_restart: browser;
});
section!(Credentials {
    needs_restart: by, client_id, client_secret_file, client_secret_credential, client_secret_env;
});
section!(Report {
    applied: by;
});
