//! The row of the status that says how many play.

use crate::model::status::Status;
use std::fmt::Write as _;

/// How many play, who they are, and who says so.
pub(super) fn row(status: &Status) -> Option<String> {
    status.game.pid?;
    let mut text = status.players.map_or_else(|| "unknown".to_owned(), |players| players.to_string());
    if let Some(max) = status.max_players {
        let _ = write!(text, " of {max}");
    }
    let names: Vec<_> =
        status.players_known.iter().map(|player| player.name.as_deref().unwrap_or(&player.id)).take(16).collect();
    if !names.is_empty() {
        let _ = write!(text, ": {}", names.join(", "));
    }
    text.extend(who_says(status).map(|said| format!("; {said}")));
    Some(text)
}

/// What the sources say of who plays, where that isn't all there is to know: they disagree, or what they say is worth nothing.
fn who_says(status: &Status) -> Option<String> {
    let sources: Vec<_> = status.players_said.iter().filter(|(source, _)| *source != "session").collect();
    let agree = sources.iter().all(|(_, players)| Some(**players) == status.players);
    if agree && status.players.is_some() {
        return None;
    }
    let members = status.players_said.get("session").filter(|_| status.players.is_none());
    let said = sources.iter().map(|(source, players)| format!("{source} says {players}"));
    let members = members.map(|members| format!("the session has {members} members"));
    let said: Vec<_> = said.chain(members).collect();
    let said = if sources.is_empty() {
        ["nobody has told yet who plays".to_owned()].into_iter().chain(said).collect::<Vec<_>>().join(", ")
    } else {
        said.join(", ")
    };
    let held = status.players_disputed_until.map(|until| format!(": the server counts as played on until {until}"));
    Some(format!("{said}{}", held.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::offline::{self, KeeperFound},
        host::clock,
        model::game::GamePlayer,
    };

    fn status(players: Option<u32>, said: &[(&str, u32)]) -> Status {
        let mut status = offline::status("one", None, &KeeperFound::Gone(None), clock::now());
        status.game.pid = Some(7);
        status.max_players = Some(64);
        status.players = players;
        status.players_said = said.iter().map(|(source, players)| ((*source).to_owned(), *players)).collect();
        status
    }

    #[test]
    fn it_says_how_many_play_or_that_nobody_knows_and_who_disagrees() {
        let rows = [
            (status(Some(3), &[("log", 3), ("probe", 3), ("session", 0)]), "3 of 64"),
            (status(Some(0), &[("probe", 0)]), "0 of 64"),
            (status(None, &[]), "unknown of 64; nobody has told yet who plays"),
            (
                status(None, &[("session", 2)]),
                "unknown of 64; nobody has told yet who plays, the session has 2 members",
            ),
            (status(Some(1), &[("log", 1), ("probe", 7)]), "1 of 64; log says 1, probe says 7"),
        ];
        for (status, expected) in rows {
            assert_eq!(row(&status).unwrap(), expected);
        }
        let mut disputed = status(Some(1), &[("log", 1), ("probe", 0)]);
        disputed.players_disputed_until = Some(crate::model::time::Timestamp::EPOCH);
        disputed.players_known = vec![GamePlayer { id: "7".to_owned(), name: Some("Pia".to_owned()), team: None }];
        let text = row(&disputed).unwrap();
        let expected = "1 of 64: Pia; log says 1, probe says 0: the server counts as played on until 1970-01-01";
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(row(&Status { game: crate::model::status::GameStatus::default(), ..disputed }), None);
    }
}
