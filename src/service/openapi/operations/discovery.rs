//! How players find a session: the browser, search, matchmaking, presence.

use super::ADMIN;
use crate::{
    model::{
        discovery::{BrowserPage, BrowserUpdate, Matched, Matchmaking, PresenceSession, SearchAnswer, SessionSearch},
        errors::codes,
        parameters::{BrowserQuery, Refresh},
        session::BrowserInfo,
    },
    service::openapi::operation::{Operation, operation},
};

pub(super) fn browser() -> Vec<Operation> {
    let listing = |id, summary| operation(id, summary).places(ADMIN).query::<Refresh>().tagged().if_match();
    vec![
        operation("get_browser_sessions_by_type", "Reads a page of the listed sessions of a type")
            .query::<BrowserQuery>()
            .answers::<BrowserPage>()
            .conditional(),
        listing("post_browser_info", "Lists a session")
            .body::<BrowserUpdate>()
            .keeps()
            .answers::<BrowserInfo>()
            .refuses(403, &["not_listable"]),
        listing("update_browser_info", "Changes a session's listing")
            .body::<BrowserUpdate>()
            .keeps()
            .answers::<BrowserInfo>()
            .refuses(404, &["browser_not_found"]),
        operation("delete_browser_info", "Takes a session out of the browser")
            .places(ADMIN)
            .query::<Refresh>()
            .answers_nothing()
            .if_match(),
        operation("search_sessions", "Finds sessions by their settings")
            .extension()
            .body::<SessionSearch>()
            .answers::<SearchAnswer>(),
        operation("start_matchmaking", "Joins the best session that a search finds, else creates one")
            .extension()
            .for_players()
            .body::<Matchmaking>()
            .keeps()
            .answers::<Matched>()
            .refuses(400, &[codes::TEMPLATE_NOT_FOUND, codes::TEAM_BELOW_OCCUPANCY])
            .refuses(403, &["session_type_not_creatable", codes::SANCTIONED, codes::TEAM_FULL, codes::PLAYER_NOT_FOUND])
            .refuses(409, &[codes::TOO_MANY_SESSIONS]),
    ]
}

pub(super) fn presence() -> Vec<Operation> {
    let shown = |id, summary| {
        operation(id, summary).extension().answers::<PresenceSession>().refuses(404, &[codes::NO_PRESENCE])
    };
    vec![
        shown("get_presence_session_self", "Reads the session that the caller shows to friends").for_players(),
        shown("set_presence_session", "Shows a session to friends")
            .for_players()
            .body::<PresenceSession>()
            .refuses(403, &["not_in_session"])
            .refuses(404, &[codes::SESSION_NOT_FOUND]),
        operation("clear_presence_session", "Shows friends no session any more")
            .extension()
            .for_players()
            .answers_nothing(),
        shown("get_presence_session", "Reads the session that a friend shows")
            .refuses(403, &[codes::NOT_FRIENDS, codes::FRIENDS_UNAVAILABLE]),
    ]
}
