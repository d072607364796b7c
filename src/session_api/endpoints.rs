//! Every endpoint that the agent and the players' programs use, each defined once: method, path,
//! body, answer.
//!
//! ```text
//!   CREATE_SESSION = POST "/session/v1/session": CreateSession => SessionJoinResponse
//!        │
//!        ├─ request_with(ids, &body) ─► ApiRequest: encoded, ready to be sent
//!        └─ ApiRequest::answer(&response) ─► SessionJoinResponse | Refusal
//! ```
//!
//! Bodies and answers are types of [`crate::model`]. What error answers mean is the same for all
//! endpoints and stands in `response`; one row says more: a 503 to [`ACKNOWLEDGE_BACKFILL`] means
//! that the backfill has expired.
//!
//! Invariants: the number of ids that a path takes is checked when this is compiled; an id can't
//! change the path that it stands in; a test finds every row among the service's operations.

use super::{
    response::bounded,
    transport::{Request, Response, Unavailable},
};
use crate::model::{
    audit::CreateAuditRequest,
    calls::Refusal,
    discovery::{CreateSession, Matched, Matchmaking, PresenceSession, SearchAnswer, SessionSearch, SessionSettings},
    friends::{FriendRelationship, FriendsList},
    ids::PlayerUuid,
    login::{LoginAnswer, LoginRequest},
    player::{PlayerInviteRequest, PlayerSessions, SelfSessionPlayerUpdateRequest, SessionPlayerUpdateRequest},
    session::{
        AcknowledgeBackfillResponse, BackfillAck, BackfillSettings, BackfillUpdate, BaseBackfillRequest, BrowserInfo,
        ConnectionInfo, HealthSettings, HealthUpdate, InstanceHealthStatusResponse, InstanceInfo, InstanceRequest,
        InstanceUpdate, Session, SessionJoinResponse,
    },
    sic::{Register, Registered, Servers, States},
};
use http::{HeaderName, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{
    Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use std::{fmt::Display, marker::PhantomData, ops::Deref};

/// One row of the table. `IDS`: how many ids its path takes.
#[derive(Debug)]
pub(crate) struct Endpoint<const IDS: usize, Body, Answer> {
    method: Method,
    /// Below the base URL, with a parameter in braces for each id.
    path: &'static str,
    unavailable: Unavailable,
    types: PhantomData<fn(Body) -> Answer>,
}

/// Names a request to make something: the same one again makes nothing new.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A request of an endpoint that answers with an `Answer`.
#[derive(Debug)]
pub struct ApiRequest<Answer> {
    http: Request,
    answer: PhantomData<fn() -> Answer>,
}

/// The endpoint takes no body.
#[derive(Debug)]
pub(crate) enum NoBody {}

/// The endpoint takes a body in which every member may be left out.
#[derive(Debug, Serialize)]
pub(crate) struct EmptyBody {}

/// The answer says nothing beyond the success.
pub(crate) type NoAnswer = IgnoredAny;

macro_rules! endpoints {
    ($($name:ident = $method:ident $path:literal: $body:ty => $answer:ty $(, $unavailable:ident)?;)*) => {
        $(
            #[doc = concat!("`", stringify!($method), " ", $path, "`")]
            pub(crate) const $name: Endpoint<{ ids_in($path) }, $body, $answer> =
                Endpoint::new(Method::$method, $path)$(.unavailable(Unavailable::$unavailable))?;
        )*

        /// Name, method and path of each.
        #[cfg(test)]
        const ALL: &[(&str, Method, &str)] = &[$((stringify!($name), Method::$method, $path)),*];
    };
}

endpoints! {
    // Sessions.
    CREATE_SESSION = POST "/session/v1/session": CreateSession => SessionJoinResponse;
    READ_SESSION = GET "/session/v1/session/{session_id}": NoBody => Session;
    UPDATE_SESSION = PATCH "/session/v1/session/{session_id}": SessionSettings => Session;
    DELETE_SESSION = DELETE "/session/v1/session/{session_id}": NoBody => NoAnswer;
    FIND_ALLOCATION = GET "/session/v1/session/allocation/{allocation_id}": NoBody => Session;
    LIST_IN_BROWSER = POST "/session/v1/session/{session_id}/browser": BrowserInfo => NoAnswer;
    UPDATE_IN_BROWSER = PATCH "/session/v1/session/{session_id}/browser": BrowserInfo => NoAnswer;
    SEARCH_SESSIONS = POST "/session/v1/browser:search": SessionSearch => SearchAnswer;
    MAKE_MATCH = POST "/session/v1/matchmaking": Matchmaking => Matched;

    // Instances.
    POST_INSTANCE = POST "/session/v1/session/{session_id}/instance": InstanceRequest => InstanceInfo;
    PATCH_INSTANCE = PATCH "/session/v1/session/{session_id}/instance": InstanceUpdate => InstanceInfo;
    POST_HEALTH = POST "/session/v1/session/{session_id}/instance/health":
        HealthUpdate => InstanceHealthStatusResponse;
    HEALTH_CONFIG = GET "/session/v1/instance/health/config": NoBody => HealthSettings;
    WRITE_AUDIT = POST "/session/v1/audit": CreateAuditRequest => NoAnswer;
    CONNECTION_INFO = GET "/session/v1/connection-info": NoBody => ConnectionInfo;

    // Backfill.
    BACKFILL_CONFIG = GET "/session/v1/backfill/config": NoBody => BackfillSettings;
    ACKNOWLEDGE_BACKFILL = POST "/session/v1/backfill/session/{session_id}":
        BackfillAck => AcknowledgeBackfillResponse, Expired;
    UPDATE_BACKFILL = PATCH "/session/v1/backfill/session/{session_id}": BackfillUpdate => NoAnswer;
    DELETE_BACKFILL = DELETE "/session/v1/backfill/session/{session_id}": BaseBackfillRequest => NoAnswer;

    // Members.
    JOIN_SESSION = POST "/session/v1/session/{session_id}/player/me": SelfSessionPlayerUpdateRequest => NoAnswer;
    LEAVE_SESSION = DELETE "/session/v1/session/{session_id}/player/me": NoBody => NoAnswer;
    ADD_PLAYER = POST "/session/v1/session/{session_id}/player/{player_uuid}": SessionPlayerUpdateRequest => NoAnswer;
    REMOVE_PLAYER = DELETE "/session/v1/session/{session_id}/player/{player_uuid}": NoBody => NoAnswer;
    INVITE_PLAYERS = POST "/session/v2/session/{session_id}/player/{player_uuid}:invite":
        PlayerInviteRequest => NoAnswer;

    // The player who asks.
    OWN_SESSIONS = GET "/session/v1/player/me/session": NoBody => PlayerSessions;
    OWN_EVENTS = GET "/session/v1/player/me/events": NoBody => NoAnswer;
    OWN_PRESENCE = GET "/session/v1/player/me/presence-session": NoBody => PresenceSession;
    SHOW_PRESENCE = PUT "/session/v1/player/me/presence-session": PresenceSession => NoAnswer;
    CLEAR_PRESENCE = DELETE "/session/v1/player/me/presence-session": NoBody => NoAnswer;
    PRESENCE_OF = GET "/session/v1/player/{player_uuid}/presence-session": NoBody => PresenceSession;

    // Friends: first the player whose friends they are.
    LIST_FRIENDS = GET "/friends/v2/player/{player_uuid}/friend": NoBody => FriendsList;
    READ_FRIEND = GET "/friends/v2/player/{player_uuid}/friend/{friend_uuid}": NoBody => FriendRelationship;
    ADD_FRIEND = PUT "/friends/v2/player/{player_uuid}/friend/{friend_uuid}": EmptyBody => FriendRelationship;
    REMOVE_FRIEND = DELETE "/friends/v2/player/{player_uuid}/friend/{friend_uuid}": NoBody => NoAnswer;

    // Login, and registering as a free server.
    LOGIN = POST "/users/v1/login": LoginRequest => LoginAnswer;
    SIC_REGISTER = POST "/instances/sic_registration/v3/register": Register => Registered;
    SIC_STATE = POST "/instances/sic_registration/v1/state": Servers => States;
    SIC_DEREGISTER = POST "/instances/sic_registration/v1/deregister": Servers => Registered;
    SIC_RELEASE = POST "/instances/sic_registration/v1/release": Servers => Registered;
}

/// One page of a player's friends; pages are counted from 0.
pub(crate) fn page_of_friends(player: PlayerUuid, page: u32, limit: u32) -> Result<ApiRequest<FriendsList>, Refusal> {
    Ok(LIST_FRIENDS.request([&player])?.query("page", page).query("limit", limit))
}

impl<const IDS: usize, Body, Answer> Endpoint<IDS, Body, Answer> {
    const fn new(method: Method, path: &'static str) -> Self {
        assert!(ids_in(path) == IDS, "the path takes another number of ids");
        Endpoint { method, path, unavailable: Unavailable::Unclear, types: PhantomData }
    }

    const fn unavailable(mut self, meaning: Unavailable) -> Self {
        self.unavailable = meaning;
        self
    }

    fn build(&self, ids: [&dyn Display; IDS], body: Option<Vec<u8>>) -> Result<ApiRequest<Answer>, Refusal> {
        let mut parts = self.path.split(['{', '}']);
        let mut path = parts.next().unwrap_or_default().to_owned();
        for id in ids {
            parts.next(); // The parameter's name.
            path += &segment(&id.to_string())?;
            path += parts.next().unwrap_or_default();
        }
        let http = Request { body, unavailable: self.unavailable, ..Request::new(self.method.clone(), path) };
        Ok(ApiRequest { http, answer: PhantomData })
    }
}

impl<const IDS: usize, Answer> Endpoint<IDS, NoBody, Answer> {
    /// A request about these ids. [`Refusal::Invalid`] where one can't stand in a path.
    pub(crate) fn request(&self, ids: [&dyn Display; IDS]) -> Result<ApiRequest<Answer>, Refusal> {
        self.build(ids, None)
    }
}

impl<const IDS: usize, Body: Serialize, Answer> Endpoint<IDS, Body, Answer> {
    /// A request about these ids, with a body. [`Refusal::Invalid`] where an id can't stand in a path.
    pub(crate) fn request_with(&self, ids: [&dyn Display; IDS], body: &Body) -> Result<ApiRequest<Answer>, Refusal> {
        let invalid = |error| Refusal::Invalid { desc: format!("the request can't be written as JSON: {error}") };
        self.build(ids, Some(serde_json::to_vec(body).map_err(invalid)?))
    }
}

impl<Answer> ApiRequest<Answer> {
    /// With one more header; a value that can't be one is left out.
    #[must_use]
    pub fn header(self, name: HeaderName, value: &str) -> Self {
        ApiRequest { http: self.http.header(name, value), ..self }
    }

    /// With one more parameter of the query.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl Display) -> Self {
        self.http.path.push(if self.http.path.contains('?') { '&' } else { '?' });
        self.http.path += &format!("{name}={}", utf8_percent_encode(&value.to_string(), RESERVED));
        self
    }

    /// The request alone, where the answer's type is known otherwise.
    pub fn into_http(self) -> Request {
        self.http
    }
}

impl<Answer: DeserializeOwned> ApiRequest<Answer> {
    /// What a success says. A body that can't be read leaves open what was done.
    #[expect(clippy::unused_self, reason = "the request knows the type of its answer")]
    pub(crate) fn answer(&self, response: &Response) -> Result<Answer, Refusal> {
        answer(response)
    }
}

/// What a success says, read as an `Answer`; an empty body is read as `null`.
pub(crate) fn answer<Answer: DeserializeOwned>(response: &Response) -> Result<Answer, Refusal> {
    let body = if response.body.is_empty() { b"null" } else { &response.body[..] };
    serde_json::from_slice(body).map_err(|error| Refusal::Ambiguous {
        why: bounded(&format!("the answer ({}) can't be read: {error}", response.status.as_u16())),
    })
}

impl<Answer> Deref for ApiRequest<Answer> {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.http
    }
}

/// What is encoded: everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Text as one segment of a path. Dots alone would be taken for a way through directories.
pub(crate) fn segment(text: &str) -> Result<String, Refusal> {
    if matches!(text, "" | "." | "..") {
        return Err(Refusal::Invalid { desc: format!("{text:?} can't be an id in a path") });
    }
    Ok(utf8_percent_encode(text, RESERVED).to_string())
}

const fn ids_in(path: &str) -> usize {
    let (mut count, mut at) = (0, 0);
    while at < path.len() {
        if path.as_bytes()[at] == b'{' {
            count += 1;
        }
        at += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{
        http::route::{Found, Router},
        ops,
    };
    use http::{HeaderMap, StatusCode};
    use std::collections::BTreeSet;

    #[test]
    fn every_endpoint_is_an_operation_of_the_service_and_stands_here_once() {
        let router = Router::new(&ops::tables());
        let mut seen = BTreeSet::new();
        for (name, method, path) in ALL {
            let concrete = path.replace(['{', '}'], "");
            match router.find(method, &concrete) {
                Found::Row(row, _) => {
                    let parameters = |path: &str| path.matches('{').count();
                    assert_eq!(parameters(row.path), parameters(path), "{name}: {path} is {}", row.path);
                    assert!(seen.insert(row.operation), "{name}: {} stands here twice", row.operation);
                }
                Found::OtherMethods(_) | Found::Nothing => panic!("{name}: the service has no {method} {path}"),
            }
        }
        assert!(seen.len() > 30, "{}", seen.len());
    }

    #[test]
    fn ids_are_encoded_where_they_stand() {
        let path = |id: &str| READ_SESSION.request([&id]).map(|request| request.path.clone());
        assert_eq!(path("a-1._~").as_deref(), Ok("/session/v1/session/a-1._~"));
        assert_eq!(path("a/b?c%ü").as_deref(), Ok("/session/v1/session/a%2Fb%3Fc%25%C3%BC"));
        for bad in ["", ".", ".."] {
            assert!(matches!(path(bad), Err(Refusal::Invalid { .. })), "{bad:?}");
        }
        let two = INVITE_PLAYERS.request_with([&"s 1", &"p"], &PlayerInviteRequest::default()).unwrap();
        assert_eq!(two.path, "/session/v2/session/s%201/player/p:invite");
        assert_eq!(two.body.as_deref(), Some(&b"{}"[..]));
    }

    #[test]
    fn a_query_grows_by_its_parameters() {
        let request = LIST_FRIENDS.request([&"p"]).unwrap().query("page", 2).query("after", "a&b");
        assert_eq!(request.path, "/friends/v2/player/p/friend?page=2&after=a%26b");
    }

    #[test]
    fn an_answer_that_cannot_be_read_leaves_open_what_was_done() {
        let response = |body: &'static str| Response {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: body.as_bytes().into(),
        };
        let request = CONNECTION_INFO.request([]).unwrap();
        assert_eq!(request.answer(&response(r#"{"ip":"::1"}"#)).map(|info| info.ip.to_string()), Ok("::1".to_owned()));
        let refusal = request.answer(&response("<html>")).unwrap_err();
        assert!(matches!(&refusal, Refusal::Ambiguous { why } if why.contains("(200) can't be read")), "{refusal}");
        assert!(LEAVE_SESSION.request([&"s"]).unwrap().answer(&response("")).is_ok(), "an empty body says enough");
    }
}
