//! Logs in. The client gets a token when it first needs one, renews it before it expires, and asks
//! for another when the service refuses it.
//!
//! | the token held | what happens |
//! |---|---|
//! | none, or expired | a login, for which the caller waits; only one runs at a time, and other callers take its token |
//! | good | it is used |
//! | good, but in the last fifth of its life | it is used, and renewed in the background (by refresh token if there is one) |
//! | refused by the service | a new login with the credentials, one for all callers who were refused with that token |
//!
//! Each login reads its credentials from their files, so that a secret can be replaced under a
//! running agent. A failed renewal does no harm while the old token is good. No timer runs here: a
//! token is looked at when it is used.

use super::{
    Credentials, Secret, endpoints,
    response::ResponseKind,
    transport::{Authorisation, Response, Transport, Unavailable},
};
use crate::{
    host::clock,
    model::{
        backoff::earlier,
        calls::Refusal,
        errors::{ApiError, codes},
        ids::PlayerUuid,
        login::{GrantType, LOCAL_CLIENT_ID, LoginAnswer, LoginRequest},
    },
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use std::{
    fs::File,
    io::Read as _,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long one login may take.
pub(super) const LOGIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A token is renewed when this part of its life is left, but not earlier than `MAX_MARGIN` before its end.
const MARGIN_PART: u32 = 5;
const MAX_MARGIN: Duration = Duration::from_secs(300);
/// After a renewal that failed, the next is tried this much later, or up to a quarter sooner.
const RENEW_AGAIN: Duration = Duration::from_secs(15);
/// A secret is a line; a file larger than this is something else.
const MAX_SECRET: u64 = 64 << 10;

/// The token, and how to get another.
#[derive(Debug)]
pub(super) struct Login {
    credentials: Credentials,
    held: Mutex<LoginState>,
    /// Locked by the caller who logs in for all; holds the last failure, for callers who waited for that login.
    under_way: tokio::sync::Mutex<Option<(Instant, LoginError)>>,
}

#[derive(Debug, Default)]
struct LoginState {
    token: Option<Token>,
    refresh: Option<SecretString>,
    /// The player of the last login, if it was a player's.
    player: Option<PlayerUuid>,
    /// Counts the tokens, so that a refused one is told from its successor.
    generation: u64,
    renewing: bool,
}

#[derive(Debug)]
struct Token {
    text: SecretString,
    renew_at: Option<Instant>,
    expires_at: Option<Instant>,
}

/// A token to use.
#[derive(Debug, Clone)]
pub(super) struct AccessToken {
    pub text: SecretString,
    /// Tells a refused token from its successor.
    pub generation: u64,
    /// It expires soon: the caller runs [`Login::renew`] beside its own work.
    pub renewal_due: bool,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoginError {
    /// The credentials are refused, or can't be read.
    #[error("the login was refused: {0}")]
    Refused(String),
    /// The service couldn't be asked.
    #[error(transparent)]
    Trouble(Refusal),
}

/// Whether a caller without a token waits for a login that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoginSharing {
    /// It waits, and takes that login's token.
    Shared,
    /// It logs in itself: the other login may hang in a connection that leads nowhere.
    Own,
}

impl Login {
    pub(super) fn new(credentials: Credentials) -> Self {
        Login { credentials, held: Mutex::default(), under_way: tokio::sync::Mutex::default() }
    }

    /// A token that is good by our clock; logs in if there is none.
    pub(super) async fn token(
        &self,
        transport: &Transport,
        client: &Client,
        sharing: LoginSharing,
    ) -> Result<AccessToken, LoginError> {
        if let Some(token) = self.held().usable() {
            return Ok(token);
        }
        if sharing == LoginSharing::Own {
            return self.keep(self.log_in(transport, client).await?);
        }
        let asked = Instant::now();
        let mut failed = self.under_way.lock().await;
        if let Some(token) = self.held().usable() {
            return Ok(token);
        }
        if let Some((_, trouble)) = failed.as_ref().filter(|(at, _)| *at > asked) {
            return Err(trouble.clone());
        }
        let outcome = self.log_in(transport, client).await.and_then(|answer| self.keep(answer));
        *failed = outcome.as_ref().err().map(|trouble| (Instant::now(), trouble.clone()));
        outcome
    }

    /// The player of the last login, if it was a player's.
    pub(super) fn player(&self) -> Option<PlayerUuid> {
        self.held().player
    }

    /// The service refused this token: it isn't used again.
    pub(super) fn refused(&self, generation: u64) {
        let mut held = self.held();
        if held.generation == generation {
            held.token = None;
        }
    }

    /// Gets the next token while the old one is still good. Returns at once if that is under way already.
    pub(super) async fn renew(&self, transport: &Transport, client: &Client) {
        let refresh = {
            let mut held = self.held();
            if std::mem::replace(&mut held.renewing, true) {
                return;
            }
            held.refresh.clone()
        };
        let answer = match refresh {
            Some(refresh) => match self.refresh(transport, client, &refresh).await {
                Err(LoginError::Refused(_)) => {
                    self.held().refresh = None;
                    self.log_in(transport, client).await
                }
                other => other,
            },
            None => self.log_in(transport, client).await,
        };
        let outcome = answer.and_then(|answer| self.keep(answer));
        let mut held = self.held();
        held.renewing = false;
        if let (Err(trouble), Some(token)) = (outcome, held.token.as_mut()) {
            token.renew_at = Some(Instant::now() + earlier(RENEW_AGAIN, 0.25, rand::random()));
            tracing::debug!(?trouble, "the token could not be renewed; the old one is still good");
        }
    }

    async fn log_in(&self, transport: &Transport, client: &Client) -> Result<LoginAnswer, LoginError> {
        if let Credentials::Token(token) = &self.credentials {
            let access_token = read_secret(token)?.expose_secret().to_owned().into();
            return Ok(LoginAnswer { access_token, ..LoginAnswer::default() });
        }
        let mut body = LoginRequest::by(GrantType::ClientCredentials);
        if let Credentials::Basic { user_password, .. } = &self.credentials {
            body.grant_type = GrantType::Basic;
            body.portal_access_token = read_secret(user_password)?.expose_secret().to_owned().into();
            (body.accept_eula, body.accept_tos, body.accept_privacy_policy) = (true, true, true);
        }
        self.ask(transport, client, &body).await
    }

    async fn refresh(
        &self,
        transport: &Transport,
        client: &Client,
        token: &SecretString,
    ) -> Result<LoginAnswer, LoginError> {
        let portal_access_token = token.expose_secret().to_owned().into();
        let body = LoginRequest { portal_access_token, ..LoginRequest::by(GrantType::Refresh) };
        self.ask(transport, client, &body).await
    }

    async fn ask(
        &self,
        transport: &Transport,
        client: &Client,
        body: &LoginRequest,
    ) -> Result<LoginAnswer, LoginError> {
        let basic = match &self.credentials {
            Credentials::Client { id, secret } | Credentials::Basic { client: Some((id, secret)), .. } => {
                Some((id.as_str(), read_secret(secret)?))
            }
            Credentials::Basic { client: None, .. } | Credentials::Token(_) => None,
            Credentials::Local { secret_file } => Some((LOCAL_CLIENT_ID, read_file(secret_file)?)),
        };
        let authorisation = match &basic {
            Some((id, secret)) => Authorisation::Basic { id, secret },
            None => Authorisation::None,
        };
        let request = endpoints::LOGIN.request_with([], body).map_err(|why| LoginError::Refused(why.to_string()))?;
        match transport.send(client, &request, authorisation, LOGIN_TIMEOUT).await {
            Ok(response) => read_answer(&response),
            Err(error) => Err(LoginError::Trouble(unsent(error.into()))),
        }
    }

    fn keep(&self, answer: LoginAnswer) -> Result<AccessToken, LoginError> {
        let claims = claims_of_jwt(answer.access_token.expose());
        let life = answer.expires_in.map(Duration::from_secs).or_else(|| claims.as_ref()?.life());
        let now = Instant::now();
        let margin = life.map(|life| (life / MARGIN_PART).min(MAX_MARGIN));
        let token = Token {
            text: SecretString::from(answer.access_token.expose()),
            renew_at: life.zip(margin).map(|(life, margin)| now + life.saturating_sub(margin)),
            expires_at: life.map(|life| now + life),
        };
        let mut held = self.held();
        held.generation += 1;
        held.token = Some(token);
        held.player = answer.active_player_uuid.or_else(|| claims.as_ref()?.player).or(held.player);
        if let Some(refresh) = answer.refresh_token {
            held.refresh = Some(SecretString::from(refresh.expose()));
        }
        held.usable().ok_or_else(|| LoginError::Refused("the service's token has expired already".to_owned()))
    }

    fn held(&self) -> std::sync::MutexGuard<'_, LoginState> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LoginState {
    /// The token, unless it has expired by our clock.
    fn usable(&self) -> Option<AccessToken> {
        let token = self.token.as_ref()?;
        let now = Instant::now();
        if token.expires_at.is_some_and(|expires_at| expires_at <= now) {
            return None;
        }
        let renewal_due = !self.renewing && token.renew_at.is_some_and(|renew_at| renew_at <= now);
        Some(AccessToken { text: token.text.clone(), generation: self.generation, renewal_due })
    }
}

/// A success brings a token. A refusal that a later attempt may not meet again is trouble, not a refused login.
fn read_answer(response: &Response) -> Result<LoginAnswer, LoginError> {
    let unreadable = || Refusal::Unreachable { why: "the login's answer can't be read".to_owned() };
    match ResponseKind::of(response, Unavailable::Unclear, clock::wall()) {
        ResponseKind::Success => match serde_json::from_slice::<LoginAnswer>(&response.body) {
            Ok(answer) if !answer.access_token.expose().is_empty() => Ok(answer),
            // Not even the parser's error is repeated: it may quote a token.
            Ok(_) | Err(_) => Err(LoginError::Trouble(unreadable())),
        },
        ResponseKind::BadToken { desc }
        | ResponseKind::Refused(Refusal::Credentials { desc } | Refusal::Invalid { desc }) => {
            let error = serde_json::from_slice::<ApiError>(&response.body);
            if error.is_ok_and(|error| error.error_code == codes::INTERNAL) {
                return Err(LoginError::Trouble(Refusal::Unreachable { why: format!("login: {desc}") }));
            }
            Err(LoginError::Refused(format!("login: {desc}")))
        }
        ResponseKind::Refused(refusal) => Err(LoginError::Trouble(unsent(refusal))),
    }
}

/// Whatever went wrong with a login: the call that it was for was never sent.
fn unsent(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Busy { .. } | Refusal::NoSuchApi => refusal,
        Refusal::Unreachable { why } => Refusal::Unreachable { why: format!("login: {why}") },
        other => Refusal::Unreachable { why: format!("login: {other}") },
    }
}

fn read_secret(secret: &Secret) -> Result<SecretString, LoginError> {
    match secret {
        Secret::Text(text) => Ok(text.clone()),
        Secret::File(path) => read_file(path),
    }
}

/// Links are followed: a Kubernetes secret is one. The file is small, so that reading it needs no thread of its own.
fn read_file(path: &Path) -> Result<SecretString, LoginError> {
    let refused = |why: &str| LoginError::Refused(format!("the secret in {} can't be read: {why}", path.display()));
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_SECRET).read_to_string(&mut text))
        .map_err(|error| refused(&error.to_string()))?;
    match text.trim_end() {
        "" => Err(refused("the file is empty")),
        secret => Ok(SecretString::from(secret)),
    }
}

/// What a JWT says about itself, for services that don't say it beside the token. Not verified: that is the service's business,
/// and a wrong value only costs a login.
#[derive(serde::Deserialize)]
struct Claims {
    #[serde(default)]
    exp: Option<f64>,
    #[serde(default)]
    player: Option<PlayerUuid>,
}

impl Claims {
    fn life(&self) -> Option<Duration> {
        let now = clock::wall().unix_millis() as f64 / 1000.0;
        Duration::try_from_secs_f64(self.exp? - now).ok()
    }
}

fn claims_of_jwt(token: &str) -> Option<Claims> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}
