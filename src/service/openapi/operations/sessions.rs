//! Sessions, and what hosts them: instances, backfill, registered servers.

use super::{ACTIVE, ADMIN, HOST};
use crate::{
    model::{
        discovery::{CreateSession, SessionSettings, ShortCode, TeamSettings},
        errors::codes,
        parameters::{Refresh, Waiting},
        player::{PlayerSessions, SelfSessionPlayerUpdateRequest, SessionTeam},
        session::{
            AcknowledgeBackfillResponse, BackfillAck, BackfillAttach, BackfillInfo, BackfillSettings, BackfillUpdate,
            BaseBackfillRequest, HealthSettings, HealthUpdate, InstanceHealthStatusResponse, InstanceInfo,
            InstanceRequest, InstanceUpdate, PlatformSession, Session, SessionJoinResponse,
        },
        sic::{Register, Registered, Servers, States},
    },
    service::openapi::operation::{Operation, operation},
};

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn sessions() -> Vec<Operation> {
    vec![
        operation("create_or_join_session", "Creates a session, or joins one of its type where the type says so")
            .body::<CreateSession>()
            .header(
                "Idempotency-Key",
                "Names this request: the same caller's with the same key makes no second session.",
            )
            .keeps()
            .answers::<SessionJoinResponse>()
            .refuses(400, &[codes::TEMPLATE_NOT_FOUND, codes::TEAM_BELOW_OCCUPANCY, "invalid_idempotency_key"])
            .refuses(403, &["session_type_not_creatable", codes::SANCTIONED, codes::TEAM_FULL, codes::PLAYER_NOT_FOUND])
            .refuses(409, &[codes::TOO_MANY_SESSIONS]),
        operation("get_session_by_id", "Reads a session; those who aren't in it see less")
            .query::<Refresh>()
            .answers::<Session>()
            .conditional(),
        operation("update_session_by_id", "Changes a session's settings: what is named is replaced whole")
            .places(ADMIN)
            .query::<Refresh>()
            .body::<SessionSettings>()
            .keeps()
            .answers::<Session>()
            .conditional()
            .if_match()
            .refuses(400, &[codes::TEAM_BELOW_OCCUPANCY])
            .refuses(409, &[codes::CONSTANT_SETTING]),
        operation("delete_session", "Ends a session").places(ADMIN).query::<Refresh>().answers_nothing(),
        operation("update_team_by_id", "Changes a team's size or data")
            .places(ADMIN)
            .query::<Refresh>()
            .body::<TeamSettings>()
            .keeps()
            .answers::<SessionTeam>()
            .tagged()
            .if_match()
            .refuses(400, &[codes::TEAM_BELOW_OCCUPANCY])
            .refuses(404, &[codes::NOT_FOUND]),
        operation("get_session_by_allocation_id", "Reads the session of an allocation")
            .answers::<Session>()
            .conditional()
            .refuses(404, &["allocation_not_found"]),
        operation("generate_session_short_code", "Makes a short code that stands for the session's id")
            .places(ACTIVE)
            .query::<Refresh>()
            .answers::<ShortCode>()
            .refuses(409, &["short_code_exists"])
            .refuses(500, &["no_short_code"]),
        player_sessions("get_player_sessions_self").for_players(),
        player_sessions("get_player_sessions_by_uuid_v2"),
        player_sessions("get_player_sessions_by_uuid"),
        player_sessions("get_player_sessions"),
        operation("add_platform_session_to_rally_here_session", "Links a platform's own session to a session")
            .places(ACTIVE)
            .query::<Refresh>()
            .keeps()
            .answers::<PlatformSession>()
            .tagged()
            .refuses(404, &["platform_session_not_found"]),
        operation("delete_platform_session_from_rally_here_session", "Unlinks a platform's own session")
            .places(ACTIVE)
            .query::<Refresh>()
            .answers_nothing()
            .refuses(404, &["platform_session_not_found"]),
        operation("get_platform_session_info", "Reads the platform's own session")
            .places(ACTIVE)
            .answers::<PlatformSession>()
            .conditional()
            .refuses(404, &["platform_session_not_found"]),
        join_platform("join_session_by_platform_session_id_self")
            .refuses(409, &[codes::TOO_MANY_SESSIONS])
            .for_players(),
        leave_platform("leave_session_by_platform_session_self").for_players(),
        join_platform("join_session_by_platform_session_by_uuid"),
        leave_platform("leave_session_by_platform_session_by_uuid"),
    ]
}

fn player_sessions(id: &'static str) -> Operation {
    operation(id, "Reads a player's sessions and invites")
        .answers::<PlayerSessions>()
        .conditional()
        .refuses(404, &[codes::PLAYER_NOT_FOUND, codes::SESSION_NOT_FOUND])
}

fn join_platform(id: &'static str) -> Operation {
    operation(id, "Joins a session through a platform's own session that is linked to it")
        .body::<SelfSessionPlayerUpdateRequest>()
        .answers::<Session>()
        .conditional()
        .joins()
        .refuses(403, &["wrong_platform"])
        .refuses(404, &["platform_session_not_found", codes::SESSION_NOT_FOUND])
}

fn leave_platform(id: &'static str) -> Operation {
    operation(id, "Leaves a session through a platform's own session that is linked to it")
        .answers_nothing()
        .refuses(404, &["platform_session_not_found", codes::PLAYER_NOT_FOUND, codes::SESSION_NOT_FOUND])
}

pub(super) fn instances() -> Vec<Operation> {
    vec![
        operation("create_instance_request", "Requests an instance, or registers one as its host")
            .places(ADMIN)
            .query::<Refresh>()
            .body::<InstanceRequest>()
            .keeps()
            .answers::<InstanceInfo>()
            .tagged()
            .refuses(403, &[codes::INSTANCE_EXISTS, codes::PLAYER_NOT_FOUND])
            .refuses(404, &[codes::NO_INSTANCE]),
        operation("update_instance_info", "Changes the instance: what is named is replaced whole")
            .places(HOST)
            .query::<Refresh>()
            .body::<InstanceUpdate>()
            .keeps()
            .answers::<InstanceInfo>()
            .tagged()
            .if_match()
            .refuses(403, &[codes::ALLOCATION_MISMATCH, codes::INSTANCE_CLOSED, "join_status_not_settable"])
            .refuses(404, &[codes::NO_INSTANCE]),
        operation("end_instance", "Ends the instance and takes it out of the session")
            .places(HOST)
            .query::<Refresh>()
            .answers_nothing()
            .tagged()
            .if_match()
            .refuses(403, &[codes::INSTANCE_CLOSED])
            .refuses(404, &[codes::NO_INSTANCE]),
        operation("instance_health_check", "Tells how the instance is")
            .places(HOST)
            .query::<Refresh>()
            .body::<HealthUpdate>()
            .answers::<InstanceHealthStatusResponse>()
            .refuses(403, &[codes::INSTANCE_MISMATCH, codes::INSTANCE_CLOSED])
            .refuses(404, &[codes::NO_INSTANCE]),
        operation("instance_health_config", "Reads how often a host checks in").answers::<HealthSettings>(),
    ]
}

pub(super) fn backfill() -> Vec<Operation> {
    let of_host = |id, summary| {
        operation(id, summary)
            .places(HOST)
            .query::<Refresh>()
            .refuses(403, &[codes::INSTANCE_MISMATCH, codes::INSTANCE_CLOSED])
            .refuses(404, &[codes::NO_INSTANCE, codes::BACKFILL_NOT_FOUND])
    };
    vec![
        operation("backfill_config", "Reads how long a backfill lives without an acknowledgement")
            .answers::<BackfillSettings>(),
        of_host("acknowledge_backfill_request", "Keeps a backfill alive, and hands out the players that it has found")
            .body::<BackfillAck>()
            .keeps()
            .answers::<AcknowledgeBackfillResponse>(),
        of_host("update_backfill_request", "Says how many more players each team needs")
            .body::<BackfillUpdate>()
            .keeps()
            .answers_nothing(),
        of_host("delete_backfill_request", "Ends a backfill").body::<BaseBackfillRequest>().answers_nothing(),
        operation("put_backfill", "Attaches a backfill, or goes on with the one there is")
            .extension()
            .places(ADMIN)
            .query::<Refresh>()
            .body::<BackfillAttach>()
            .keeps()
            .answers::<BackfillInfo>()
            .refuses(403, &[codes::TEAM_FULL])
            .refuses(404, &[codes::NO_INSTANCE]),
    ]
}

pub(super) fn servers() -> Vec<Operation> {
    vec![
        operation("sic_register", "Registers servers as free").extension().body::<Register>().answers::<Registered>(),
        operation("sic_state", "Asks how registered servers stand; with `wait`, waits for news")
            .extension()
            .query::<Waiting>()
            .body::<Servers>()
            .answers::<States>(),
        operation("sic_deregister", "Takes free servers back at once")
            .extension()
            .body::<Servers>()
            .answers::<Registered>(),
        operation("sic_release", "Takes any registration away, and closes the match on that server")
            .extension()
            .body::<Servers>()
            .answers::<Registered>(),
    ]
}
