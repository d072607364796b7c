//! The backfill: the matchmaker's search for more players. The agent acknowledges it in time, says
//! how many players each team still takes, and deletes it when no more are wanted.
//!
//! | what happens | what follows |
//! |---|---|
//! | the session shows a backfill | acknowledged at once, then at half the timeout, jittered only earlier |
//! | an acknowledgement names players | the game is told; the session is read again |
//! | players come or go, places lapse | PATCH with what each team needs |
//! | full, unjoinable (as configured), draining or closing | DELETE |
//! | 404, or 503 and then 404 | it is over; nothing is said |

use super::{
    decisions::{Decisions, Purpose},
    facts::{Facts, Phase},
    game_match::Match,
    revision::{Revision, Tracked},
    signal::Signal,
    steady_time::{SteadyTime, earliest},
};
use crate::model::{
    calls::{Answer, Call, Refusal},
    game::{Admission, GameNotice},
    ids::{BackfillId, InstanceId, SessionId},
    session::{BackfillAck, BackfillInfo, BackfillNeed, BackfillUpdate, Session},
};
use std::time::Duration;

/// Until the service has said what it expects.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) enum BackfillEvent {
    /// A fresh reading of the session.
    Seen(Box<Session>),
    Configured(Result<Answer, Refusal>),
    Acknowledged(Result<Answer, Refusal>),
    NeedTold(Result<Answer, Refusal>),
    Deleted(Result<Answer, Refusal>),
    /// The match is over; its backfill must not bring anybody any more.
    MatchClosed {
        session: SessionId,
        instance: InstanceId,
    },
    /// Another session, or none.
    Reset,
    ServiceUp,
    Tick,
}

#[derive(Debug, Default)]
pub(super) struct Backfill {
    timeout: Option<Duration>,
    timeout_asked: bool,
    followed: Option<FollowedBackfill>,
    /// Deleted by us, or gone: not to be acknowledged again if an older reading still shows it.
    ended: Option<BackfillId>,
    shown: Tracked<Option<BackfillId>>,
}

/// The backfill that is followed.
#[derive(Debug)]
struct FollowedBackfill {
    info: BackfillInfo,
    /// None: at once.
    next_ack: Option<SteadyTime>,
    ack_under_way: bool,
    /// What the service was told last.
    needs: Option<Vec<BackfillNeed>>,
    need_under_way: bool,
    retry_need: Option<SteadyTime>,
    /// Its deletion is under way.
    being_deleted: bool,
}

impl Backfill {
    pub(super) fn revision(&self) -> Revision {
        Revision { durable: 0, visible: self.shown.changes() }
    }

    /// The backfill of the session, as far as it is followed.
    pub(super) fn id(&self) -> Option<&BackfillId> {
        self.shown.as_ref()
    }

    pub(super) fn on(&mut self, event: BackfillEvent, facts: &Facts, decisions: &mut Decisions) {
        match event {
            BackfillEvent::Seen(session) => self.seen(&session, facts, decisions),
            BackfillEvent::Configured(answer) => self.configured(&answer, facts, decisions),
            BackfillEvent::Acknowledged(answer) => self.acknowledged(answer, facts, decisions),
            BackfillEvent::NeedTold(answer) => self.need_told(&answer, facts, decisions),
            BackfillEvent::Deleted(answer) => self.deleted(&answer, facts, decisions),
            BackfillEvent::MatchClosed { session, instance } => {
                let being_deleted = self.followed.as_ref().is_none_or(|followed| followed.being_deleted);
                if !being_deleted && is_followed(facts) {
                    self.delete(session, instance, facts, decisions);
                }
                self.over();
            }
            BackfillEvent::Reset => {
                self.followed = None;
                self.ended = None;
                self.timeout_asked = self.timeout.is_some();
            }
            BackfillEvent::ServiceUp => {
                if let Some(followed) = &mut self.followed {
                    followed.next_ack = None;
                    followed.retry_need = None;
                }
                self.timeout_asked = self.timeout.is_some();
            }
            BackfillEvent::Tick => self.tick(facts, decisions),
        }
        let shown = self.followed.as_ref().map(|followed| &followed.info.backfill_id);
        if self.shown.as_ref() != shown {
            self.shown.set(shown.cloned());
        }
    }

    /// When [`BackfillEvent::Tick`] does something next.
    pub(super) fn next_deadline(&self, facts: &Facts) -> Option<SteadyTime> {
        facts.linked()?;
        let followed = self.followed.as_ref()?;
        let acks = !followed.ack_under_way
            && !followed.being_deleted
            && !matches!(facts.phase(), Phase::Draining | Phase::Closing);
        earliest([followed.next_ack.filter(|_| acks), followed.retry_need])
    }

    fn seen(&mut self, session: &Session, facts: &Facts, decisions: &mut Decisions) {
        if !is_followed(facts) {
            return;
        }
        let Some(info) = session.backfill.clone() else {
            if self.followed.as_ref().is_some_and(|followed| !followed.ack_under_way) {
                self.followed = None;
            }
            return;
        };
        if self.ended.as_ref() == Some(&info.backfill_id) {
            return;
        }
        match &mut self.followed {
            Some(followed) if followed.info.backfill_id == info.backfill_id => followed.info = info,
            followed => {
                let id = info.backfill_id.clone();
                *followed = Some(FollowedBackfill {
                    info,
                    next_ack: None,
                    ack_under_way: false,
                    needs: None,
                    need_under_way: false,
                    retry_need: None,
                    being_deleted: false,
                });
                decisions.timeline("backfill", "the session has a backfill", &[("backfill_id", id.as_str())]);
            }
        }
    }

    fn tick(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let Some(followed) = &mut self.followed else { return };
        followed.retry_need = followed.retry_need.filter(|at| facts.now < *at);
        let Some(game) = facts.linked().filter(|_| is_followed(facts)) else { return };
        if !self.timeout_asked {
            self.timeout_asked = true;
            decisions.call(Call::BackfillConfig, Purpose::BackfillConfig);
        }
        if is_unwanted(game, facts) {
            return self.delete(game.session.clone(), game.instance.clone(), facts, decisions);
        }
        self.acknowledge(game, facts, decisions);
        self.tell_needs(game, facts, decisions);
    }

    fn half(&self, decisions: &mut Decisions) -> Duration {
        decisions.jitter.earlier(self.timeout.unwrap_or(DEFAULT_TIMEOUT) / 2, 0.1)
    }

    fn acknowledge(&mut self, game: &Match, facts: &Facts, decisions: &mut Decisions) {
        if self.followed.as_ref().is_none_or(|t| t.ack_under_way || t.next_ack.is_some_and(|at| facts.now < at)) {
            return;
        }
        let next = facts.now + self.half(decisions);
        let Some(followed) = &mut self.followed else { return };
        followed.ack_under_way = true;
        followed.next_ack = Some(next);
        let body = BackfillAck {
            instance_id: game.instance.clone(),
            extensions: followed.info.extensions.clone(),
            overflow_action: facts.settings.backfill.overflow_action,
            styles: facts.settings.backfill.styles.clone(),
        };
        decisions.call(Call::AckBackfill { session: game.session.clone(), body: Box::new(body) }, Purpose::Ack);
    }

    fn acknowledged(&mut self, answer: Result<Answer, Refusal>, facts: &Facts, decisions: &mut Decisions) {
        let Some(followed) = &mut self.followed else { return };
        followed.ack_under_way = false;
        let again = match answer {
            Ok(Answer::Backfilled(players)) if !players.is_empty() => {
                let players: Vec<_> = players.into_iter().map(|player| player.player_uuid).collect();
                let names: Vec<_> = players.iter().map(ToString::to_string).collect();
                let text = format!("{} players were backfilled", players.len());
                decisions.timeline("backfilled", text, &[("players", &names.join(" "))]);
                if let Some(run) = facts.process.run {
                    decisions.notify(run, GameNotice::Backfilled { players });
                }
                return decisions.signal(Signal::ReadSessionSoon);
            }
            Ok(_) => return,
            Err(Refusal::NotFound { .. } | Refusal::Gone | Refusal::SessionNotFound) => return self.over(),
            Err(Refusal::Busy { retry_after }) => facts.now + retry_after.unwrap_or(RETRY),
            Err(_) => facts.now + decisions.jitter.earlier(RETRY, 0.25),
        };
        followed.next_ack = followed.next_ack.map(|at| at.min(again));
    }

    fn over(&mut self) {
        self.ended = self.followed.take().map(|followed| followed.info.backfill_id);
    }

    fn tell_needs(&mut self, game: &Match, facts: &Facts, decisions: &mut Decisions) {
        let Some(followed) = &mut self.followed else { return };
        if followed.need_under_way || followed.retry_need.is_some() {
            return;
        }
        let Some(needs) = needs(facts).filter(|needs| followed.needs.as_ref() != Some(needs)) else { return };
        followed.need_under_way = true;
        followed.needs = Some(needs.clone());
        let body = BackfillUpdate { instance_id: game.instance.clone(), teams: needs, additional_join_params: None };
        decisions.call(Call::UpdateBackfill { session: game.session.clone(), body }, Purpose::Need);
    }

    fn need_told(&mut self, answer: &Result<Answer, Refusal>, facts: &Facts, decisions: &mut Decisions) {
        let Some(followed) = &mut self.followed else { return };
        followed.need_under_way = false;
        match answer {
            Ok(_) | Err(Refusal::Conflict { .. } | Refusal::Invalid { .. } | Refusal::NoSuchApi) => {}
            Err(Refusal::NotFound { .. } | Refusal::Gone | Refusal::SessionNotFound) => self.over(),
            Err(
                Refusal::Unreachable { .. }
                | Refusal::Ambiguous { .. }
                | Refusal::Busy { .. }
                | Refusal::Credentials { .. },
            ) => {
                followed.needs = None;
                followed.retry_need = Some(facts.now + decisions.jitter.earlier(RETRY * 2, 0.25));
            }
        }
    }

    fn delete(&mut self, session: SessionId, instance: InstanceId, facts: &Facts, decisions: &mut Decisions) {
        let Some(followed) = &mut self.followed else { return };
        if followed.being_deleted || followed.retry_need.is_some_and(|at| facts.now < at) {
            return;
        }
        followed.being_deleted = true;
        decisions.call(Call::DeleteBackfill { session, instance }, Purpose::DropBackfill);
    }

    fn deleted(&mut self, answer: &Result<Answer, Refusal>, facts: &Facts, decisions: &mut Decisions) {
        match answer {
            Ok(_)
            | Err(
                Refusal::NotFound { .. }
                | Refusal::Gone
                | Refusal::SessionNotFound
                | Refusal::Conflict { .. }
                | Refusal::Invalid { .. }
                | Refusal::NoSuchApi,
            ) => self.over(),
            Err(
                Refusal::Unreachable { .. }
                | Refusal::Ambiguous { .. }
                | Refusal::Busy { .. }
                | Refusal::Credentials { .. },
            ) => {
                if let Some(followed) = &mut self.followed {
                    followed.being_deleted = false;
                    followed.retry_need = Some(facts.now + decisions.jitter.earlier(RETRY * 2, 0.25));
                }
            }
        }
    }

    fn configured(&mut self, answer: &Result<Answer, Refusal>, facts: &Facts, decisions: &mut Decisions) {
        let Ok(Answer::BackfillConfig(settings)) = answer else { return };
        let Ok(timeout) = Duration::try_from_secs_f64(settings.timeout.max(0.2)) else { return };
        self.timeout = Some(timeout);
        let latest = facts.now + self.half(decisions);
        if let Some(followed) = &mut self.followed {
            followed.next_ack = followed.next_ack.map(|at| at.min(latest));
        }
    }
}

fn is_followed(facts: &Facts) -> bool {
    facts.settings.backfill.enabled && facts.settings.writes()
}

/// The reasons to end it.
fn is_unwanted(game: &Match, facts: &Facts) -> bool {
    let policy = &facts.settings.backfill;
    match facts.phase() {
        Phase::Draining | Phase::Closing => true,
        Phase::Serving if policy.delete_when_unjoinable && facts.gate(game) == Admission::Closed => true,
        Phase::Serving | Phase::Starting => {
            policy.delete_when_full
                && needs(facts).is_some_and(|needs| needs.iter().all(|need| need.players_required == 0))
        }
        Phase::Idle | Phase::Acquiring | Phase::FinalReports => false,
    }
}

/// How many players each team still takes.
fn needs(facts: &Facts) -> Option<Vec<BackfillNeed>> {
    let session = facts.session.reading.as_deref()?;
    let needs = facts.players.needs(session).into_iter().zip(&session.teams).enumerate();
    let need = |(index, (players_required, team)): (usize, (u32, &crate::model::player::SessionTeam))| BackfillNeed {
        team_id: team.team_id.unwrap_or(index as u32),
        players_required,
    };
    Some(needs.map(need).collect())
}
