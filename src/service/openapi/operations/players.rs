//! Who plays in a session: joining, leaving, permissions, invitations.

use super::{ACTIVE, ADMIN};
use crate::{
    model::{
        errors::codes,
        parameters::{Leaving, PlayersQuery, Refresh},
        player::{
            MoveRequest, PlayerDescription, PlayerInviteRequest, PlayerPermissions, PlayersPage,
            SelfSessionPlayerUpdateRequest, SessionPlayer, SessionPlayerUpdateRequest, SwapRequest, UpdatedPlayer,
            UpdatedPlayers,
        },
    },
    service::openapi::operation::{Operation, operation},
};

pub(super) fn players() -> Vec<Operation> {
    let add = |id| {
        operation(id, "Adds, invites, moves or promotes a player")
            .places(&["session_admin", "invite", "move"])
            .query::<Refresh>()
            .body::<SessionPlayerUpdateRequest>()
            .answers::<UpdatedPlayer>()
            .tagged()
            .joins()
            .asks()
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
            .refuses(409, &[codes::TOO_MANY_SESSIONS])
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

pub(super) fn invites() -> Vec<Operation> {
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
            .asks(),
        one("promote_player_by_uuid_v2", "Makes a player the leader").places(ADMIN),
        one("move_player_by_uuid_v2", "Moves a player to another team")
            .places(&["session_admin", "move"])
            .body::<MoveRequest>()
            .refuses(403, &[codes::TEAM_FULL]),
        one("update_player_by_uuid_v2", "Describes a player").places(ADMIN).body::<PlayerDescription>().keeps(),
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
            .asks()
            .refuses(404, &[codes::PLAYER_NOT_FOUND]),
        operation("kick_session_from_session", "Takes everybody out of the session who is active in the kicked one")
            .places(&["session_admin", "kick"])
            .answers_nothing(),
    ]
}
