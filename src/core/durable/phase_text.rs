//! The phase in the durable text: where the match stands, and around it the allocation and the
//! ending.

use super::Memory;
use crate::{
    core::{
        allocation::Acquiring,
        ending::FinalReports,
        game_match::{Closing, Drain, Match, MatchStage},
        session::SessionLink,
        steady_time::SteadyTime,
    },
    model::{
        allocation::Allocation,
        game::Admission,
        ids::{InstanceId, MatchId, SessionId},
        session::StartupParams,
    },
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PhaseText {
    Idle,
    Acquiring(Box<Acquiring>),
    Starting(Box<MatchText>),
    Serving(Box<MatchText>),
    Draining(Box<MatchText>, Drain),
    Closing(Option<Box<MatchText>>, Closing),
    Leaving(FinalReports),
}

/// What the phase says of the match, the session, the allocation and the ending.
type Phases = (MatchStage, SessionLink, Option<Box<Acquiring>>, Option<FinalReports>);

impl PhaseText {
    pub(super) fn of(memory: &Memory) -> Self {
        let text = |game: &Match| Box::new(MatchText::of(game, memory.link));
        match &memory.game.stage {
            MatchStage::Idle => match (&memory.reports, &memory.allocation.acquiring) {
                (Some(reports), _) => PhaseText::Leaving(reports.clone()),
                (None, Some(acquiring)) => PhaseText::Acquiring(acquiring.clone()),
                (None, None) => PhaseText::Idle,
            },
            MatchStage::Starting(game) => PhaseText::Starting(text(game)),
            MatchStage::Serving(game) => PhaseText::Serving(text(game)),
            MatchStage::Draining(game, drain) => PhaseText::Draining(text(game), drain.clone()),
            MatchStage::Closing(game, closing) => PhaseText::Closing(game.as_deref().map(text), closing.clone()),
        }
    }

    pub(super) fn take_apart(self) -> Phases {
        let of_match = |(game, link): (Box<Match>, SessionLink), stage: fn(Box<Match>) -> MatchStage| {
            (stage(game), link, None, None)
        };
        match self {
            PhaseText::Idle => (MatchStage::Idle, SessionLink::default(), None, None),
            PhaseText::Acquiring(acquiring) => (MatchStage::Idle, SessionLink::default(), Some(acquiring), None),
            PhaseText::Leaving(reports) => (MatchStage::Idle, SessionLink::default(), None, Some(reports)),
            PhaseText::Starting(game) => of_match(game.take_apart(), MatchStage::Starting),
            PhaseText::Serving(game) => of_match(game.take_apart(), MatchStage::Serving),
            PhaseText::Draining(game, drain) => {
                let (game, link) = game.take_apart();
                (MatchStage::Draining(game, drain), link, None, None)
            }
            PhaseText::Closing(game, closing) => {
                let (game, link) = game.map(|game| game.take_apart()).unzip();
                (MatchStage::Closing(game, closing), link.unwrap_or_default(), None, None)
            }
        }
    }
}

#[allow(clippy::struct_field_names, reason = "match_id is the Session API's word")]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MatchText {
    allocation: Allocation,
    own: bool,
    session: SessionId,
    instance: InstanceId,
    params: StartupParams,
    #[serde(default)]
    join_token: Option<String>,
    #[serde(default)]
    match_id: Option<MatchId>,
    begun: SteadyTime,
    #[serde(default)]
    first_joinable: Option<SteadyTime>,
    #[serde(default)]
    operator_gate: Option<Admission>,
    #[serde(default)]
    restarts: u32,
    #[serde(default)]
    link: SessionLink,
}

impl MatchText {
    fn of(game: &Match, link: SessionLink) -> Self {
        let game = game.clone();
        MatchText {
            allocation: game.allocation,
            own: game.own,
            session: game.session,
            instance: game.instance,
            params: game.params,
            join_token: game.join_token,
            match_id: game.match_id,
            begun: game.begun,
            first_joinable: game.first_joinable,
            operator_gate: game.operator_gate,
            restarts: game.restarts,
            link,
        }
    }

    fn take_apart(self) -> (Box<Match>, SessionLink) {
        let game = Match {
            allocation: self.allocation,
            own: self.own,
            session: self.session,
            instance: self.instance,
            params: self.params,
            join_token: self.join_token,
            match_id: self.match_id,
            begun: self.begun,
            first_joinable: self.first_joinable,
            operator_gate: self.operator_gate,
            restarts: self.restarts,
        };
        (Box::new(game), self.link)
    }
}
