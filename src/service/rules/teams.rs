//! Teams: who fits where, sizes, moves and swaps.
//!
//! Everybody on a team takes a place: active, invited and reserved players alike.
//!
//! | overflow action | players beyond the wanted team's size |
//! |---|---|
//! | `fail` | everything is refused |
//! | `allow_overflow` | go to other teams; refused if not all find a place |
//! | `partial_with_overflow` | go to other teams; whoever finds no place is left out |
//! | `partial_without_overflow` | are left out |
//! | `overfill` | join the wanted team all the same, up to 100 |

use super::record::{SessionRecord, empty_team};
use crate::{
    model::{
        discovery::TeamSettings,
        errors::codes,
        ids::PlayerUuid,
        player::{PlayerStatus, SessionTeam},
        session::TeamOverflow,
    },
    service::http::reply::{Outcome, bad_request, forbidden, invalid, not_found},
};

/// The largest team of the contract.
const MOST_PER_TEAM: usize = 100;

fn room(team: &SessionTeam) -> usize {
    (team.max_size as usize).saturating_sub(team.players.len())
}

/// Chooses a team for each of `count` new players; `None` for one who is left out. Without a wanted team, the emptiest
/// one with room is the wanted one.
pub(crate) fn place(
    teams: &[SessionTeam],
    wanted: Option<u32>,
    count: usize,
    overflow: TeamOverflow,
) -> Outcome<Vec<Option<usize>>> {
    let wanted_team = match wanted {
        Some(number) if (number as usize) < teams.len() => number as usize,
        Some(number) => return Err(no_team(number)),
        None => emptiest(teams),
    };
    let mut rooms: Vec<usize> = teams.iter().map(room).collect();
    if overflow == TeamOverflow::Overfill {
        rooms[wanted_team] = MOST_PER_TEAM.saturating_sub(teams[wanted_team].players.len());
    }
    let spills = matches!(overflow, TeamOverflow::AllowOverflow | TeamOverflow::PartialWithOverflow)
        || (wanted.is_none() && overflow == TeamOverflow::Fail);
    let places: Vec<Option<usize>> = (0..count)
        .map(|_| {
            let team = std::iter::once(wanted_team).chain(0..teams.len()).find(|team| rooms[*team] > 0)?;
            if team != wanted_team && !spills {
                return None;
            }
            rooms[team] -= 1;
            Some(team)
        })
        .collect();
    let all_or_nothing = matches!(overflow, TeamOverflow::Fail | TeamOverflow::AllowOverflow | TeamOverflow::Overfill);
    if all_or_nothing && places.contains(&None) {
        return Err(forbidden(codes::TEAM_FULL, "there is no room for that many players"));
    }
    Ok(places)
}

fn emptiest_other(teams: &[SessionTeam], from: usize) -> Outcome<usize> {
    let others = teams.iter().enumerate().filter(|(number, team)| *number != from && room(team) > 0);
    let emptiest = others.min_by_key(|(_, team)| team.players.len()).map(|(number, _)| number);
    emptiest.ok_or_else(|| forbidden(codes::TEAM_FULL, "there is no room on another team"))
}

fn emptiest(teams: &[SessionTeam]) -> usize {
    let open = teams.iter().enumerate().filter(|(_, team)| room(team) > 0);
    open.min_by_key(|(_, team)| team.players.len()).map_or(0, |(number, _)| number)
}

fn no_team(number: u32) -> crate::service::http::reply::Interrupt {
    invalid("team_id", format!("there is no team {number}"))
}

/// PATCH of all teams: the length is the wanted number of teams. Shrinking below who is there is refused.
pub(crate) fn resize(session: &mut SessionRecord, wanted: &[TeamSettings], default_size: u32) -> Outcome<()> {
    let lost = session.teams.iter().skip(wanted.len()).any(|team| !team.players.is_empty());
    if lost || wanted.is_empty() {
        return Err(below_occupancy("a team that would go has players on it"));
    }
    session.teams.truncate(wanted.len());
    while session.teams.len() < wanted.len() {
        session.teams.push(empty_team(session.teams.len() as u32, default_size));
    }
    for (number, change) in wanted.iter().enumerate() {
        change_team(session, number as u32, change)?;
    }
    Ok(())
}

/// PATCH of one team.
pub(crate) fn change_team(session: &mut SessionRecord, number: u32, change: &TeamSettings) -> Outcome<()> {
    let team = session
        .teams
        .get_mut(number as usize)
        .ok_or_else(|| not_found(codes::NOT_FOUND, format!("there is no team {number}")))?;
    if let Some(size) = change.max_size {
        if (size as usize) < team.players.len() {
            return Err(below_occupancy(format!("team {number} has {} players", team.players.len())));
        }
        team.max_size = size;
    }
    if let Some(data) = &change.custom_data {
        team.custom_data = Some(data.clone());
    }
    Ok(())
}

fn below_occupancy(desc: impl Into<String>) -> crate::service::http::reply::Interrupt {
    bad_request(codes::TEAM_BELOW_OCCUPANCY, desc)
}

/// Moves a player to a team with room, or to the emptiest other one.
pub(crate) fn move_player(session: &mut SessionRecord, id: PlayerUuid, wanted: Option<u32>) -> Outcome<usize> {
    let from = session.team_of(id).ok_or_else(|| no_player(id))?;
    let to = match wanted {
        Some(number) if number as usize == from => return Ok(from),
        Some(_) => place(&session.teams, wanted, 1, TeamOverflow::Fail)?[0].unwrap_or(from),
        None => emptiest_other(&session.teams, from)?,
    };
    if let Some(at) = session.teams[from].players.iter().position(|player| player.player_uuid == id) {
        let player = session.teams[from].players.remove(at);
        session.teams[to].players.push(player);
    }
    Ok(to)
}

/// Swaps two players of different teams. A leader can't be swapped.
pub(crate) fn swap(session: &mut SessionRecord, one: PlayerUuid, other: PlayerUuid) -> Outcome<()> {
    let find = |id: PlayerUuid| {
        let team = session.team_of(id).ok_or_else(|| no_player(id))?;
        let at = session.teams[team].players.iter().position(|player| player.player_uuid == id).unwrap_or(0);
        if session.teams[team].players[at].status == PlayerStatus::Leader {
            return Err(forbidden("leader_cannot_be_swapped", "the leader of a session can't be swapped"));
        }
        Ok((team, at))
    };
    let ((team_a, at_a), (team_b, at_b)) = (find(one)?, find(other)?);
    if team_a == team_b {
        return Err(forbidden("same_team", "the two players are on the same team"));
    }
    let player_a = session.teams[team_a].players[at_a].clone();
    let player_b = std::mem::replace(&mut session.teams[team_b].players[at_b], player_a);
    session.teams[team_a].players[at_a] = player_b;
    Ok(())
}

/// 404: the session is there, the player isn't in it.
pub(crate) fn no_player(id: PlayerUuid) -> crate::service::http::reply::Interrupt {
    not_found(codes::PLAYER_NOT_FOUND, format!("player {id} is not in the session"))
}

#[cfg(test)]
mod tests {
    use super::{super::record::testing::*, *};
    use PlayerStatus::{Invited, Leader, Member};
    use TeamOverflow::{AllowOverflow, Fail, Overfill, PartialWithOverflow, PartialWithoutOverflow};

    #[test]
    fn overflow_actions_place_as_their_names_say() {
        let session = session(&[(2, &[(1, Member)]), (2, &[(2, Member), (3, Invited)]), (1, &[])]);
        let rows = [
            (Some(0), 1, Fail, Some(vec![Some(0)])),
            (Some(0), 2, Fail, None),
            (Some(1), 1, Fail, None),
            (Some(0), 2, AllowOverflow, Some(vec![Some(0), Some(2)])),
            (Some(0), 3, AllowOverflow, None),
            (Some(0), 3, PartialWithOverflow, Some(vec![Some(0), Some(2), None])),
            (Some(0), 2, PartialWithoutOverflow, Some(vec![Some(0), None])),
            (Some(1), 2, Overfill, Some(vec![Some(1), Some(1)])),
            (Some(1), 98, Overfill, Some(vec![Some(1); 98])),
            (Some(1), 99, Overfill, None),
            (None, 1, Fail, Some(vec![Some(2)])),
            (None, 2, Fail, Some(vec![Some(2), Some(0)])),
        ];
        for (wanted, count, action, expected) in rows {
            let placed = place(&session.teams, wanted, count, action).ok();
            assert_eq!(placed, expected, "{count} to {wanted:?} with {action:?}");
        }
    }

    #[test]
    fn shrinking_below_occupancy_is_refused() {
        let size = |n| TeamSettings { max_size: Some(n), custom_data: None };
        let rows: [(&[TeamSettings], bool); 5] = [
            (&[size(2), size(1)], true),
            (&[size(1), size(1)], false),
            (&[size(2)], false),
            (&[size(4), size(4), size(4)], true),
            (&[], false),
        ];
        for (wanted, fine) in rows {
            let mut session = session(&[(4, &[(1, Leader), (2, Member)]), (4, &[(3, Member)])]);
            assert_eq!(resize(&mut session, wanted, 4).is_ok(), fine, "{wanted:?}");
        }
    }

    #[test]
    fn leaders_can_not_be_swapped_and_others_change_teams() {
        let mut session = session(&[(2, &[(1, Leader), (2, Member)]), (2, &[(3, Member)])]);
        assert!(swap(&mut session, uuid(1), uuid(3)).is_err());
        assert!(swap(&mut session, uuid(2), uuid(9)).is_err());
        swap(&mut session, uuid(2), uuid(3)).unwrap();
        assert_eq!((session.team_of(uuid(2)), session.team_of(uuid(3))), (Some(1), Some(0)));
    }

    #[test]
    fn a_player_moves_where_there_is_room() {
        let mut session = session(&[(2, &[(1, Leader), (2, Member)]), (1, &[(3, Member)]), (3, &[])]);
        assert!(move_player(&mut session, uuid(2), Some(1)).is_err());
        assert_eq!(move_player(&mut session, uuid(2), Some(2)).unwrap(), 2);
        assert_eq!(move_player(&mut session, uuid(1), None).unwrap(), 2);
    }
}
