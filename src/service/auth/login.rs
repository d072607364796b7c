//! Logging in: `POST /users/v1/login`, by client credentials, by name and password, or by a refresh
//! token.
//!
//! | grant | accepted |
//! |---|---|
//! | `client_credentials` | `Authorization: Basic id:secret`: a client of `clients.json`; with `--local`, the client `local` with the file's secret |
//! | `basic` | with `--dev`: any `name:password`; with `--local`: the same together with the local client's secret. The player's UUID is derived from the name and stays the same |
//! | `refresh` | a refresh token of ours: of a client while its credentials are the same, of a player while names are accepted. What it may do is read anew |
//!
//! Everything else is `invalid_grant_type`.

use super::{Caller, EVERYTHING, clients::Client, secrets, tokens::TokenUse};
use crate::{
    model::{
        ids::PlayerUuid,
        login::{GrantType, LoginAnswer, LoginRequest, Restriction},
    },
    service::{
        Shared,
        http::{
            answer,
            reply::{Interrupt, Outcome, Refused, Reply},
            request::RequestContext,
        },
        settings::AuthSettings,
    },
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use std::{collections::BTreeSet, sync::Arc};
use uuid::Uuid;

/// Players' UUIDs are made of their names in this namespace: the same name is the same player everywhere.
pub(super) const PLAYERS: Uuid = Uuid::from_u128(0x7a1d_5d0e_93f4_4b5c_9c39_6f0a_67c2_41aa);
/// The client of the machine's local service.
pub(crate) const LOCAL: &str = "local";

/// Checks the credentials and answers with tokens.
pub(crate) async fn log_in(shared: &Arc<Shared>, request: &RequestContext) -> Outcome {
    let body: LoginRequest = request.body()?;
    let caller = match &body.grant_type {
        GrantType::ClientCredentials => client(shared, request).await,
        GrantType::Basic => player(shared, request, body.portal_access_token.expose()).await,
        GrantType::Refresh => renewed(shared, body.portal_access_token.expose()),
        GrantType::Other(other) => Err(refused("invalid_grant_type", format!("grant type {other} is not supported"))),
    };
    if caller.is_err() {
        let settings = shared.settings();
        let from = answer::address(&settings.trusted_proxies, request.peer, &request.headers);
        let client = basic_header(request).map(|(id, _)| id);
        // Only who is wrong is put off: what is right is never refused for the failures of others.
        shared.hashing.wrong_secret(client.as_deref().unwrap_or_default(), from, request.moment.now.mono)?;
    }
    let caller = caller?;
    let (mut restrictions, mut number) = (Vec::new(), None);
    if let Some(player) = caller.player {
        number = Some(shared.know_player(player).await?);
        restrictions = shared.settings().auth.restrictions_of(player, shared.clock.now().wall);
    }
    let caller = Caller { restricted: !restrictions.is_empty(), ..caller };
    tokens_for(shared, &caller, number, restrictions, body.include_refresh)
}

fn refused(code: &'static str, desc: impl Into<String>) -> Interrupt {
    Refused { auth_success: false, ..Refused::new(StatusCode::FORBIDDEN, code, desc) }.into()
}

fn bad_client() -> Interrupt {
    refused("client_credentials_invalid", "the client id or the secret is wrong")
}

async fn client(shared: &Arc<Shared>, request: &RequestContext) -> Outcome<Caller> {
    let (id, secret) = basic_header(request).ok_or_else(bad_client)?;
    let working = shared.clone();
    let name = id.clone();
    let check = move || check_client(&working, &name, secret.expose_secret());
    shared.hashing.log_in(check).await.unwrap_or_else(|| Err(bad_client()))
}

/// Slow: it may read a file and hash.
fn check_client(shared: &Shared, id: &str, secret: &str) -> Outcome<Caller> {
    let auth = &shared.settings().auth;
    if let Some(file) = auth.local_secret.as_ref().filter(|_| id == LOCAL) {
        let local = std::fs::read_to_string(file).map_err(|_| bad_client())?;
        let good = !local.trim().is_empty() && secrets::same(local.trim(), secret);
        return if good { Ok(local_caller()) } else { Err(bad_client()) };
    }
    let found = shared.clients.authenticated(id, secret, shared.clock.now().wall);
    let found = found.map_err(|why| {
        tracing::error!(%why, "clients can't log in");
        refused("internal_error", "the clients' credentials can't be read")
    });
    Ok(client_caller(id, &found?.ok_or_else(bad_client)?, auth))
}

fn client_caller(id: &str, client: &Client, auth: &AuthSettings) -> Caller {
    let permissions = client.permissions.as_ref().unwrap_or(&auth.client_permissions);
    Caller {
        subject: format!("client:{id}"),
        name: id.to_owned(),
        permissions: permissions.iter().cloned().collect(),
        generation: client.generation.clone(),
        ..Caller::nobody()
    }
}

fn local_caller() -> Caller {
    Caller {
        subject: format!("client:{LOCAL}"),
        name: LOCAL.to_owned(),
        permissions: BTreeSet::from([EVERYTHING.to_owned()]),
        ..Caller::nobody()
    }
}

fn basic_header(request: &RequestContext) -> Option<(String, SecretString)> {
    let (scheme, encoded) = request.header("authorization")?.split_once(' ')?;
    let encoded = encoded.trim().trim_end_matches('=');
    // Some clients write their credentials in the alphabet of URLs.
    let decoded = STANDARD_NO_PAD.decode(encoded).or_else(|_| URL_SAFE_NO_PAD.decode(encoded)).ok();
    let decoded = decoded.filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let text = String::from_utf8(decoded).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), secret.to_owned().into()))
}

async fn player(shared: &Arc<Shared>, request: &RequestContext, portal_token: &str) -> Outcome<Caller> {
    let auth = shared.settings().auth.clone();
    // Whoever holds the local client's secret may do everything already, and so be anybody.
    let local = auth.local_secret.is_some() && client(shared, request).await.is_ok_and(|caller| caller.name == LOCAL);
    if !auth.dev && !local {
        return Err(refused("basic_disabled", "names and passwords are accepted only with --dev"));
    }
    named(&auth, portal_token)
}

fn named(auth: &AuthSettings, portal_token: &str) -> Outcome<Caller> {
    let name = match portal_token.split_once(':') {
        _ if portal_token.is_empty() => return Err(refused("basic_token_empty", "send name:password")),
        Some((name, _)) if (1..=128).contains(&name.chars().count()) => name,
        _ => return Err(refused("basic_auth_incorrect_format", "send name:password")),
    };
    let id = player_of(name);
    Ok(Caller {
        subject: format!("player:{id}"),
        player: Some(id),
        name: name.to_owned(),
        platform: Some("Basic".to_owned()),
        permissions: auth.player_permissions.iter().cloned().collect::<BTreeSet<_>>(),
        ..Caller::nobody()
    })
}

/// The player of a name.
pub fn player_of(name: &str) -> PlayerUuid {
    PlayerUuid(Uuid::new_v5(&PLAYERS, name.as_bytes()))
}

/// Who holds a refresh token, with what it may do now.
fn renewed(shared: &Shared, token: &str) -> Outcome<Caller> {
    let now = shared.clock.now().wall;
    let bad = || refused("refresh_token_invalid", "the refresh token is bad or has expired; log in again");
    let caller = shared.tokens.verify(token, TokenUse::Refresh, now).ok_or_else(bad)?;
    let auth = &shared.settings().auth;
    let by_name = auth.dev || auth.local_secret.is_some();
    if caller.player.is_some() {
        let permissions = auth.player_permissions.iter().cloned().collect();
        return if by_name { Ok(Caller { permissions, ..(*caller).clone() }) } else { Err(bad()) };
    }
    if caller.name == LOCAL && auth.local_secret.is_some() {
        return Ok(local_caller());
    }
    let clients = shared.clients.current().map_err(|_| bad())?;
    let same = |client: &&Client| client.generation == caller.generation;
    let client = clients.get(&caller.name).filter(same).ok_or_else(bad)?;
    Ok(client_caller(&caller.name, client, auth))
}

/// Whether the credentials that an access token was given for have been taken back.
pub(crate) fn is_revoked(shared: &Shared, caller: &Caller) -> bool {
    let local = caller.name == LOCAL && shared.settings().auth.local_secret.is_some();
    if caller.player.is_some() || local {
        return false;
    }
    // While the file can't be read, nothing was taken back.
    shared
        .clients
        .current()
        .is_ok_and(|clients| clients.get(&caller.name).is_none_or(|client| client.generation != caller.generation))
}

fn tokens_for(
    shared: &Shared,
    caller: &Caller,
    number: Option<i64>,
    restrictions: Vec<Restriction>,
    refresh: bool,
) -> Outcome {
    let (auth, now) = (&shared.settings().auth, shared.clock.now().wall);
    let issue = |purpose, lifetime| {
        shared.tokens.issue(caller, purpose, now, lifetime).map_err(|why| {
            tracing::error!(%why, "could not sign a token");
            refused("internal_error", "could not sign a token")
        })
    };
    let service = Uuid::new_v5(&PLAYERS, b"service");
    let refresh_token =
        if refresh { Some(issue(TokenUse::Refresh, auth.refresh_lifetime.get())?.into()) } else { None };
    Ok(Reply::json(&LoginAnswer {
        access_token: issue(TokenUse::Access, auth.access_lifetime.get())?.into(),
        refresh_token,
        token_type: "Bearer".to_owned(),
        expires_in: Some(auth.access_lifetime.get().as_secs()),
        permissions: caller.permissions.iter().cloned().collect(),
        restrictions,
        display_name: caller.name.clone(),
        client_id: caller.subject.clone(),
        client_uuid: Uuid::new_v5(&PLAYERS, caller.subject.as_bytes()),
        publisher_uuid: service,
        tenant_uuid: service,
        config_elector_uuid: service,
        active_player_uuid: caller.player,
        active_player_id: number,
        person_id: caller.player,
        portal_user_id: caller.player.map(|_| caller.name.clone()),
        platform: caller.platform.clone(),
    }))
}
