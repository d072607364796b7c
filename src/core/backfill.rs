//! The service's backfill: followed whenever the session has one, acknowledged in time, kept up to date, ended on purpose.
//!
//! | what happens | what follows |
//! |---|---|
//! | the session shows a backfill | acknowledged at once, then at half the timeout, jittered only earlier |
//! | an acknowledgement names players | the game is told; the session is read again |
//! | players come or go, places lapse | PATCH with what each team needs |
//! | full, unjoinable (as configured), draining or closing | DELETE |
//! | 404, or 503 and then 404 | it is over; nothing is said |

use super::{
    clock::{When, earliest},
    engine::{Core, Purpose},
    state::{Match, Phase},
};
use crate::model::{
    calls::{Answer, Call, Refusal},
    game::{Admission, GameNotice},
    ids::BackfillId,
    session::{BackfillAck, BackfillInfo, BackfillNeed, BackfillUpdate, Session},
};
use std::time::Duration;

/// Until the service has said what it expects.
const TIMEOUT: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(super) struct BackfillDesk {
    timeout: Option<Duration>,
    timeout_asked: bool,
    ticket: Option<Ticket>,
    /// Deleted by us, or gone: not to be acknowledged again if an older reading still shows it.
    ended: Option<BackfillId>,
}

#[derive(Debug)]
struct Ticket {
    info: BackfillInfo,
    next_ack: When,
    ack_under_way: bool,
    needs: Option<Vec<BackfillNeed>>,
    need_under_way: bool,
    retry_need: Option<When>,
    dropping: bool,
}

impl BackfillDesk {
    pub fn reset(&mut self) {
        self.ticket = None;
        self.ended = None;
        self.timeout_asked = self.timeout.is_some();
    }
    pub fn retry_now(&mut self) {
        if let Some(ticket) = &mut self.ticket {
            ticket.next_ack = When(crate::model::time::Timestamp::EPOCH);
            ticket.retry_need = None;
        }
        self.timeout_asked = self.timeout.is_some();
    }
    pub fn id(&self) -> Option<&BackfillId> {
        self.ticket.as_ref().map(|ticket| &ticket.info.backfill_id)
    }
}

impl Core {
    fn follows_backfill(&self) -> bool {
        self.settings.backfill.enabled && self.writes()
    }

    /// A fresh reading of the session.
    pub(super) fn backfill_seen(&mut self, session: &Session) {
        if !self.follows_backfill() {
            return;
        }
        let Some(info) = session.backfill.clone() else {
            if self.backfill.ticket.as_ref().is_some_and(|ticket| !ticket.ack_under_way) {
                self.backfill.ticket = None;
            }
            return;
        };
        if self.backfill.ended.as_ref() == Some(&info.backfill_id) {
            return;
        }
        match &mut self.backfill.ticket {
            Some(ticket) if ticket.info.backfill_id == info.backfill_id => ticket.info = info,
            ticket => {
                let id = info.backfill_id.clone();
                *ticket = Some(Ticket {
                    info,
                    next_ack: self.now,
                    ack_under_way: false,
                    needs: None,
                    need_under_way: false,
                    retry_need: None,
                    dropping: false,
                });
                self.happened("backfill", "the session has a backfill", &[("backfill_id", id.as_str())]);
            }
        }
    }

    pub(super) fn backfill_tick(&mut self) {
        if self.backfill.ticket.is_none() || !self.follows_backfill() {
            return;
        }
        let Some(game) = self.linked().cloned() else { return };
        if !self.backfill.timeout_asked {
            self.backfill.timeout_asked = true;
            self.call(Call::BackfillConfig, Purpose::BackfillConfig);
        }
        if self.unwanted(&game) {
            return self.drop_backfill(&game);
        }
        self.acknowledge(&game);
        self.tell_needs(&game);
    }

    /// The reasons to end it.
    fn unwanted(&self, game: &Match) -> bool {
        let policy = &self.settings.backfill;
        match &self.state.phase {
            Phase::Draining(..) | Phase::Closing(..) => true,
            Phase::Serving(_) if policy.delete_when_unjoinable && self.gate_of(game) == Admission::Closed => true,
            Phase::Serving(_) | Phase::Starting(_) => {
                policy.delete_when_full
                    && self.needs().is_some_and(|needs| needs.iter().all(|need| need.players_required == 0))
            }
            Phase::Idle | Phase::Acquiring(_) | Phase::Leaving(_) => false,
        }
    }

    fn needs(&self) -> Option<Vec<BackfillNeed>> {
        let session = self.session.as_ref()?;
        let none = super::players::Roster::default();
        let roster = self.state.process.run().map_or(&none, |run| &run.roster);
        let needs = roster.needs(session).into_iter().zip(&session.teams).enumerate();
        Some(
            needs
                .map(|(index, (players_required, team))| BackfillNeed {
                    team_id: team.team_id.unwrap_or(index as u32),
                    players_required,
                })
                .collect(),
        )
    }

    fn half(&mut self) -> Duration {
        let timeout = self.backfill.timeout.unwrap_or(TIMEOUT);
        self.jitter.earlier(timeout / 2, 0.1)
    }

    fn acknowledge(&mut self, game: &Match) {
        let next = self.now + self.half();
        let Some(ticket) = &mut self.backfill.ticket else { return };
        if ticket.ack_under_way || self.now < ticket.next_ack {
            return;
        }
        ticket.ack_under_way = true;
        ticket.next_ack = next;
        let body = BackfillAck {
            instance_id: game.instance.clone(),
            extensions: ticket.info.extensions.clone(),
            overflow_action: self.settings.backfill.overflow_action,
            styles: self.settings.backfill.styles.clone(),
        };
        self.call(Call::AckBackfill { session: game.session.clone(), body: Box::new(body) }, Purpose::Ack);
    }

    pub(super) fn ack_answered(&mut self, answer: Result<Answer, Refusal>) {
        let Some(ticket) = &mut self.backfill.ticket else { return };
        ticket.ack_under_way = false;
        match answer {
            Ok(Answer::Backfilled(players)) if !players.is_empty() => {
                let players: Vec<_> = players.into_iter().map(|player| player.player_uuid).collect();
                let names: Vec<_> = players.iter().map(ToString::to_string).collect();
                let text = format!("{} players were backfilled", players.len());
                self.happened("backfilled", text, &[("players", &names.join(" "))]);
                self.tell(GameNotice::Backfilled { players });
                self.poll.now();
            }
            Ok(_) => {}
            Err(Refusal::NotFound { .. } | Refusal::Gone | Refusal::SessionNotFound) => self.backfill_over(),
            Err(Refusal::Busy { retry_after }) => {
                let again = self.now + retry_after.unwrap_or(RETRY);
                ticket.next_ack = ticket.next_ack.min(again);
            }
            Err(_) => {
                let again = self.now + self.jitter.earlier(RETRY, 0.25);
                ticket.next_ack = ticket.next_ack.min(again);
            }
        }
    }

    fn backfill_over(&mut self) {
        self.backfill.ended = self.backfill.ticket.take().map(|ticket| ticket.info.backfill_id);
    }

    fn tell_needs(&mut self, game: &Match) {
        let needs = self.needs();
        let now = self.now;
        let Some(ticket) = &mut self.backfill.ticket else { return };
        let waits = ticket.need_under_way || ticket.retry_need.is_some_and(|at| now < at);
        let Some(needs) = needs.filter(|needs| !waits && ticket.needs.as_ref() != Some(needs)) else { return };
        ticket.need_under_way = true;
        ticket.needs = Some(needs.clone());
        let body = BackfillUpdate { instance_id: game.instance.clone(), teams: needs };
        self.call(Call::UpdateBackfill { session: game.session.clone(), body }, Purpose::Need);
    }

    pub(super) fn need_answered(&mut self, answer: &Result<Answer, Refusal>) {
        let again = self.now + self.jitter.earlier(RETRY * 2, 0.25);
        let Some(ticket) = &mut self.backfill.ticket else { return };
        ticket.need_under_way = false;
        match answer {
            Ok(_) | Err(Refusal::Conflict { .. } | Refusal::Invalid { .. } | Refusal::NoSuchApi) => {}
            Err(Refusal::NotFound { .. } | Refusal::Gone | Refusal::SessionNotFound) => self.backfill_over(),
            Err(
                Refusal::Unreachable { .. }
                | Refusal::Ambiguous { .. }
                | Refusal::Busy { .. }
                | Refusal::Credentials { .. },
            ) => {
                ticket.needs = None;
                ticket.retry_need = Some(again);
            }
        }
    }

    fn drop_backfill(&mut self, game: &Match) {
        let now = self.now;
        let Some(ticket) = &mut self.backfill.ticket else { return };
        if ticket.dropping || ticket.retry_need.is_some_and(|at| now < at) {
            return;
        }
        ticket.dropping = true;
        let call = Call::DeleteBackfill { session: game.session.clone(), instance: game.instance.clone() };
        self.call(call, Purpose::DropBackfill);
    }

    /// The match is over; its backfill must not bring anybody any more.
    pub(super) fn drop_backfill_of(&mut self, game: &Match) {
        let dropping = self.backfill.ticket.as_ref().is_none_or(|ticket| ticket.dropping);
        if !dropping && self.follows_backfill() {
            self.drop_backfill(game);
        }
        self.backfill_over();
    }

    pub(super) fn drop_answered(&mut self, answer: &Result<Answer, Refusal>) {
        let again = self.now + self.jitter.earlier(RETRY * 2, 0.25);
        match answer {
            Ok(_)
            | Err(
                Refusal::NotFound { .. }
                | Refusal::Gone
                | Refusal::SessionNotFound
                | Refusal::Conflict { .. }
                | Refusal::Invalid { .. }
                | Refusal::NoSuchApi,
            ) => self.backfill_over(),
            Err(
                Refusal::Unreachable { .. }
                | Refusal::Ambiguous { .. }
                | Refusal::Busy { .. }
                | Refusal::Credentials { .. },
            ) => {
                if let Some(ticket) = &mut self.backfill.ticket {
                    ticket.dropping = false;
                    ticket.retry_need = Some(again);
                }
            }
        }
    }

    pub(super) fn backfill_configured(&mut self, answer: &Result<Answer, Refusal>) {
        let Ok(Answer::BackfillConfig(settings)) = answer else { return };
        let Ok(timeout) = Duration::try_from_secs_f64(settings.timeout.max(0.2)) else { return };
        self.backfill.timeout = Some(timeout);
        let latest = self.now + self.half();
        if let Some(ticket) = &mut self.backfill.ticket {
            ticket.next_ack = ticket.next_ack.min(latest);
        }
    }

    pub(super) fn backfill_deadline(&self) -> Option<When> {
        self.linked()?;
        let ticket = self.backfill.ticket.as_ref()?;
        let acks = !ticket.ack_under_way
            && !ticket.dropping
            && !matches!(self.state.phase, Phase::Draining(..) | Phase::Closing(..));
        earliest([Some(ticket.next_ack).filter(|_| acks), ticket.retry_need])
    }
}
