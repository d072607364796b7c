//! Every operation, group by group as in [`crate::service::ops`].

mod discovery;
mod players;
mod records;
mod sessions;
mod social;

use super::operation::{Answer, Operation, operation};
use crate::model::{
    errors::codes,
    login::{LoginAnswer, LoginRequest},
    parameters::{EpicVoiceQuery, VoiceQuery},
};

const ADMIN: &[&str] = &["session_admin"];
const HOST: &[&str] = &["session_host"];
const ACTIVE: &[&str] = &["active_in_session"];

/// A group of operations, and what it is about.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) operations: Vec<Operation>,
}

pub(super) fn groups() -> Vec<Group> {
    let group = |name, about, operations| Group { name, about, operations };
    vec![
        group("login", "Who calls", login()),
        group(
            "sessions",
            "Create or join, read, change, end; by allocation, by player, by platform session",
            sessions::sessions(),
        ),
        group(
            "players",
            "Join and leave; add and remove others; what a player may do in a session",
            players::players(),
        ),
        group("invites", "Invite, promote, move and swap players", players::invites()),
        group("instances", "A session's host: requested or registered, updated, watched over", sessions::instances()),
        group("backfill", "More players for a running match", sessions::backfill()),
        group("servers", "Registration of dedicated servers that wait for an allocation", sessions::servers()),
        group("browser", "Listed sessions; search; matchmaking", discovery::browser()),
        group("presence", "The session that a player shows to friends", discovery::presence()),
        group("friends", "The friend graph", social::friends()),
        group(
            "notifications",
            "What players are told: a stream of events, a long poll, pages",
            social::notifications(),
        ),
        group("audit", "What happened to sessions", records::audit()),
        group("deserters", "Rules for players who desert, and where players stand under them", records::deserters()),
        group("config", "What the configuration says: session types, regions, templates, profiles", records::config()),
        group("voice", "Tokens of voice vendors, of which none is configured", voice()),
        group("service", "The service itself", service()),
    ]
}

fn login() -> Vec<Operation> {
    let refusals = [
        "invalid_grant_type",
        "client_credentials_invalid",
        "basic_disabled",
        "basic_token_empty",
        "basic_auth_incorrect_format",
        "refresh_token_invalid",
        codes::INTERNAL,
    ];
    vec![
        operation("login", "Logs in a client or a player, or renews a login")
            .header("authorization", "`Basic base64(client_id:secret)`, with client credentials.")
            .body::<LoginRequest>()
            .answers::<LoginAnswer>()
            .refuses(403, &refusals),
    ]
}

fn voice() -> Vec<Operation> {
    let none = |id, summary| operation(id, summary).refuses(403, &["voice_not_configured"]);
    vec![
        none("get_vivox_login_token", "A login token of Vivox"),
        none("get_vivox_action_token_me", "A token of Vivox for the caller").query::<VoiceQuery>(),
        none("get_vivox_action_token", "A token of Vivox for a player").query::<VoiceQuery>(),
        none("get_epic_voice_join_token_me", "A token of Epic's voice").query::<EpicVoiceQuery>(),
    ]
}

fn service() -> Vec<Operation> {
    let text = "text/plain; charset=utf-8";
    let of_service = |id, summary, answer| operation(id, summary).extension().answers_as(answer);
    vec![
        of_service("livez", "The service makes progress", Answer::Text(text)),
        of_service("readyz", "Changes can be stored", Answer::Text(text)),
        of_service("metrics", "What is counted, for Prometheus", Answer::Text(text)),
        of_service("openapi", "This document", Answer::Document),
    ]
}
