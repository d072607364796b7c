//! Maps each [`Call`] of the core to its endpoint, and the service's answer to what the core takes.
//!
//! | call | endpoint |
//! |---|---|
//! | `CreateSession` | [`CREATE_SESSION`], with our extensions `force_create` and `settings` |
//! | `ReadSession` | [`READ_SESSION`]; the caller makes it conditional |
//! | `FindAllocation` | [`FIND_ALLOCATION`] |
//! | `DeleteSession` | [`DELETE_SESSION`] |
//! | `PostInstance`, `PatchInstance` | [`POST_INSTANCE`], [`PATCH_INSTANCE`] |
//! | `PostHealth`, `HealthConfig` | [`POST_HEALTH`], [`HEALTH_CONFIG`] |
//! | `BackfillConfig`, `AckBackfill` | [`BACKFILL_CONFIG`], [`ACKNOWLEDGE_BACKFILL`] |
//! | `UpdateBackfill`, `DeleteBackfill` | [`UPDATE_BACKFILL`], [`DELETE_BACKFILL`] |
//! | `AddPlayer`, `RemovePlayer` | [`ADD_PLAYER`], [`REMOVE_PLAYER`] |
//! | `UpdateBrowser` | [`LIST_IN_BROWSER`]; [`UPDATE_IN_BROWSER`] where it is listed already |
//! | `Audit` | [`WRITE_AUDIT`] |

use crate::{
    model::{
        CustomData,
        audit::CreateAuditRequest,
        calls::{Answer, Call, NewSession, Refusal},
        discovery::{BrowserSettings, CreateSession, SessionSettings, TeamSettings},
        ids::SessionId,
        player::{ClientSettings, SessionPlayerUpdateRequest},
        session::{BaseBackfillRequest, BrowserInfo, HealthUpdate, Joinability, Session},
    },
    session_api::{
        endpoints::{
            self, ACKNOWLEDGE_BACKFILL, ADD_PLAYER, ApiRequest, BACKFILL_CONFIG, CREATE_SESSION, DELETE_BACKFILL,
            DELETE_SESSION, FIND_ALLOCATION, HEALTH_CONFIG, IDEMPOTENCY_KEY, LIST_IN_BROWSER, PATCH_INSTANCE,
            POST_HEALTH, POST_INSTANCE, READ_SESSION, REMOVE_PLAYER, UPDATE_BACKFILL, UPDATE_IN_BROWSER, WRITE_AUDIT,
        },
        transport::{Request, Response},
    },
};
use semver::Version;
use serde::de::DeserializeOwned;

/// The version of a host whose game has none: the contract requires one.
const NO_VERSION: Version = Version::new(0, 0, 0);

type ReadAnswer = Box<dyn Fn(&Response) -> Result<Answer, Refusal> + Send + Sync>;

/// A request, and how its answer is read.
pub(super) struct Prepared {
    pub request: Request,
    read: ReadAnswer,
}

impl Prepared {
    /// What a success says.
    pub(super) fn answer(&self, response: &Response) -> Result<Answer, Refusal> {
        (self.read)(response)
    }
}

/// The request that `call` is.
pub(super) fn prepare(call: &Call) -> Result<Prepared, Refusal> {
    Ok(match call {
        Call::CreateSession(new) => {
            let request = CREATE_SESSION.request_with([], &new_session(new))?.header(IDEMPOTENCY_KEY, &new.request);
            row(request, |created| Answer::Created(created.session_id))
        }
        Call::ReadSession { session } => row(READ_SESSION.request([session])?, session_answer),
        Call::FindAllocation { allocation } => row(FIND_ALLOCATION.request([allocation])?, session_answer),
        Call::DeleteSession { session } => done(DELETE_SESSION.request([session])?),
        Call::PostInstance { session, body } => {
            row(POST_INSTANCE.request_with([session], body)?, |info| Answer::Instance(Box::new(info)))
        }
        Call::PatchInstance { session, body } => {
            row(PATCH_INSTANCE.request_with([session], body)?, |info| Answer::Instance(Box::new(info)))
        }
        Call::PostHealth { session, instance, health } => {
            let body = HealthUpdate { instance_health: *health, instance_id: instance.clone() };
            row(POST_HEALTH.request_with([session], &body)?, |now| Answer::Health(now.updated_instance_health))
        }
        Call::HealthConfig => row(HEALTH_CONFIG.request([])?, Answer::HealthConfig),
        Call::BackfillConfig => row(BACKFILL_CONFIG.request([])?, Answer::BackfillConfig),
        Call::AckBackfill { session, body } => row(ACKNOWLEDGE_BACKFILL.request_with([session], body)?, |arrived| {
            Answer::Backfilled(arrived.backfilled_players)
        }),
        Call::UpdateBackfill { session, body } => done(UPDATE_BACKFILL.request_with([session], body)?),
        Call::DeleteBackfill { session, instance } => {
            let body = BaseBackfillRequest { instance_id: instance.clone() };
            done(DELETE_BACKFILL.request_with([session], &body)?)
        }
        Call::AddPlayer { session, player, team } => {
            done(ADD_PLAYER.request_with([session, player], &SessionPlayerUpdateRequest::member(*team))?)
        }
        Call::RemovePlayer { session, player } => done(REMOVE_PLAYER.request([session, player])?),
        Call::UpdateBrowser { session, data } => done(LIST_IN_BROWSER.request_with([session], &listing(data))?),
        Call::Audit { session, instance, name, reason, at } => {
            let body = CreateAuditRequest {
                instance_id: Some(instance.clone()),
                reason: reason.clone(),
                // When it happened, which may be long before it could be told.
                custom_data: Some(CustomData::from([("at".to_owned(), at.to_string())])),
                ..CreateAuditRequest::new(*name, session.clone())
            };
            done(WRITE_AUDIT.request_with([], &body)?)
        }
    })
}

/// [`Call::UpdateBrowser`] for a session that is listed already.
pub(super) fn update_in_browser(session: &SessionId, data: &CustomData) -> Result<Prepared, Refusal> {
    Ok(done(UPDATE_IN_BROWSER.request_with([session], &listing(data))?))
}

fn row<A: DeserializeOwned + 'static>(request: ApiRequest<A>, answer: fn(A) -> Answer) -> Prepared {
    let read = move |response: &Response| Ok(answer(endpoints::answer(response)?));
    Prepared { request: request.into_http(), read: Box::new(read) }
}

/// For a call whose success says all there is to say: the body isn't read.
fn done<A>(request: ApiRequest<A>) -> Prepared {
    Prepared { request: request.into_http(), read: Box::new(|_| Ok(Answer::Done)) }
}

fn session_answer(session: Session) -> Answer {
    Answer::Session(Box::new(session))
}

fn listing(data: &CustomData) -> BrowserInfo {
    BrowserInfo { custom_data: data.clone(), created_timestamp: None }
}

fn new_session(new: &NewSession) -> CreateSession {
    let team = |size: &u32| TeamSettings { max_size: Some(*size), custom_data: None };
    CreateSession {
        session_type: new.session_type.clone(),
        client_version: new.version.clone().unwrap_or(NO_VERSION),
        // Required of every caller, also of one that is no player.
        client_settings: ClientSettings::on("Anon"),
        crossplay_preferences: None,
        password: None,
        region_id: new.region.clone(),
        player: None,
        force_create: true,
        settings: SessionSettings {
            joinability: Some(Joinability { open: new.joinable, ..Joinability::default() }),
            custom_data: (!new.custom_data.is_empty()).then(|| new.custom_data.clone()),
            teams: (!new.teams.is_empty()).then(|| new.teams.iter().map(team).collect()),
            browser: (!new.browser.is_empty()).then(|| BrowserSettings { custom_data: new.browser.clone() }),
            ..SessionSettings::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{session::StartupParams, time::Timestamp};
    use serde_json::Value;
    use serde_json::json;

    fn body(call: &Call) -> Value {
        serde_json::from_slice(&prepare(call).unwrap().request.body.unwrap()).unwrap()
    }

    #[test]
    fn an_own_session_is_new_and_has_its_settings_from_the_start() {
        let mut new = NewSession {
            request: "a1".into(),
            session_type: "match".into(),
            region: None,
            version: None,
            startup_params: StartupParams::default(),
            joinable: true,
            browser: CustomData::new(),
            custom_data: CustomData::new(),
            teams: Vec::new(),
        };
        let common = json!({
            "session_type": "match", "client_version": "0.0.0", "force_create": true,
            "client_settings": {"platform": "Anon", "input": "keyboardandmouse"},
            "settings": {"joinability": {"open": true, "friends": false, "platform": true}},
        });
        assert_eq!(body(&Call::CreateSession(Box::new(new.clone()))), common);
        let request = prepare(&Call::CreateSession(Box::new(new.clone()))).unwrap().request;
        assert_eq!(request.headers[IDEMPOTENCY_KEY], "a1");

        new.region = Some("eu".into());
        new.version = Some(Version::new(1, 2, 3));
        new.browser = CustomData::from([("map".to_owned(), "a".to_owned())]);
        new.custom_data = CustomData::from([("mode".to_owned(), "b".to_owned())]);
        new.teams = vec![4, 2];
        let mut expected = common;
        expected["region_id"] = json!("eu");
        expected["client_version"] = json!("1.2.3");
        expected["settings"]["browser"] = json!({"custom_data": {"map": "a"}});
        expected["settings"]["custom_data"] = json!({"mode": "b"});
        expected["settings"]["teams"] = json!([{"max_size": 4}, {"max_size": 2}]);
        assert_eq!(body(&Call::CreateSession(Box::new(new))), expected);
    }

    #[test]
    fn what_is_unset_is_left_out() {
        let session: SessionId = "s1".parse().unwrap();
        let player = crate::model::ids::PlayerUuid(uuid::Uuid::nil());
        let add = Call::AddPlayer { session: session.clone(), player, team: None };
        assert_eq!(body(&add), json!({"status": "member"}));
        let audit = Call::Audit {
            session,
            instance: "i1".parse().unwrap(),
            name: "closed",
            reason: None,
            at: Timestamp::EPOCH,
        };
        let expected = json!({
            "event_name": "closed", "session_id": "s1", "instance_id": "i1",
            "custom_data": {"at": "1970-01-01T00:00:00.000Z"},
        });
        assert_eq!(body(&audit), expected);
    }
}
