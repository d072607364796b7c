//! The way to the session service, and how the agent logs in there.

use super::BadSetup;
use crate::{
    agent::config::{
        AgentConfig,
        session::{Credentials as CredentialsConfig, LoginBy},
    },
    host::{environment, paths::Places, secrets},
    session_api::{ConnectionSettings, Credentials, Secret, agent::SessionClientSettings},
};
use secrecy::SecretString;
use url::Url;

/// How the agent's client reaches the session service. A local one is reached through its socket, so that it may come back on another port.
pub fn session_client(config: &AgentConfig, places: &Places) -> Result<SessionClientSettings, BadSetup> {
    let session = &config.session;
    let text = if session.is_local() { "http://localhost" } else { session.url.as_str() };
    let base_url = Url::parse(text).map_err(|error| BadSetup::Url { url: text.to_owned(), why: error.to_string() })?;
    let credentials = if session.is_local() {
        Credentials::Local { secret_file: places.sessions_secret() }
    } else {
        credentials(config)?
    };
    let connection = ConnectionSettings {
        base_url,
        unix_socket: session.is_local().then(|| places.sessions_socket()),
        ca_file: session.ca_file.clone(),
        credentials,
        user_agent: concat!("gameside/", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    Ok(SessionClientSettings { connection, call_timeout: session.call_timeout.get() })
}

fn credentials(config: &AgentConfig) -> Result<Credentials, BadSetup> {
    let CredentialsConfig { by, client_id, client_secret_file, client_secret_credential, client_secret_env } =
        &config.credentials;
    let url = &config.session.url;
    let wanted = secrets::Wanted {
        file: client_secret_file.as_deref(),
        credential: client_secret_credential,
        variable: client_secret_env,
    };
    let source = secrets::find(wanted, environment::variable)
        .map_err(|source| BadSetup::NoSecret { url: url.clone(), source })?;
    let secret = match source {
        secrets::Source::File(path) => Secret::File(path),
        secrets::Source::Text(text) => Secret::Text(text),
    };
    match (*by, client_id) {
        (LoginBy::Client, Some(id)) => Ok(Credentials::Client { id: id.clone(), secret }),
        (LoginBy::Client, None) => Err(BadSetup::NoClientId { url: url.clone() }),
        (LoginBy::Basic, name) => {
            Ok(Credentials::Basic { user_password: user_password(name.as_deref(), secret), client: None })
        }
    }
}

/// `user:password`; the name may be configured apart from a password that stands in the environment.
fn user_password(name: Option<&str>, secret: Secret) -> Secret {
    use secrecy::ExposeSecret as _;
    match (name, secret) {
        (Some(name), Secret::Text(text)) if !text.expose_secret().contains(':') => {
            Secret::Text(SecretString::from(format!("{name}:{}", text.expose_secret())))
        }
        (_, secret) => secret,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_logs_in_as_configured() {
        let login = |text: &str| {
            let text = format!("[session]\nurl = \"https://x.example\"\n[credentials]\n{text}");
            super::credentials(&toml::from_str(&text).unwrap())
        };
        let id = login("client_id = \"servers\"\nclient_secret_file = \"/secret\"").unwrap();
        assert!(
            matches!(id, Credentials::Client { id, secret: Secret::File(path) } if id == "servers" && path == std::path::Path::new("/secret"))
        );
        let user = login("by = \"basic\"\nclient_secret_env = \"CARGO_PKG_NAME\"\nclient_id = \"ada\"").unwrap();
        let Credentials::Basic { user_password: Secret::Text(text), .. } = user else { panic!("by name and password") };
        assert_eq!(secrecy::ExposeSecret::expose_secret(&text), "ada:gameside");
        let missing =
            login("client_id = \"a\"\nclient_secret_env = \"GAMESIDE_TEST_NO_SUCH\"\nclient_secret_credential = \"c\"");
        let said = missing.unwrap_err().to_string();
        assert!(said.contains("GAMESIDE_TEST_NO_SUCH") && said.contains("\"c\""), "{said}");
    }
}
