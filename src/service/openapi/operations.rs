//! Every operation, group by group as in [`crate::service::ops`].

use super::operation::{Answer, Operation, operation};
use crate::{
    model::{
        audit::{AuditPage, CreateAuditRequest, Noted},
        deserters::{DeserterConfig, DeserterConfigs, DeserterStatus, DeserterStatuses, DeserterUpdate},
        discovery::{
            BrowserPage, BrowserUpdate, CreateSession, Matched, Matchmaking, PresenceSession, SearchAnswer,
            SessionSearch, SessionSettings, ShortCode, TeamSettings,
        },
        errors::codes,
        events::{AddedNotification, NewNotifications, Notification, Notifications, SessionEvent},
        friends::{FriendNotes, FriendRelationship, FriendsList, FriendsToRemove},
        login::{LoginAnswer, LoginRequest},
        parameters::{
            AuditQuery, BrowserQuery, EpicVoiceQuery, FriendsQuery, Leaving, LongPoll, NotificationsQuery, Page,
            PlayersQuery, Refresh, VoiceQuery, Waiting,
        },
        player::{
            MoveRequest, PlayerDescription, PlayerInviteRequest, PlayerPermissions, PlayerSessions, PlayersPage,
            SelfSessionPlayerUpdateRequest, SessionPlayer, SessionPlayerUpdateRequest, SessionTeam, SwapRequest,
            UpdatedPlayer, UpdatedPlayers,
        },
        session::{
            AcknowledgeBackfillResponse, BackfillAck, BackfillAttach, BackfillInfo, BackfillSettings, BackfillUpdate,
            BaseBackfillRequest, BrowserInfo, ConnectionInfo, HealthSettings, HealthUpdate,
            InstanceHealthStatusResponse, InstanceInfo, InstanceRequest, InstanceUpdate, PlatformSession, Session,
            SessionJoinResponse,
        },
        sic::{Register, Registered, Servers, States},
        wire::Wire,
    },
    service::resources::{
        InstanceLaunchTemplate, InstanceRequestTemplate, MatchMakingProfile, MatchMakingProfileV2,
        MatchMakingTemplateGroup, MatchMakingTemplateGroupV2, RegionsPage, SessionTemplate, SessionTemplates,
    },
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
            sessions(),
        ),
        group("players", "Join and leave; add and remove others; what a player may do in a session", players()),
        group("invites", "Invite, promote, move and swap players", invites()),
        group("instances", "A session's host: requested or registered, updated, watched over", instances()),
        group("backfill", "More players for a running match", backfill()),
        group("servers", "Registration of dedicated servers that wait for an allocation", servers()),
        group("browser", "Listed sessions; search; matchmaking", browser()),
        group("presence", "The session that a player shows to friends", presence()),
        group("friends", "The friend graph", friends()),
        group("notifications", "What players are told: a stream of events, a long poll, pages", notifications()),
        group("audit", "What happened to sessions", audit()),
        group("deserters", "Rules for players who desert, and where players stand under them", deserters()),
        group("config", "What the configuration says: session types, regions, templates, profiles", config()),
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

#[expect(clippy::too_many_lines, reason = "a table")]
fn sessions() -> Vec<Operation> {
    vec![
        operation("create_or_join_session", "Creates a session, or joins one of its type where the type says so")
            .body::<CreateSession>()
            .answers::<SessionJoinResponse>()
            .refuses(400, &[codes::TEMPLATE_NOT_FOUND, codes::TEAM_BELOW_OCCUPANCY])
            .refuses(
                403,
                &["session_type_not_creatable", codes::SANCTIONED, codes::TEAM_FULL, codes::PLAYER_NOT_FOUND],
            ),
        operation("get_session_by_id", "Reads a session; those who aren't in it see less")
            .query::<Refresh>()
            .answers::<Session>()
            .conditional(),
        operation("update_session_by_id", "Changes a session's settings: what is named is replaced whole")
            .places(ADMIN)
            .query::<Refresh>()
            .body::<SessionSettings>()
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
        join_platform("join_session_by_platform_session_id_self").for_players(),
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

fn players() -> Vec<Operation> {
    let add = |id| {
        operation(id, "Adds, invites, moves or promotes a player")
            .places(&["session_admin", "invite", "move"])
            .query::<Refresh>()
            .body::<SessionPlayerUpdateRequest>()
            .answers::<UpdatedPlayer>()
            .tagged()
            .joins()
            .refuses(403, &[codes::NOT_AGREED])
    };
    let remove = |id| {
        operation(id, "Takes a player out of a session, or cancels its invite")
            .places(&["session_admin", "kick"])
            .query::<Leaving>()
            .answers_nothing()
            .tagged()
            .refuses(404, &[codes::PLAYER_NOT_FOUND])
    };
    vec![
        operation("get_players_in_session", "Reads a page of a session's players")
            .query::<PlayersQuery>()
            .answers::<PlayersPage>()
            .conditional(),
        operation("get_player_in_session", "Reads a player of a session")
            .query::<Refresh>()
            .answers::<SessionPlayer>()
            .conditional()
            .refuses(404, &[codes::PLAYER_NOT_FOUND]),
        operation("join_session_by_id_self", "Joins a session, or accepts an invite")
            .query::<Refresh>()
            .body::<SelfSessionPlayerUpdateRequest>()
            .answers::<UpdatedPlayer>()
            .tagged()
            .joins()
            .for_players(),
        operation("leave_session_by_id_self", "Leaves a session, or declines an invite")
            .query::<Leaving>()
            .answers_nothing()
            .for_players()
            .refuses(404, &[codes::PLAYER_NOT_FOUND]),
        add("update_session_player_by_uuid_v2"),
        add("update_session_player_by_uuid"),
        add("update_session_player_by_id"),
        remove("kick_player_from_session_by_uuid_v2"),
        remove("kick_player_from_session_by_uuid"),
        remove("kick_player_from_session_by_id"),
        permissions("get_player_permission_by_uuid", "Reads what a player was given within a session").places(ACTIVE),
        permissions("give_player_permission_by_uuid", "Gives a player a permission within a session").places(ADMIN),
        operation("remove_player_permission_by_uuid", "Takes a permission within a session from a player")
            .places(ADMIN)
            .query::<Refresh>()
            .answers_nothing()
            .tagged()
            .refuses(404, &[codes::PLAYER_NOT_FOUND]),
    ]
}

fn permissions(id: &'static str, summary: &'static str) -> Operation {
    operation(id, summary)
        .query::<Refresh>()
        .answers::<PlayerPermissions>()
        .tagged()
        .refuses(404, &[codes::PLAYER_NOT_FOUND])
}

fn invites() -> Vec<Operation> {
    let one = |id, summary| {
        operation(id, summary)
            .query::<Refresh>()
            .answers::<UpdatedPlayer>()
            .tagged()
            .refuses(404, &[codes::PLAYER_NOT_FOUND])
    };
    vec![
        one("invite_player_by_uuid_v2", "Invites a player")
            .places(&["session_admin", "invite"])
            .body::<PlayerInviteRequest>()
            .refuses(403, &[codes::TEAM_FULL]),
        one("promote_player_by_uuid_v2", "Makes a player the leader").places(ADMIN),
        one("move_player_by_uuid_v2", "Moves a player to another team")
            .places(&["session_admin", "move"])
            .body::<MoveRequest>()
            .refuses(403, &[codes::TEAM_FULL]),
        one("update_player_by_uuid_v2", "Describes a player").places(ADMIN).body::<PlayerDescription>(),
        operation("swap_players_in_session", "Swaps two players of different teams")
            .places(ADMIN)
            .query::<Refresh>()
            .body::<SwapRequest>()
            .answers::<UpdatedPlayers>()
            .tagged()
            .refuses(403, &["leader_cannot_be_swapped", "same_team"])
            .refuses(404, &[codes::PLAYER_NOT_FOUND]),
        operation("invite_session_to_session", "Invites everybody active in one session to another")
            .places(&["session_admin", "invite"])
            .body::<PlayerInviteRequest>()
            .answers::<UpdatedPlayers>()
            .tagged()
            .refuses(403, &[codes::TEAM_FULL])
            .refuses(404, &[codes::PLAYER_NOT_FOUND]),
        operation("kick_session_from_session", "Takes everybody out of the session who is active in the kicked one")
            .places(&["session_admin", "kick"])
            .answers_nothing(),
    ]
}

fn instances() -> Vec<Operation> {
    vec![
        operation("create_instance_request", "Requests an instance, or registers one as its host")
            .places(ADMIN)
            .query::<Refresh>()
            .body::<InstanceRequest>()
            .answers::<InstanceInfo>()
            .tagged()
            .refuses(403, &[codes::INSTANCE_EXISTS, codes::PLAYER_NOT_FOUND])
            .refuses(404, &[codes::NO_INSTANCE]),
        operation("update_instance_info", "Changes the instance: what is named is replaced whole")
            .places(HOST)
            .query::<Refresh>()
            .body::<InstanceUpdate>()
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

fn backfill() -> Vec<Operation> {
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
            .answers::<AcknowledgeBackfillResponse>(),
        of_host("update_backfill_request", "Says how many more players each team needs")
            .body::<BackfillUpdate>()
            .answers_nothing(),
        of_host("delete_backfill_request", "Ends a backfill").body::<BaseBackfillRequest>().answers_nothing(),
        operation("put_backfill", "Attaches a backfill, or goes on with the one there is")
            .extension()
            .places(ADMIN)
            .query::<Refresh>()
            .body::<BackfillAttach>()
            .answers::<BackfillInfo>()
            .refuses(403, &[codes::TEAM_FULL])
            .refuses(404, &[codes::NO_INSTANCE]),
    ]
}

fn servers() -> Vec<Operation> {
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
    ]
}

fn browser() -> Vec<Operation> {
    let listing = |id, summary| operation(id, summary).places(ADMIN).query::<Refresh>().tagged().if_match();
    vec![
        operation("get_browser_sessions_by_type", "Reads a page of the listed sessions of a type")
            .query::<BrowserQuery>()
            .answers::<BrowserPage>()
            .conditional(),
        listing("post_browser_info", "Lists a session")
            .body::<BrowserUpdate>()
            .answers::<BrowserInfo>()
            .refuses(403, &["not_listable"]),
        listing("update_browser_info", "Changes a session's listing")
            .body::<BrowserUpdate>()
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
            .answers::<Matched>()
            .refuses(400, &[codes::TEMPLATE_NOT_FOUND, codes::TEAM_BELOW_OCCUPANCY])
            .refuses(
                403,
                &["session_type_not_creatable", codes::SANCTIONED, codes::TEAM_FULL, codes::PLAYER_NOT_FOUND],
            ),
    ]
}

fn presence() -> Vec<Operation> {
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

fn friends() -> Vec<Operation> {
    let of_list = |id, summary| operation(id, summary).refuses(409, &[codes::FRIENDS_ELSEWHERE]);
    vec![
        of_list("get_friends_list_for_player_v2", "Reads a page of a player's friends and requests")
            .query::<FriendsQuery>()
            .answers::<FriendsList>()
            .conditional(),
        of_list("delete_friends_v2", "Removes friends, or declines requests")
            .body::<FriendsToRemove>()
            .answers_nothing(),
        of_list("get_friend_relationship_v2", "Reads how one player stands to another")
            .answers::<FriendRelationship>()
            .conditional(),
        of_list("add_friend_v2", "Asks a player to be a friend, or accepts its request")
            .optional_body::<FriendNotes>()
            .answers::<FriendRelationship>()
            .tagged()
            .if_match()
            .refuses(400, &["friend_is_self"])
            .refuses(409, &["friend_limit_reached"]),
        of_list("delete_friend_v2", "Removes a friend, or declines a request").answers_nothing().tagged().if_match(),
    ]
}

fn notifications() -> Vec<Operation> {
    let long_poll =
        |id| operation(id, "Waits for what follows a position").query::<LongPoll>().answers::<Notifications>();
    let page = |id| {
        operation(id, "Reads a page of what a player was told, newest first")
            .query::<NotificationsQuery>()
            .answers::<Notifications>()
            .conditional()
    };
    let create =
        |id| operation(id, "Tells a player something").body::<NewNotifications>().answers::<AddedNotification>();
    let one = |id| operation(id, "Reads one notification").answers::<Notification>().refuses(404, &[codes::NOT_FOUND]);
    vec![
        operation("get_player_events_self", "A stream of what happens to the caller's sessions")
            .extension()
            .for_players()
            .header("last-event-id", "The last event that was seen: the stream goes on behind it.")
            .answers_as(Answer::Events(SessionEvent::schema)),
        long_poll("player_long_poll_for_notifications_self").for_players(),
        long_poll("player_long_poll_for_notifications"),
        page("player_get_notifications_page_self").for_players(),
        page("player_get_notifications_page"),
        create("player_create_notification_self").for_players(),
        create("player_create_notification"),
        one("player_get_notification_by_id_self").for_players(),
        one("player_get_notification_by_id"),
    ]
}

fn audit() -> Vec<Operation> {
    vec![
        operation("get_session_audit", "Reads a page of what happened to a session or a player")
            .places(ACTIVE)
            .query::<AuditQuery>()
            .answers::<AuditPage>(),
        operation("create_session_audit", "Adds to the audit of a session")
            .places(ACTIVE)
            .body::<CreateAuditRequest>()
            .answers::<Noted>()
            .refuses(409, &[codes::RECORD_TOO_LARGE])
            .refuses(404, &[codes::SESSION_NOT_FOUND]),
    ]
}

fn deserters() -> Vec<Operation> {
    let of_rule = |id, summary| operation(id, summary).refuses(404, &["deserter_not_found"]);
    vec![
        operation("get_all_deserter_configs", "Reads all rules").answers::<DeserterConfigs>(),
        of_rule("get_specific_deserter_config", "Reads a rule").answers::<DeserterConfig>(),
        of_rule("get_player_deserter_self", "Reads where the caller stands under a rule")
            .for_players()
            .answers::<DeserterStatus>(),
        of_rule("get_player_deserter", "Reads where a player stands under a rule").answers::<DeserterStatus>(),
        of_rule("put_player_deserter", "Marks a player under a rule")
            .body::<DeserterUpdate>()
            .answers::<DeserterStatus>(),
        of_rule("delete_player_deserter", "Takes a player's mark under a rule away").answers_nothing(),
        operation("get_all_player_deserters", "Reads where a player stands under all rules")
            .answers::<DeserterStatuses>(),
        operation("delete_all_player_deserter", "Takes all marks of a player away").answers_nothing(),
        operation("clear_all_deserter", "Takes all marks away").answers_nothing(),
        of_rule("clear_specific_deserter", "Takes all marks under a rule away").answers_nothing(),
    ]
}

fn config() -> Vec<Operation> {
    let resource = |id, summary| operation(id, summary).conditional().refuses(404, &[codes::TEMPLATE_NOT_FOUND]);
    vec![
        operation("get_all_session_templates", "Reads all session types").answers::<SessionTemplates>().conditional(),
        resource("get_session_template_by_type", "Reads a session type").answers::<SessionTemplate>(),
        operation("get_all_regions", "Reads a page of regions").query::<Page>().answers::<RegionsPage>(),
        resource("get_instance_request_template", "Reads what an instance may be requested with")
            .answers::<InstanceRequestTemplate>(),
        resource("get_all_map_game_info", "Reads the deprecated form of a request template")
            .answers::<InstanceLaunchTemplate>(),
        resource("get_match_making_profile", "Reads the deprecated form of a matchmaking profile")
            .answers::<MatchMakingProfile>(),
        resource("get_match_making_profile_v2", "Reads a matchmaking profile").answers::<MatchMakingProfileV2>(),
        resource("get_match_making_templates", "Reads the deprecated form of a group of matchmaking templates")
            .answers::<MatchMakingTemplateGroup>(),
        resource("get_match_making_templates_v2", "Reads a group of matchmaking templates")
            .answers::<MatchMakingTemplateGroupV2>(),
        operation("get_connection_info_self", "Reads where the caller comes from")
            .header("x-forwarded-for", "Counts only from a proxy that the configuration trusts.")
            .answers::<ConnectionInfo>(),
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
